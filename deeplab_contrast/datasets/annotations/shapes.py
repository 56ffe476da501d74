"""Shapes of annotations, each drawn as the tool that made it draws it.

Tools differ by a pixel at every edge: pycocotools fills the pixels whose centre
is inside, Pillow (labelme) and OpenCV (Ultralytics, Supervisely) the outline
too. A shape has no label here; coordinates are pixels, (x, y), and the centre
of the first pixel is (0, 0), except in COCO, where it is (0.5, 0.5).
"""

import dataclasses
import hashlib
import math
from typing import Protocol

import numpy as np
from PIL import Image, ImageDraw

from deeplab_contrast.datasets.annotations import coco_fill, opencv_fill
from deeplab_contrast.imaging import images

# Widths of what has none, as in labelme's own conversion to masks.
_LINE_WIDTH = 10
_POINT_RADIUS = 5

# How far outside an image a point may be, in pixels, and how many points an
# outline may have when it is drawn: more would take minutes or all memory.
# The most pixels of an image, as in `images`.
MOST_PIXELS = images.MOST_PIXELS

_FARTHEST = 1 << 17
_MOST_POINTS = 1 << 26

# (top, left, bool [height, width]): where a shape is, inside of the image.
Region = tuple[int, int, np.ndarray]


class Shape(Protocol):
  """What can be drawn."""

  def region(self, height: int, width: int) -> Region:
    """The pixels it covers of an image of this size."""

  def mark(self) -> bytes:
    """Changes with what it covers."""


def points(values: object, least: int = 3) -> np.ndarray:
  """Checks coordinates: float64 [n, 2], or [0, 2] if they cover nothing.

  Args:
    values: a list of (x, y), or of x, y, x, y, ...
    least: how many points a shape needs; fewer give an empty array.

  Raises:
    ValueError: they are not numbers, or far outside any image.
  """
  array = np.asarray(values if values is not None else [], np.float64)
  array = array.reshape(-1, 2)
  if not np.isfinite(array).all():
    raise ValueError('it has coordinates that are not numbers')
  if array.size and np.abs(array).max() > _FARTHEST:
    raise ValueError(f'it has a coordinate of {np.abs(array).max():.0f} pixels')
  return array if len(array) >= least else array[:0]


@dataclasses.dataclass(frozen=True, eq=False)
class CocoPolygon:
  """Polygons filled together, as pycocotools does.

  Attributes:
    rings: float [n, 2] each.
  """

  rings: tuple[np.ndarray, ...]

  def region(self, height: int, width: int) -> Region:
    """See `Shape`."""
    return 0, 0, coco_fill.fill(self.rings, height, width)

  def mark(self) -> bytes:
    """See `Shape`."""
    return _digest('coco', *self.rings)


@dataclasses.dataclass(frozen=True, eq=False)
class FilledPolygon:
  """A polygon with its outline, as OpenCV's fillPoly draws it.

  Attributes:
    outline: int [n, 2].
    holes: likewise; their outlines are not filled.
  """

  outline: np.ndarray
  holes: tuple[np.ndarray, ...] = ()

  def region(self, height: int, width: int) -> Region:
    """See `Shape`."""
    filled = opencv_fill.fill((self.outline,), height, width)
    if self.holes:
      filled &= ~opencv_fill.fill(self.holes, height, width)
    return 0, 0, filled

  def mark(self) -> bytes:
    """See `Shape`."""
    return _digest('filled', self.outline, *self.holes)


@dataclasses.dataclass(frozen=True, eq=False)
class Drawn:
  """A shape drawn with Pillow, as labelme does.

  Attributes:
    kind: 'polygon', 'rectangle', 'circle', 'ellipse', 'line' or 'point'.
    points: float [n, 2]: corners; of a circle its centre and a point on it; of
      an ellipse two corners of its box.
  """

  kind: str
  points: np.ndarray

  def region(self, height: int, width: int) -> Region:
    """See `Shape`."""
    image = Image.new('1', (width, height))
    draw, xy = ImageDraw.Draw(image), list(map(tuple, self.points.tolist()))
    if self.kind == 'polygon':
      draw.polygon(xy, outline=1, fill=1)
    elif self.kind == 'rectangle':
      low, high = self.points.min(0), self.points.max(0)
      draw.rectangle((*low, *high), outline=1, fill=1)
    elif self.kind == 'line':
      draw.line(xy, fill=1, width=_LINE_WIDTH)
    else:
      draw.ellipse(self._box(), outline=1, fill=1)
    return 0, 0, np.asarray(image)

  def _box(self):
    if self.kind == 'ellipse':
      return (*self.points.min(0), *self.points.max(0))
    is_circle = self.kind == 'circle'
    radius = math.dist(*self.points) if is_circle else _POINT_RADIUS
    x, y = self.points[0]
    return x - radius, y - radius, x + radius, y + radius

  def mark(self) -> bytes:
    """See `Shape`."""
    return _digest(self.kind, self.points)


@dataclasses.dataclass(frozen=True, eq=False)
class Bitmap:
  """Pixels, at a place.

  Attributes:
    pixels: bool [height, width].
    left: the column of the first of them; it may be outside the image.
    top: the row of the first.
  """

  pixels: np.ndarray
  left: int = 0
  top: int = 0

  def region(self, height: int, width: int) -> Region:
    """See `Shape`."""
    top, left = max(0, self.top), max(0, self.left)
    inside = self.pixels[
      top - self.top : max(0, height - self.top),
      left - self.left : max(0, width - self.left),
    ]
    return top, left, inside

  def mark(self) -> bytes:
    """See `Shape`."""
    place = np.array([self.top, self.left])
    return _digest('bitmap', place, np.packbits(self.pixels, axis=1))


@dataclasses.dataclass(frozen=True, eq=False)
class Runs:
  """Run lengths, column by column, of zeros and ones in turn, as in COCO.

  Attributes:
    counts: int [n].
    size: (height, width) that they are for.
  """

  counts: np.ndarray
  size: tuple[int, int]

  def region(self, height: int, width: int) -> Region:
    """See `Shape`."""
    values = np.arange(len(self.counts)) % 2 == 1
    pixels = np.repeat(values, self.counts).reshape(self.size[::-1]).T
    return Bitmap(pixels).region(height, width)

  def mark(self) -> bytes:
    """See `Shape`."""
    return _digest('runs', np.array(self.size), self.counts)


def check_length(*rings: np.ndarray, scale: int = 1) -> None:
  """Raises ValueError for outlines that would take minutes to draw."""
  length = sum(
    float(np.abs(np.diff(ring, axis=0, append=ring[:1])).max(1).sum())
    for ring in rings
    if len(ring)
  )
  if length * scale > _MOST_POINTS:
    raise ValueError(f'it has an outline of {length:.0f} pixels')


def _digest(kind, *arrays):
  digest = hashlib.blake2b(kind.encode(), digest_size=12)
  for array in arrays:
    digest.update(str((array.shape, array.dtype)).encode())
    digest.update(np.ascontiguousarray(array).tobytes())
  return digest.digest()
