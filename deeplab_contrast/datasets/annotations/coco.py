"""COCO: one JSON of images, annotations and categories for each split.

CVAT, Roboflow, Label Studio, Segments.ai, V7 and many others write it.
Segmentations are polygons, or run lengths as a list or as text. Crowds are
lowest, and smaller objects are above larger ones.
"""

import collections
import posixpath
from typing import Any

import numpy as np

from deeplab_contrast.datasets.annotations import shapes, splits
from deeplab_contrast.datasets.annotations.annotated import (
  Annotated,
  Annotation,
  label,
  size_of,
  unique,
  whole,
)
from deeplab_contrast.datasets.annotations.tree import Tree
from deeplab_contrast.datasets.raw import drawings
from deeplab_contrast.utils import errors

WHAT = 'COCO JSON'
_PANOPTIC = 'JSON of panoptic segments'


def is_one(value: Any) -> bool:
  """Whether the value of a JSON file looks like this format."""
  return (
    isinstance(value, dict)
    and isinstance(value.get('images'), list)
    and 'annotations' in value
  )


def read(tree: Tree, files: tuple[str, ...]) -> Annotated:
  """Reads all files. Raises DataError for damaged ones."""
  left_out: collections.Counter[str] = collections.Counter()
  images: list[Annotation] = []
  names: list[str] = []
  for file in _of_instances(files):
    value = tree.json(file)
    if not is_one(value) or not value['annotations']:
      # A test split without labels is not one of images that show nothing.
      if isinstance(value, dict) and isinstance(value.get('images'), list):
        left_out['image in a list without annotations'] += len(value['images'])
      continue
    with tree.reading(file, WHAT):
      if not any('category_id' in one for one in value['annotations']):
        left_out[_kind_of_file(value)] += 1
        continue
      categories = _categories(value)
      names += categories.values()
      images += _images(tree, file, value, categories, left_out)
  if not images and left_out[_PANOPTIC]:
    raise errors.DataError(
      f'{tree.root} has only panoptic segments, which are in PNG files: put '
      'the instances JSON of the same images there, or what '
      'panoptic2detection_coco_format.py of panopticapi makes of this one.'
    )
  return Annotated(tuple(images), unique(names), left_out)


def _of_instances(files):
  """Without the captions and keypoints that COCO has of the same images."""
  names = {file: posixpath.basename(file) for file in files}
  if not any(name.startswith('instances') for name in names.values()):
    return files
  others = ('captions', 'person_keypoints')
  return [f for f in files if not names[f].startswith(others)]


def _kind_of_file(value):
  """Of annotations without categories; raises KeyError if they lack one."""
  for key, kind in (
    ('segments_info', _PANOPTIC),
    ('caption', 'JSON of captions'),
  ):
    if all(key in one for one in value['annotations']):
      return kind
  raise KeyError('category_id')


def _categories(value):
  """{id: name}, without the group of all others that Roboflow adds."""
  categories = {c['id']: c for c in value.get('categories') or ()}
  used = {a['category_id'] for a in value['annotations']}
  groups = {
    c.get('supercategory')
    for c in categories.values()
    if c.get('supercategory') != c.get('name')
  }
  return {
    i: label(c['name'])
    for i, c in categories.items()
    if i in used or c['name'] not in groups
  }


def _images(tree, file, value, categories, left_out):
  split = splits.of_name(posixpath.basename(file)) or splits.of_path(file)
  found: dict[Any, tuple] = {}
  for image in value['images']:
    name = image.get('file_name') or image['coco_url']  # LVIS has only a URL.
    if image['id'] in found:
      raise ValueError(f'two images have the id {image["id"]}')
    place = tree.image(name, file, split)
    found[image['id']] = place, _size(tree, image, place), []
  for annotation in value['annotations']:
    if annotation['image_id'] not in found:
      raise ValueError(
        f'an annotation is on image {annotation["image_id"]}, which is not in '
        'the list of images'
      )
    _, size, several = found[annotation['image_id']]
    name = categories[annotation['category_id']]
    shape = _shape(annotation.get('segmentation'), size)
    if shape is None:
      left_out[_kind(annotation)] += 1
    else:
      order = (not annotation.get('iscrowd'), -_area(annotation, shape, size))
      several.append((order, name, shape))
  for image, size, several in found.values():
    several.sort(key=lambda item: item[0])
    drawn = tuple((name, shape) for _, name, shape in several)
    order = tuple(order for order, *_ in several)
    yield Annotation(
      *(image, file, split or splits.of_path(image), size, drawn), order=order
    )


def _size(tree, image, place):
  """As stated, or that of the file: some tools leave it out, or write 0."""
  if image.get('height') and image.get('width'):
    return size_of(image['height'], image['width'])
  return drawings.size_upright(tree.path(place))


def _kind(annotation):
  if annotation.get('segmentation'):
    return 'polygon of fewer than three points'
  return 'keypoints' if annotation.get('keypoints') else 'box'


def _area(annotation, shape, size):
  area = annotation.get('area')
  if isinstance(area, (int, float)) and area > 0:
    return float(area)
  return float(shape.region(*size)[2].sum())


def _shape(segmentation, size):
  """A shape, or None if it covers nothing."""
  if isinstance(segmentation, dict):
    return runs(segmentation['counts'], segmentation['size'], size)
  if not segmentation:
    return None
  if not isinstance(segmentation[0], list):
    segmentation = [segmentation]
  rings = tuple(ring for ring in map(shapes.points, segmentation) if len(ring))
  shapes.check_length(*rings, scale=5)
  return shapes.CocoPolygon(rings) if rings else None


def runs(counts: Any, size: Any, expected: tuple[int, int]) -> shapes.Runs:
  """Checks run lengths, a list or the compressed text of the COCO API.

  Raises:
    ValueError: they are not for an image of the expected (height, width).
  """
  if tuple(map(whole, size)) != expected:
    raise ValueError(f'run lengths are for {size}, but the image is {expected}')
  if isinstance(counts, str):
    lengths = _decompress(counts)
  else:
    lengths = [whole(count) for count in counts]
  if min(lengths, default=0) < 0 or sum(lengths) != expected[0] * expected[1]:
    raise ValueError('run lengths do not add up to the size of the image')
  return shapes.Runs(np.array(lengths, np.int64), expected)


def _decompress(text):
  """Numbers in groups of 5 bits, from the third on as differences.

  The steps of rleFrString in the COCO API (maskApi.c).
  """
  lengths: list[int] = []
  value = shift = 0
  for letter in text.encode('ascii'):
    bits = letter - 48
    if not 0 <= bits < 64:
      raise ValueError(f'run lengths have the letter {chr(letter)!r}')
    value |= (bits & 31) << shift
    shift += 5
    if not bits & 32:
      if bits & 16:
        value -= 1 << shift
      lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
      value = shift = 0
  if shift:
    raise ValueError('run lengths are cut off')
  return lengths
