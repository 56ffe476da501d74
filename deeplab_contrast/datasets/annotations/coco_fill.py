"""Polygons filled exactly as pycocotools fills them.

A reimplementation of what rleFrPoly in the maskApi.c of the COCO API does.
"""

from collections.abc import Sequence

import numpy as np


def fill(rings: Sequence[np.ndarray], height: int, width: int) -> np.ndarray:
  """Fills the pixels whose centres are inside of any ring.

  Args:
    rings: float [n, 2] each, (x, y).
    height: of the image.
    width: of the image.

  Returns:
    bool [height, width].
  """
  filled = np.zeros([width, height], bool)
  for ring in rings:
    at = _crossings(ring, height, width)
    at = at[at < height * width]
    if len(at):
      # Whole columns: within each, a ring is left as often as entered.
      first, last = at.min() // height, at.max() // height + 1
      size = (last - first) * height
      times = np.bincount(at - first * height, minlength=size)
      inside = (times.cumsum() % 2).astype(bool)
      filled[first:last] |= inside.reshape(-1, height)
  return filled.T


def _crossings(ring, height, width):
  """Where a ring enters or leaves, as column * height + row, int [n].

  The outline is followed in steps of a fifth of a pixel; it crosses where it
  passes the centre of a column.
  """
  scale = 5
  fine = np.trunc(scale * ring + 0.5).astype(np.int64)
  steps = [
    _line(*a, *b) for a, b in zip(fine, np.roll(fine, -1, 0), strict=True)
  ]
  u, v = np.concatenate(steps, 1)
  moves = np.flatnonzero(u[1:] != u[:-1])
  left = np.minimum(u[moves], u[moves + 1])  # The lower of the two columns.
  low = np.minimum(v[moves], v[moves + 1])
  x = (left + 0.5) / scale - 0.5
  y = np.ceil(((low + 0.5) / scale - 0.5).clip(0, height))
  is_centre = (x == np.floor(x)) & (x >= 0) & (x <= width - 1)
  return (x * height + y)[is_centre].astype(np.int64)


def _line(x0, y0, x1, y1):
  """The points of a line, int [2, n], the same in both directions."""
  dx, dy = abs(x1 - x0), abs(y1 - y0)
  count = max(dx, dy)
  is_flipped = (x0 > x1) if dx >= dy else (y0 > y1)
  if is_flipped:
    x0, y0, x1, y1 = x1, y1, x0, y0
  along = np.arange(count + 1)
  if is_flipped:
    along = along[::-1]
  slope = (y1 - y0 if dx >= dy else x1 - x0) / count if count else 0.0
  across = np.trunc((y0 if dx >= dy else x0) + slope * along + 0.5)
  across = across.astype(np.int64)
  first = (x0 if dx >= dy else y0) + along
  return np.stack((first, across) if dx >= dy else (across, first))
