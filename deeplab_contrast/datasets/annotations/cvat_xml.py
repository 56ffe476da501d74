"""CVAT for images 1.1: an XML of all images, of one or several tasks.

Shapes become pixels as in CVAT's own "Segmentation mask 1.1": polygons and
boxes as pycocotools fills them, masks as they are, those of a higher `z_order`
above. (Ellipses, which CVAT draws with OpenCV, may differ by a pixel: of 300
that were tried with OpenCV 5.0.0, 0.8 % of the pixels did.)
"""

import collections
import math
import posixpath
from collections.abc import Iterator
from xml.etree import ElementTree

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
from deeplab_contrast.utils import errors

WHAT = 'CVAT for images XML'

# The root is within the first bytes of a file.
_HEAD = 2000

# What is not a shape, but may be below an image.
_NOT_SHAPES = ('tag', 'attribute')


def files_of(tree: Tree) -> tuple[str, ...]:
  """The XML files whose root is that of CVAT."""
  return tuple(file for file in tree.ending('.xml') if _is_one(tree, file))


def _is_one(tree, file):
  with tree.reading(file, WHAT), tree.path(file).open('rb') as opened:
    return b'<annotations' in opened.read(_HEAD)


def read(tree: Tree, files: tuple[str, ...]) -> Annotated:
  """Reads all files. Raises DataError for damaged ones."""
  left_out: collections.Counter[str] = collections.Counter()
  images: list[Annotation] = []
  names: list[str] = []
  for file in files:
    text = tree.text(file)
    with tree.reading(file, WHAT):
      if '<!DOCTYPE' in text or '<!ENTITY' in text:
        # Entities can refer to files, or unpack to far too much.
        raise ValueError('it defines entities, which CVAT does not')
      root = ElementTree.fromstring(text.encode())
      names += _names(root)
      task = root.findtext('meta/task/id')
      images += [
        _image(tree, file, one, task, left_out) for one in root.iter('image')
      ]
      has_tracks = root.find('track') is not None
    if has_tracks:
      raise errors.DataError(
        f'{tree.path(file)} is "CVAT for video", which names no image files: '
        'export "CVAT for images 1.1", or "Segmentation mask 1.1" with images.'
      )
  names += sorted({name for image in images for name, _ in image.shapes})
  return Annotated(tuple(images), unique(names), left_out)


def _names(root):
  """All labels but the points of skeletons."""
  for element in root.iterfind('meta//label'):
    if element.find('parent') is None:
      yield label(element.findtext('name'))


def _image(tree, file, element, task, left_out):
  size = size_of(int(element.attrib['height']), int(element.attrib['width']))
  split = splits.of_name(element.get('subset', ''))
  image = tree.image(element.attrib['name'], file, split)
  drawn = sorted(_shapes(element, size, left_out), key=lambda item: item[0])
  return Annotation(
    image,
    file,
    split or splits.of_path(image) or splits.of_name(posixpath.basename(file)),
    size,
    tuple((name, shape) for _, name, shape in drawn),
    element.get('task_id', task),  # Exports of a project have several.
  )


def _shapes(image, size, left_out) -> Iterator[tuple[int, str, shapes.Shape]]:
  """Yields (z_order, label, shape) of an image."""
  for element in image:
    if element.tag in _NOT_SHAPES:
      continue
    if element.tag not in _KINDS:
      left_out[f'shape of the type {element.tag!r}'] += 1
      continue
    shape = _KINDS[element.tag](element, size)
    if shape is None:
      left_out['polygon of fewer than three points'] += 1
    else:
      above = int(element.get('z_order') or 0)
      yield above, label(element.attrib['label']), shape


def _polygon(element, size):
  del size
  pairs = [pair.split(',') for pair in element.attrib['points'].split(';')]
  return _filled(np.array(pairs, np.float64))


def _box(element, size):
  del size
  left, top, right, bottom = _numbers(element, 'xtl', 'ytl', 'xbr', 'ybr')
  corners = np.array(
    [[left, top], [right, top], [right, bottom], [left, bottom]]
  )
  centre = np.array([left + (right - left) / 2, top + (bottom - top) / 2])
  if _rotation(element):
    corners = (corners - centre) @ _turn(element) + centre
  return _filled(corners)


def _ellipse(element, size):
  """Pixels whose centres are inside, or less than half a pixel outside."""
  values = _numbers(element, 'cx', 'cy', 'rx', 'ry')
  centre, radii = np.round(shapes.points(values, 2))
  first = np.clip(centre - radii.max() - 1, 0, size[::-1]).astype(int)
  last = np.clip(centre + radii.max() + 2, 0, size[::-1]).astype(int)
  x, y = np.meshgrid(*map(np.arange, first, last))
  along = np.stack([x, y], -1) - centre
  inside = ((along @ _turn(element).T / (radii + 0.5)) ** 2).sum(-1) <= 1
  return shapes.Bitmap(inside, int(first[0]), int(first[1]))


def _mask(element, size):
  """Runs of zeros and ones in turn, row by row, within a box."""
  left, top, width, height = (
    whole(int(element.attrib[name]))
    for name in ('left', 'top', 'width', 'height')
  )
  counts = [whole(int(count)) for count in element.attrib['rle'].split(',')]
  if top + height > size[0] or left + width > size[1]:
    raise ValueError('a mask is larger than its image')
  if sum(counts) != height * width:
    raise ValueError('run lengths do not add up to the size of the mask')
  values = np.arange(len(counts)) % 2 == 1
  pixels = np.repeat(values, counts).reshape(height, width)
  return shapes.Bitmap(pixels, left, top)


_KINDS = {
  'polygon': _polygon,
  'box': _box,
  'ellipse': _ellipse,
  'mask': _mask,
}


def _filled(corners):
  corners = shapes.points(corners)
  shapes.check_length(corners, scale=5)
  return shapes.CocoPolygon((corners,)) if len(corners) else None


def _numbers(element, *names):
  return [float(element.attrib[name]) for name in names]


def _rotation(element):
  angle = float(element.get('rotation') or 0)
  if not math.isfinite(angle):
    raise ValueError(f'a rotation is {angle}')
  return angle


def _turn(element):
  """The matrix that turns (x, y) clockwise, as seen."""
  angle = math.radians(_rotation(element))
  return np.array(
    [[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]]
  )
