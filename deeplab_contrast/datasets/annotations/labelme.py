"""labelme: one JSON of shapes beside each image. Later shapes are above.

The photo may also be inside of the JSON, in `imageData`.
"""

import collections
from typing import Any

import numpy as np

from deeplab_contrast.datasets.annotations import bitmaps, shapes, splits
from deeplab_contrast.datasets.annotations.annotated import (
  Annotated,
  Annotation,
  label,
  size_of,
  unique,
)
from deeplab_contrast.datasets.annotations.tree import Tree
from deeplab_contrast.imaging import embedded
from deeplab_contrast.utils import errors

WHAT = 'labelme JSON'

# labelme's own conversion to masks makes pixels of this label void.
_VOID = '__ignore__'

# Our names of shapes, and how many points they need.
_KINDS = {
  'polygon': ('polygon', 3),
  'rectangle': ('rectangle', 2),
  'circle': ('circle', 2),
  'line': ('line', 2),
  'linestrip': ('line', 2),
  'point': ('point', 1),
}


def is_one(value: Any) -> bool:
  """Whether the value of a JSON file looks like this format."""
  return (
    isinstance(value, dict)
    and isinstance(value.get('shapes'), list)
    and 'imagePath' in value
  )


def read(tree: Tree, files: tuple[str, ...]) -> Annotated:
  """Reads all files. Raises DataError for damaged ones."""
  left_out: collections.Counter[str] = collections.Counter()
  images, found = [], set()
  for file in files:
    value = tree.json(file)
    if not is_one(value):
      continue
    with tree.reading(file, WHAT):
      _check_labels(tree, file, value)
      images.append(_image(tree, file, value, left_out))
      found |= {label(shape['label']) for shape in value['shapes']}
  names = sorted(found - {_VOID})
  return Annotated(tuple(images), unique(names), left_out, void=(_VOID,))


def _check_labels(tree, file, value):
  for number, shape in enumerate(value['shapes'], 1):
    if not str(shape['label'] or '').strip():
      raise errors.DataError(
        f'{tree.path(file)} has a shape without a label, number {number}: name '
        'it in labelme, or delete it.'
      )


def _image(tree, file, value, left_out):
  # Renamed pairs keep the old name inside.
  name = value['imagePath']
  image = tree.beside(file, name) or tree.image(name, file)
  if not tree.has(image) and value.get(embedded.KEY):
    image = file
  size = None
  if value.get('imageHeight') and value.get('imageWidth'):
    size = size_of(value['imageHeight'], value['imageWidth'])
  drawn = []
  for item in value['shapes']:
    shape = _shape(item, left_out)
    if shape is not None:
      drawn.append((label(item['label']), shape))
  split = splits.of_path(image)
  # All shapes on an image are in one file, so it is a task of its own.
  return Annotation(image, file, split, size, tuple(drawn), task='image')


def _shape(item, left_out):
  kind = item.get('shape_type') or 'polygon'
  if kind == 'mask':
    (left, top), _ = np.round(shapes.points(item['points'], 2)).astype(int)
    pixels = bitmaps.from_base64(item['mask'])
    return shapes.Bitmap(pixels, int(left), int(top))
  if kind not in _KINDS:
    left_out[f'shape of the type {kind!r}'] += 1
    return None
  ours, least = _KINDS[kind]
  points = shapes.points(item['points'], least)
  if not len(points):
    left_out[f'{kind} of fewer than {least} points'] += 1
    return None
  shapes.check_length(points)
  if ours == 'circle':
    points = points[:2]
  return shapes.Drawn(ours, points)
