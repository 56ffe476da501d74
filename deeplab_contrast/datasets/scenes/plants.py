"""Trees, hedges and wooded hills."""

from typing import NamedTuple

import numpy as np

from deeplab_contrast.datasets.scenes import canvas as canvas_lib
from deeplab_contrast.datasets.scenes import classes, palette, shapes


class _Crown(NamedTuple):
  """The place and size of a crown, and the tree's height, in metres."""

  x: float
  z: float
  height: float
  radius: float


def tree(
  rng: np.random.Generator,
  canvas: canvas_lib.Canvas,
  x: float,
  z: float,
  light: float,
) -> None:
  """Draws one tree: round, conical or bare, green or autumnal."""
  height, radius = rng.uniform(3.5, 9), rng.uniform(1.0, 2.6)
  grain = (rng.uniform(0.15, 0.4), rng.uniform(0.1, 0.3))
  thing = canvas.thing(classes.TREE, grain)
  bark = palette.pick(rng, palette.BARK, 0.15)
  width = max(rng.uniform(0.16, 0.5), 2 * canvas.camera.pixel(z))
  lean = rng.uniform(-0.4, 0.4)
  trunk = shapes.limb((x, 0), (x + lean, height * 0.6), width, z)
  canvas.paint(thing, trunk, bark, light)
  kinds = (_round, _round, _round, _cone, _bare)
  kind = kinds[rng.integers(len(kinds))]
  kind(rng, canvas, thing, _Crown(x + lean, z, height, radius), light)


def _leaves(rng):
  """The colour of the leaves of one tree."""
  kinds = palette.AUTUMN if rng.random() < 0.35 else palette.SUMMER
  return palette.pick(rng, kinds, 0.06)


def hedge(
  rng: np.random.Generator,
  canvas: canvas_lib.Canvas,
  x: float,
  side: int,
  near: float,
  far: float,
  height: float,
) -> None:
  """Draws a hedge along the street."""
  color = _leaves(rng)
  thing = canvas.thing(classes.TREE, (rng.uniform(0.12, 0.35), 0.2))
  front = shapes.wall(x, near, x + side * 1.5, near, 0, height)
  canvas.paint(thing, front, color, canvas.light.front)
  wall = shapes.wall(x, near, x, far, 0, height)
  columns = max(2, int((far - near) / 0.8))
  strips = shapes.grid(wall, columns, 1, width=1.05, height=1)
  # Uneven tops.
  strips[:, 2:, 1] *= rng.uniform(0.85, 1.15, (columns, 2))
  colors = palette.vary(rng, color, columns)
  canvas.paint(thing, strips[::-1], colors, canvas.light.side(-side))


def hills(
  rng: np.random.Generator, canvas: canvas_lib.Canvas, far: float
) -> None:
  """Draws a wooded ridge at the end of the street."""
  color = _leaves(rng)
  thing = canvas.thing(classes.TREE, (0.12, 0.2))
  count = 25
  x = np.linspace(-1.5 * far, 1.5 * far, count)
  tops = 3 + 5 * rng.random(count) + rng.uniform(0, 14) * rng.random()
  for left, right, low, high in zip(x, x[1:], tops, tops[1:], strict=False):
    ridge = [(left, 0), (right, 0), (right, high), (left, low)]
    canvas.paint(thing, shapes.upright(ridge, far), color, 0.9)


def _round(rng, canvas, thing, crown, light):
  """A crown of several blobs, gaps between the leaves."""
  x, z, height, radius = crown
  color = _leaves(rng)
  count = int(rng.integers(3, 7))
  places = rng.uniform(-0.6, 0.6, (count, 2)) * (radius, height * 0.25)
  tones = rng.uniform(0.8, 1.15, count)
  for (dx, dy), tone in zip(places, tones, strict=True):
    ball = shapes.blob(
      rng, x + dx, height * 0.7 + dy, radius * 0.75, height * 0.25, z
    )
    canvas.paint(thing, ball, color * tone, light)
  ellipse = (x, height * 0.7, radius, height * 0.42)
  _foliage(rng, canvas, ellipse, z, color, light)


def _foliage(rng, canvas, ellipse, z, color, light):
  """Dabs of light and dark leaves, and of the sky, in (x, y, two radii)."""
  count = int(np.clip(260 / z, 6, 24))
  dabs = shapes.dabs(rng, count, ellipse, 0.32, z)
  tones = rng.uniform(0.55, 1.4, (count, 1))
  canvas.paint(None, dabs, color * tones, light, alpha=170)
  holes = shapes.dabs(rng, count // 3, ellipse, 0.13, z)
  canvas.paint(None, holes, np.array(canvas.light.sky_bottom), alpha=200)


def _cone(rng, canvas, thing, crown, light):
  """A fir: triangles on top of each other."""
  x, z, height, radius = crown
  color = palette.pick(rng, palette.SUMMER, 0.1) * 0.8
  for step in np.linspace(0.15, 0.75, 4):
    width = radius * (1 - step) * rng.uniform(0.8, 1.1)
    low, high = height * step, height * (step + 0.36)
    tier = shapes.upright([(x - width, low), (x + width, low), (x, high)], z)
    canvas.paint(thing, tier, color * rng.uniform(0.85, 1.15), light)
  ellipse = (x, height / 2, radius / 2, height / 3)
  _foliage(rng, canvas, ellipse, z, color, light)


def _bare(rng, canvas, thing, crown, light):
  """A tree without leaves: its label still covers the whole crown."""
  x, z, height, radius = crown
  bark = palette.pick(rng, palette.BARK, 0.1)
  hull = shapes.blob(rng, x, height * 0.72, radius, height * 0.3, z)
  canvas.paint(thing, hull, bark, light, alpha=int(rng.integers(30, 110)))
  count = int(np.clip(240 / z, 7, 18))
  starts = height * rng.uniform(0.4, 0.62, count)
  ends = rng.uniform(-0.85, 0.85, (count, 2)) * (radius, height * 0.24)
  width = max(0.07, canvas.camera.pixel(z))
  for start, (dx, dy) in zip(starts, ends, strict=True):
    twig = shapes.limb((x, start), (x + dx, height * 0.72 + dy), width, z)
    canvas.paint(None, twig, bark, light)
