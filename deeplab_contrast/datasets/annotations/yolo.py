"""Ultralytics YOLO: a text file of polygons for each image, and data.yaml.

`images/train/a.jpg` has `labels/train/a.txt`, or `a.txt` beside it: class and
points from 0 to 1 in each line. Images without a file, or with an empty one,
show nothing, unless their folder has no files at all. Polygons are rounded down
to whole pixels and drawn as by OpenCV, smaller ones above. Splits are what
data.yaml says (folders, or lists of images), or folders of these names.
"""

import collections
import posixpath
import re

import numpy as np

from deeplab_contrast.datasets.annotations import shapes, splits, yolo_yaml
from deeplab_contrast.datasets.annotations.annotated import (
  Annotated,
  Annotation,
  whole,
)
from deeplab_contrast.datasets.annotations.tree import Tree
from deeplab_contrast.datasets.raw import drawings
from deeplab_contrast.utils import errors

WHAT = 'a YOLO label file'
_LINE = re.compile(r'\d+(\.0*)?(\s+[-+.\deE]+)+')
# Points may be slightly outside; anything else is in pixels, or damaged.
_MOST = 1.5


def files_of(tree: Tree) -> tuple[str, ...]:
  """The label files; none if these are not YOLO's."""
  every = tree.ending('.txt')
  if texts := tuple(f for f in every if 'labels' in f.split('/')[:-1]):
    is_one = _has_numbers(tree, texts)
    # Where all are empty, a list of names says what they are.
    return texts if is_one or yolo_yaml.names_of(tree) else ()
  texts = tuple(f for f in every if tree.beside(f))
  return texts if _has_numbers(tree, texts) else ()


def _has_numbers(tree, texts):
  """Whether the first file that is not empty begins as YOLO's do."""
  for file in texts[:20]:
    with tree.reading(file, WHAT), tree.path(file).open('rb') as opened:
      start = opened.read(200).decode('ascii', 'replace').strip()
    if start:
      return _LINE.fullmatch(start.splitlines()[0].strip()) is not None
  return False


def read(tree: Tree, files: tuple[str, ...]) -> Annotated:
  """Reads all files. Raises DataError for damaged ones."""
  left_out: collections.Counter[str] = collections.Counter()
  names = yolo_yaml.names_of(tree)
  if not names:
    raise errors.DataError(
      f'{tree.root} has YOLO labels, but no data.yaml with the names of the '
      'classes: put it there ("names: [cup, box]").'
    )
  known = set(files)
  labelled = {posixpath.dirname(file) for file in files}
  stated = yolo_yaml.splits_of(tree)
  images = []
  for image in tree.images:
    file = _label_file(image, known)
    if file is None:
      continue
    if posixpath.dirname(file) not in labelled:
      left_out['image of a folder without labels'] += 1
      continue
    drawn = ()
    if file in known:
      size = drawings.size_upright(tree.path(image))
      with tree.reading(file, WHAT):
        drawn = tuple(_shapes(tree.text(file), size, names, left_out))
    split = stated.get(image) or splits.of_path(image)
    images.append(Annotation(image, file, split, None, drawn))
  missing = known - {annotation.source for annotation in images}
  if missing:
    left_out['label file without an image'] += len(missing)
  return Annotated(tuple(images), names, left_out)


def _label_file(image, known):
  """images/a.jpg: labels/a.txt, or a.txt beside it; None for other images."""
  beside = posixpath.splitext(image)[0] + '.txt'
  if beside in known:
    return beside
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
    first, *values = line.split()
    number = whole(float(first))  # Some scripts write 0.0.
    if number >= len(names):
      raise ValueError(f'class {number}, but data.yaml names {len(names)}')
    name = names[number]
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
