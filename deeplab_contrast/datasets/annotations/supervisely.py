"""Supervisely: meta.json, and for each `img/a.jpg` an `ann/a.jpg.json`.

Objects are layered in the order of the file.
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
)
from deeplab_contrast.datasets.annotations.tree import Tree

WHAT = 'Supervisely JSON'
META = 'meta.json'


def is_one(value: Any) -> bool:
  """Whether the value of a JSON file looks like this format."""
  return (
    isinstance(value, dict)
    and isinstance(value.get('objects'), list)
    and isinstance(value.get('size'), dict)
  )


def read(tree: Tree, files: tuple[str, ...]) -> Annotated:
  """Reads all files. Raises DataError for damaged ones."""
  left_out: collections.Counter[str] = collections.Counter()
  names: list[str] = []
  for file in tree.named(META):
    with tree.reading(file, WHAT):
      names += [label(c['title']) for c in tree.json(file).get('classes', ())]
  images = []
  for file in files:
    if posixpath.basename(file) == META:
      continue
    value = tree.json(file)
    if not is_one(value):
      continue
    with tree.reading(file, WHAT):
      images.append(_image(tree, file, value, left_out))
  names += sorted({name for image in images for name, _ in image.shapes})
  return Annotated(tuple(images), unique(names), left_out)


def _image(tree, file, value, left_out):
  name = posixpath.basename(file).removesuffix('.json')
  folder = posixpath.dirname(posixpath.dirname(file))
  image = tree.image(posixpath.join(folder, 'img', name), file)
  size = size_of(value['size']['height'], value['size']['width'])
  drawn = []
  for item in value['objects']:
    shape = _shape(item)
    if shape is None:
      left_out[f'object of the type {item.get("geometryType")!r}'] += 1
    else:
      drawn.append((label(item['classTitle']), shape))
  split = splits.of_path(image)
  # All shapes on an image are in one file, so it is a task of its own.
  return Annotation(image, file, split, size, tuple(drawn), task='image')


def _shape(item):
  kind = item.get('geometryType') or ('bitmap' if item.get('bitmap') else '')
  if kind == 'bitmap':
    left, top = shapes.points(item['bitmap']['origin'], 1)[0].astype(int)
    pixels = bitmaps.from_base64(item['bitmap']['data'], is_compressed=True)
    return shapes.Bitmap(pixels, int(left), int(top))
  if kind not in ('polygon', 'rectangle'):
    return None
  outline = _whole(item['points']['exterior'], 3 if kind == 'polygon' else 2)
  if not len(outline):
    return None
  if kind == 'rectangle':
    return shapes.Drawn('rectangle', outline[:2])
  holes = [_whole(ring) for ring in item['points'].get('interior') or ()]
  shapes.check_length(outline, *holes)
  return shapes.FilledPolygon(outline, tuple(h for h in holes if len(h)))


def _whole(values, least=3):
  return np.round(shapes.points(values, least)).astype(np.int64)
