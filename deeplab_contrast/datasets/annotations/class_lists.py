"""The lists of classes that tools write beside masks."""

import csv
import dataclasses
import posixpath
import re

from deeplab_contrast.datasets.annotations.annotated import label, whole
from deeplab_contrast.datasets.annotations.tree import Tree

Color = tuple[int, int, int]

# labelme gives this label the id -1.
_VOID = '__ignore__'


@dataclasses.dataclass(frozen=True)
class ClassList:
  """Names of classes, as a tool lists them.

  Attributes:
    file: where they are.
    names: in order.
    colors: of each, or ().
    ids: of each in the masks, or () if masks have colours.
  """

  file: str
  names: tuple[str, ...]
  colors: tuple[Color, ...] = ()
  ids: tuple[int, ...] = ()


def find(tree: Tree) -> ClassList | None:
  """The first list that there is, or None. Raises DataError if damaged."""
  for names, read in _READERS:
    for file in tree.named(*names):
      with tree.reading(file, 'a list of classes'):
        found = read(file, tree.text(file).splitlines())
        if found.names:
          return found
  return None


def _labelmap(file, lines):
  """CVAT, Datumaro: label:r,g,b:parts:actions."""
  names, colors = [], []
  for line in lines:
    if line.strip() and not line.startswith('#'):
      name, color = line.split(':')[:2]
      names.append(label(name))
      colors.append(_color(color.split(',')))
  return ClassList(file, tuple(names), tuple(colors))


def _names(file, lines):
  """A name per line; labelme's begin with __ignore__, which is -1."""
  names = [label(line) for line in lines if line.strip()]
  names = names[1:] if names[:1] == [_VOID] else names
  return ClassList(file, tuple(names), ids=tuple(range(len(names))))


def _roboflow(file, lines):
  """Pixel Value, Class."""
  rows = [row for row in csv.reader(lines[1:], skipinitialspace=True) if row]
  ids = tuple(whole(int(row[0])) for row in rows)
  return ClassList(file, tuple(label(row[1]) for row in rows), ids=ids)


def _class_dict(file, lines):
  """Name, r, g, b, with a heading."""
  rows = [row for row in csv.reader(lines[1:], skipinitialspace=True) if row]
  colors = tuple(_color(row[1:4]) for row in rows)
  return ClassList(file, tuple(label(row[0]) for row in rows), colors)


def _label_colors(file, lines):
  """CamVid: r g b, then the name."""
  rows = [re.split(r'\s+', line.strip(), maxsplit=3) for line in lines]
  rows = [row for row in rows if len(row) == 4]
  colors = tuple(_color(row[:3]) for row in rows)
  return ClassList(file, tuple(label(row[3]) for row in rows), colors)


def _color(values):
  red, green, blue = (whole(int(value)) for value in values)
  if max(red, green, blue) > 255:
    raise ValueError(f'{values} is not a colour')
  return red, green, blue


_READERS = (
  (('labelmap.txt',), _labelmap),
  (('_classes.csv',), _roboflow),
  (('class_dict.csv',), _class_dict),
  (('label_colors.txt',), _label_colors),
  (('class_names.txt', 'classes.txt', 'codes.txt', 'labels.txt'), _names),
)


def folder(found: ClassList) -> str:
  """The folder of a list, below the root; '' for the root."""
  return posixpath.dirname(found.file)
