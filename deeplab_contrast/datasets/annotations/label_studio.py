"""Label Studio: one JSON of tasks: strokes, bitmasks, polygons and ellipses.

"JSON-MIN" has a record for each annotation instead, with its regions under the
name of the tag that drew them.

Of several annotations of a task, the one marked as ground truth counts, or else
the one that was changed last; later regions are above.
"""

import collections
import posixpath
from typing import Any

import numpy as np

from deeplab_contrast.datasets.annotations import bitmaps, shapes, splits
from deeplab_contrast.datasets.annotations.annotated import (
  Annotated,
  Annotation,
  label,
  size_of,
  unique,
  whole,
)
from deeplab_contrast.datasets.annotations.tree import Tree

WHAT = 'Label Studio JSON'

# Regions, by the key that holds their labels. 'labels' is that of regions whose
# shape and label have tags of their own.
_KINDS = (
  *('brushlabels', 'polygonlabels', 'rectanglelabels', 'ellipselabels'),
  *('bitmasklabels', 'labels'),
)
# A value that only regions of one kind have.
_SIGNS = {
  'rle': 'brushlabels',
  'imageDataURL': 'bitmasklabels',
  'points': 'polygonlabels',
  'radiusX': 'ellipselabels',
  'height': 'rectanglelabels',
}
# What only the records of JSON-MIN have; old versions have fewer of them.
_OF_MIN = {'annotator', 'annotation_id', 'lead_time'}
_ENDINGS_OF_DATA = ('image', 'img', 'ocr', 'photo')


def is_one(value: Any) -> bool:
  """Whether the value of a JSON file looks like this format."""
  if not isinstance(value, list) or not value or not isinstance(value[0], dict):
    return False
  keys = set(value[0])
  is_full = 'data' in keys and {'annotations', 'completions'} & keys
  return bool(is_full or _OF_MIN & keys)


def read(tree: Tree, files: tuple[str, ...]) -> Annotated:
  """Reads all files. Raises DataError for damaged ones."""
  left_out: collections.Counter[str] = collections.Counter()
  images: list[Annotation] = []
  for file in files:
    value = tree.json(file)
    if not is_one(value):
      continue
    with tree.reading(file, WHAT):
      for task in _tasks(value):
        images += _image(tree, file, task, left_out)
  names = (name for image in images for name, _ in image.shapes)
  return Annotated(tuple(images), unique(sorted(set(names))), left_out)


def _tasks(value):
  """Tasks, also of JSON-MIN, whose records of a task become one."""
  if 'data' in value[0]:
    return value
  tasks: dict[object, dict] = {}
  for i, record in enumerate(value):
    task = tasks.setdefault(
      record.get('id', f'record {i}'),
      {'id': record.get('id'), 'data': record, 'annotations': []},
    )
    several = (v for v in record.values() if isinstance(v, list))
    regions = [r for one in several for r in one if isinstance(r, dict)]
    result = [{**region, 'value': region} for region in regions]
    task['annotations'].append({**record, 'result': result})
  return list(tasks.values())


def _image(tree, file, task, left_out):
  """Yields the annotated image of a task, if it is annotated."""
  done = task.get('annotations') or task.get('completions') or ()
  done = [a for a in done if not a.get('was_cancelled')]
  if not done:
    left_out['task without annotation'] += 1
    return
  left_out['annotation besides that of another person'] += len(done) - 1
  done.sort(key=lambda a: (bool(a.get('ground_truth')), _changed(a)))
  size, drawn = None, []
  regions = done[-1]['result']
  labelled = {r.get('id') for r in regions if _key(_value(r))} - {None}
  for region in regions:
    value = _value(region)
    key = _key(value)
    kind = _kind(value) if key == 'labels' else key
    if kind is None:
      # A shape and its label can be two results with one id.
      if region.get('id') not in labelled:
        left_out[f'region of the type {region.get("type")!r}'] += 1
      continue
    size = size_of(region['original_height'], region['original_width'])
    shape = _shape(kind, value, size)
    if shape is None:
      left_out['polygon of fewer than three points'] += 1
    elif not value[key]:
      left_out['region without a label'] += 1
    else:
      drawn.append((label(value[key][0]), shape))
  image = tree.image(_name(task), file)
  split = splits.of_path(image) or splits.of_name(posixpath.basename(file))
  number = task.get('id')
  task = None if number is None else str(number)
  yield Annotation(image, file, split, size, tuple(drawn), task)


def _value(region):
  """Of a relation, which has none: it joins two regions."""
  return {} if region.get('type') == 'relation' else region['value']


def _key(value):
  """The key of the labels of a region, or None."""
  return next((k for k in _KINDS if k in value), None)


def _kind(value):
  """The kind of a region, by the values it has; None if it is unknown."""
  return next((kind for sign, kind in _SIGNS.items() if sign in value), None)


def _changed(annotation):
  return str(annotation.get('updated_at') or annotation.get('created_at') or '')


def _name(task):
  """The image, of the fields of the task that may name one."""
  texts = {k: v for k, v in task['data'].items() if isinstance(v, str)}
  for key in [k for k in texts if k.lower().startswith(_ENDINGS_OF_DATA)]:
    return texts[key]
  return next(iter(texts.values()))


def _shape(key, value, size):
  height, width = size
  scale = np.array([width, height]) / 100
  if key == 'brushlabels':
    return shapes.Bitmap(_brush(value['rle'], size))
  if key == 'bitmasklabels':
    return shapes.Bitmap(_bitmask(value['imageDataURL'], size))
  if key == 'polygonlabels':
    points = shapes.points(value['points']) * scale
    points = shapes.points(points)
    shapes.check_length(points, scale=5)
    return shapes.CocoPolygon((points,)) if len(points) else None
  if key == 'rectanglelabels':
    box = [value[k] for k in ('x', 'y', 'width', 'height')]
    (x, y), (w, h) = shapes.points(box, 2) * scale
    corners = np.array([[0, 0], [w, 0], [w, h], [0, h]]) @ _turn(value)
    corners = shapes.points(corners + (x, y))
    shapes.check_length(corners, scale=5)
    return shapes.CocoPolygon((corners,))
  ellipse = [value[k] for k in ('x', 'y', 'radiusX', 'radiusY')]
  centre, radii = shapes.points(ellipse, 2) * scale
  angles = np.arange(360)[:, None] * (np.pi / 180)
  around = np.concatenate([np.cos(angles), np.sin(angles)], 1) * radii
  return shapes.CocoPolygon((shapes.points(around @ _turn(value) + centre),))


def _turn(value):
  """The matrix that turns (x, y) clockwise, as seen, by `rotation` degrees."""
  ((angle, _),) = shapes.points([value.get('rotation') or 0, 0], 1)
  cos, sin = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
  return np.array([[cos, sin], [-sin, cos]])


def _bitmask(url, size):
  """The painted pixels of a PNG in a data URL: those not transparent."""
  pixels = bitmaps.from_base64(url.partition(',')[2])
  if pixels.shape != size:
    raise ValueError('a bitmask is not for an image of this size')
  return pixels


def _brush(numbers, size):
  """The painted pixels of brush strokes, bool [height, width].

  They are RGBA values, packed as by @thi.ng/rle-pack: their number (32 bits),
  bits in a value less 1 (5 bits), four kinds of lengths less 1 (4 bits each);
  then runs: whether one value is repeated (1 bit), the kind of the length (2
  bits), the length less 1, and the value or values.
  """
  data, at = bytes(whole(number) for number in numbers), 0

  def take(count):
    nonlocal at
    at += count
    if at > 8 * len(data):
      raise ValueError('brush strokes are cut off')
    around = data[(at - count) // 8 : (at + 7) // 8]
    return int.from_bytes(around, 'big') >> -at % 8 & (1 << count) - 1

  total, width = take(32), take(5) + 1
  if total != 4 * size[0] * size[1]:
    raise ValueError('brush strokes are not for an image of this size')
  lengths = [take(4) + 1 for _ in range(4)]
  values = np.zeros(total, np.int64)
  done = 0
  while done < total:
    is_repeated = take(1)
    count = take(lengths[take(2)]) + 1
    if is_repeated:
      values[done : done + count] = take(width)
    else:
      for i in range(done, min(done + count, total)):
        values[i] = take(width)
    done += count
  return values.reshape(*size, 4)[..., 3] > 0
