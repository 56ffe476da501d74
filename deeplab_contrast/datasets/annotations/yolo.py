"""Ultralytics YOLO: a text file of polygons for each image, and data.yaml.

`images/train/a.jpg` has `labels/train/a.txt`: class and points from 0 to 1 in
each line. Images without a file, or with an empty one, show nothing. Polygons
are rounded down to whole pixels and drawn as by OpenCV, smaller ones above.
"""

import collections
import posixpath
import re

import numpy as np

from deeplab_contrast.datasets.annotations import shapes, splits
from deeplab_contrast.datasets.annotations.annotated import (
  Annotated,
  Annotation,
  label,
)
from deeplab_contrast.datasets.annotations.tree import Tree
from deeplab_contrast.datasets.raw import drawings
from deeplab_contrast.utils import errors

WHAT = 'a YOLO label file'
_LISTS = ('.yaml', '.yml')
_LINE = re.compile(r'\d+(\s+[-+.\deE]+)+')
# Points may be slightly outside; anything else is in pixels, or damaged.
_MOST = 1.5


def files_of(tree: Tree) -> tuple[str, ...]:
  """The label files; none if these are not YOLO's."""
  texts = [f for f in tree.ending('.txt') if 'labels' in f.split('/')[:-1]]
  for file in texts[:20]:
    with tree.reading(file, WHAT):
      lines = tree.path(file).read_bytes()[:200].decode('ascii', 'replace')
    if lines.strip():
      is_one = _LINE.fullmatch(lines.strip().splitlines()[0].strip())
      return tuple(texts) if is_one or names_of(tree) else ()
  return tuple(texts) if texts and names_of(tree) else ()


def read(tree: Tree, files: tuple[str, ...]) -> Annotated:
  """Reads all files. Raises DataError for damaged ones."""
  left_out: collections.Counter[str] = collections.Counter()
  names = names_of(tree)
  if not names:
    raise errors.DataError(
      f'{tree.root} has YOLO labels, but no data.yaml with the names of the '
      'classes: put it there ("names: [cup, box]").'
    )
  known = set(files)
  images = []
  for image in tree.images:
    file = _label_file(image)
    if file is None:
      continue
    drawn = ()
    if file in known:
      size = drawings.size_upright(tree.path(image))
      with tree.reading(file, WHAT):
        drawn = tuple(_shapes(tree.text(file), size, names, left_out))
    images.append(Annotation(image, file, splits.of_path(image), None, drawn))
  _check_not_boxes(tree, files, images, left_out)
  missing = known - {annotation.source for annotation in images}
  if missing:
    left_out['label file without an image'] += len(missing)
  return Annotated(tuple(images), names, left_out)


def _check_not_boxes(tree, files, images, left_out):
  if left_out and not any(image.shapes for image in images):
    raise errors.DataError(
      f'{tree.path(files[0])} and the others have no polygons, only boxes: '
      'export them for segmentation.'
    )


def _label_file(image):
  """images/a.jpg: labels/a.txt; None for images elsewhere."""
  parts = image.split('/')
  places = [i for i, part in enumerate(parts[:-1]) if part == 'images']
  if not places:
    return None
  parts[places[-1]] = 'labels'
  return posixpath.splitext('/'.join(parts))[0] + '.txt'


def _shapes(text, size, names, left_out):
  height, width = size
  found = []
  for line in filter(str.strip, text.splitlines()):
    number, *values = line.split()
    name = names[int(number)] if int(number) >= 0 else names[len(names)]
    if len(values) in (4, 5):
      left_out['box'] += 1
      continue
    points = shapes.points([float(value) for value in values])
    if points.size and not -_MOST < points.min() <= points.max() < _MOST:
      raise ValueError('points are not fractions of the size of the image')
    if not len(points):
      left_out['polygon of fewer than three points'] += 1
      continue
    # As Ultralytics computes: an exact product might be one pixel higher.
    size = np.array([width, height], np.float32)
    corners = (points.astype(np.float32) * size).astype(np.int32)
    shape = shapes.FilledPolygon(corners)
    found.append((-shape.region(height, width)[2].sum(), name, shape))
  found.sort(key=lambda item: item[0])
  return [(name, shape) for _, name, shape in found]


def names_of(tree: Tree) -> tuple[str, ...]:
  """The names in data.yaml, or in classes.txt; () without either."""
  for file in tree.ending(*_LISTS):
    with tree.reading(file, 'a list of names, data.yaml'):
      if names := _names(tree.text(file)):
        return names
  for file in tree.named('classes.txt'):
    return tuple(map(label, filter(str.strip, tree.text(file).splitlines())))
  return ()


def _names(text):
  """`names` of a YAML file: [a, b], lines of `- a`, or lines of `0: a`."""
  lines = [re.sub(r'(^|\s)#.*', '', line) for line in text.splitlines()]
  start = next((i for i, x in enumerate(lines) if x.startswith('names:')), None)
  if start is None:
    return ()
  inline = lines[start].partition(':')[2].strip()
  block = []
  for line in lines[start + 1 :]:
    if line.strip() and not line.startswith((' ', '-', ']', '}')):
      break
    block.append(line.strip())
  if inline or (block and block[0].startswith(('[', '{'))):
    items = ' '.join([inline, *block]).strip()[1:-1].split(',')
  else:
    items = [item.removeprefix('- ') for item in block]
  items = [item.strip() for item in items if item.strip()]
  if items and all(re.match(r'\d+\s*:', item) for item in items):
    pairs = [item.partition(':')[::2] for item in items]
    numbers = {int(number): name for number, name in pairs}
    if sorted(numbers) != list(range(len(numbers))):
      raise ValueError('the numbers of the names have gaps')
    items = [numbers[i].strip() for i in sorted(numbers)]
  return tuple(label(item.strip('"\'')) for item in items)
