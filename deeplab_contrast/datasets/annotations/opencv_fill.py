"""Polygons filled exactly as fillPoly of OpenCV fills them.

A reimplementation of what its drawing.cpp does with lines of 8 neighbours.
"""

from collections.abc import Sequence

import numpy as np


def fill(rings: Sequence[np.ndarray], height: int, width: int) -> np.ndarray:
  """Fills the inside, by the even-odd rule, and the outlines.

  Args:
    rings: int [n, 2] each, (x, y).
    height: of the image.
    width: of the image.

  Returns:
    bool [height, width].
  """
  rows, places = [], []
  filled = np.zeros([height, width], bool)
  for ring in rings:
    ends = np.concatenate([np.roll(ring, 1, 0), ring], 1).tolist()
    for line in ends:
      clipped, is_visible = _clip(line, height, width)
      if is_visible:
        x, y = _bresenham(*clipped)
        filled[y, x] = True
      row, place = _edge(line, clipped, height)
      rows.append(row)
      places.append(place)
  row, place = np.concatenate(rows), np.concatenate(places)
  order = np.lexsort((place, row))
  row, place = row[order][::2], place[order]
  first = ((place[::2] + 0xFFFF) >> 16).clip(0, width)
  last = ((place[1::2] >> 16) + 1).clip(first, width)
  edges = np.zeros([height, width + 1], np.int32)
  np.add.at(edges, (row, first), 1)
  np.add.at(edges, (row, last), -1)
  return filled | (edges.cumsum(1)[:, :width] > 0)


def _edge(line, clipped, height):
  """The rows that a line crosses, half-open, and where, int64 [n] each."""
  x0, y0, x1, y1 = clipped
  if y0 == y1:
    y0, y1 = line[1], line[3]
  if y0 == y1:
    return np.zeros([2, 0], np.int64)
  slope = int(((x1 - x0) << 16) / (y1 - y0))
  low, high = sorted((line[1], line[3]))
  x, y = (x0, y0) if line[1] < line[3] else (x1, y1)
  start = (x << 16) + (low - y) * slope
  row = np.arange(max(low, 0), max(0, min(high, height)))
  return row, start + (row - low) * slope


def _clip(line, height, width):
  """(line, whether any of it is visible), cut at the borders of the image.

  The ends (x, y, x, y) are rounded to whole pixels, as by clipLine of OpenCV,
  so that the slope changes slightly.
  """
  line, mosts = list(line), (width - 1, height - 1)

  def sides(axis):
    return [
      int(line[i] > mosts[axis]) - int(line[i] < 0) for i in (axis, axis + 2)
    ]

  def is_beyond(axis):
    one, other = sides(axis)
    return one == other != 0

  if is_beyond(0) or is_beyond(1):
    return line, False
  for axis in (1, 0):
    for end, side in zip((axis, axis + 2), sides(axis), strict=True):
      if side:
        limit = mosts[axis] if side > 0 else 0
        other = end + 1 - 2 * axis
        run = line[3 - axis] - line[1 - axis]
        line[other] += int(
          (limit - line[end]) * run / (line[axis + 2] - line[axis])
        )
        line[end] = limit
    if is_beyond(0):
      return line, False
  return line, True


def _bresenham(x0, y0, x1, y1):
  """The points of a line, as OpenCV's LineIterator visits them."""
  if x0 > x1:
    x0, y0, x1, y1 = x1, y1, x0, y0
  dx, dy = x1 - x0, abs(y1 - y0)
  step = 1 if y1 >= y0 else -1
  along = np.arange(max(dx, dy) + 1)
  if not len(along) > 1:
    return np.array([x0]), np.array([y0])
  most, least = max(dx, dy), min(dx, dy)
  across = -((most - 2 * least * along) // (2 * most))  # Halves round down.
  if dx >= dy:
    return x0 + along, y0 + step * across
  return x0 + across, y0 + step * along
