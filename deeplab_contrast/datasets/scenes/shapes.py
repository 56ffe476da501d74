"""Polygons in the street, as float arrays [polygons, corners, (x, y, z)]."""

import numpy as np
import numpy.typing as npt

# A circle of twelve corners, exact on every machine (no sine involved).
_HALF, _ROOT = 0.5, 0.8660254037844386
_CIRCLE = np.array(
  [
    (1, 0),
    (_ROOT, _HALF),
    (_HALF, _ROOT),
    (0, 1),
    (-_HALF, _ROOT),
    (-_ROOT, _HALF),
    (-1, 0),
    (-_ROOT, -_HALF),
    (-_HALF, -_ROOT),
    (0, -1),
    (_HALF, -_ROOT),
    (_ROOT, -_HALF),
  ]
)


def upright(outline: npt.ArrayLike, z: float) -> np.ndarray:
  """Puts float [..., corners, (x, y)] upright, facing the camera at depth z."""
  outline = np.asarray(outline, dtype=np.float64)
  depth = np.full(outline.shape[:-1] + (1,), z)
  return np.concatenate([outline, depth], axis=-1)


def box(
  left: float, right: float, bottom: float, top: float, z: float
) -> np.ndarray:
  """One upright rectangle [4, 3] facing the camera."""
  return upright(
    [(left, bottom), (right, bottom), (right, top), (left, top)], z
  )


def disc(
  x: float, y: float, radius_x: float, radius_y: float, z: float
) -> np.ndarray:
  """One upright ellipse [12, 3] facing the camera."""
  return upright(_CIRCLE * (radius_x, radius_y) + (x, y), z)


def puddle(x: float, z: float, radius_x: float, radius_z: float) -> np.ndarray:
  """One ellipse [12, 3] flat on the ground."""
  flat = _CIRCLE * (radius_x, radius_z) + (x, z)
  return np.insert(flat, 1, 0.01, axis=-1)


def blob(
  rng: np.random.Generator,
  x: float,
  y: float,
  radius_x: float,
  radius_y: float,
  z: float,
) -> np.ndarray:
  """One upright ellipse [12, 3] with a ragged outline."""
  ragged = _CIRCLE * rng.uniform(0.72, 1.12, (len(_CIRCLE), 1))
  return upright(ragged * (radius_x, radius_y) + (x, y), z)


def dabs(
  rng: np.random.Generator,
  count: int,
  ellipse: tuple[float, float, float, float],
  size: float,
  z: float,
) -> np.ndarray:
  """Small triangles [count, 3, 3] spread over an ellipse (x, y, two radii)."""
  x, y, radius_x, radius_y = ellipse
  places = rng.uniform(-0.7, 0.7, (count, 1, 2)) * (radius_x, radius_y)
  corners = rng.uniform(-1, 1, (count, 3, 2)) * size
  return upright(places + corners + (x, y), z)


def limb(
  start: tuple[float, float], end: tuple[float, float], width: float, z: float
) -> np.ndarray:
  """One upright bar [4, 3] from start (x, y) to end (x, y)."""
  (x0, y0), (x1, y1) = start, end
  length = max(((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5, 1e-6)
  across = np.array([y1 - y0, x0 - x1]) * (width / 2 / length)
  corners = [start - across, start + across, end + across, end - across]
  return upright(corners, z)


def wall(
  x0: float, z0: float, x1: float, z1: float, bottom: float, top: float
) -> np.ndarray:
  """One upright rectangle [4, 3] above the ground line (x0, z0)-(x1, z1)."""
  return np.array(
    [(x0, bottom, z0), (x1, bottom, z1), (x1, top, z1), (x0, top, z0)],
    dtype=np.float64,
  )


def inset(
  face: np.ndarray,
  left: float | np.ndarray,
  right: float | np.ndarray,
  bottom: float | np.ndarray,
  top: float | np.ndarray,
) -> np.ndarray:
  """Rectangles inside a four-cornered face.

  Args:
    face: float [4, 3], corners bottom left, bottom right, top right, top left.
    left: float [n] or a number, fraction of the way from left to right.
    right: likewise.
    bottom: likewise, from bottom to top.
    top: likewise.

  Returns:
    float [n, 4, 3], n = 1 if all fractions are numbers.
  """
  count = max(map(np.size, (left, right, bottom, top)))
  across, up = np.empty((2, count, 4, 1))
  for corner, x, y in (
    (0, left, bottom),
    (1, right, bottom),
    (2, right, top),
    (3, left, top),
  ):
    across[:, corner, 0], up[:, corner, 0] = x, y
  low = face[0] + (face[1] - face[0]) * across
  high = face[3] + (face[2] - face[3]) * across
  return low + (high - low) * up


def grid(
  face: np.ndarray,
  columns: int,
  rows: int,
  width: float = 0.6,
  height: float = 0.6,
  shift: float = 0.0,
) -> np.ndarray:
  """A grid of rectangles [rows * columns, 4, 3] inside a face.

  Args:
    face: float [4, 3] as for `inset`.
    columns: how many side by side.
    rows: how many above each other.
    width: width of a rectangle, as a fraction of its cell.
    height: likewise.
    shift: how far they move up, as a fraction of a cell.
  """
  cell = np.arange(rows * columns)
  column, row = cell % columns + 0.5, cell // columns + 0.5 + shift
  return inset(
    face,
    (column - width / 2) / columns,
    (column + width / 2) / columns,
    (row - height / 2) / rows,
    (row + height / 2) / rows,
  )
