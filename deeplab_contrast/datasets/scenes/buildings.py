"""Houses along the street, garden walls, and the skyline behind."""

import numpy as np

from deeplab_contrast.datasets.scenes import canvas as canvas_lib
from deeplab_contrast.datasets.scenes import classes, palette, shapes

STOREY = 3.1


def house(
  rng: np.random.Generator,
  canvas: canvas_lib.Canvas,
  x: float,
  side: int,
  near: float,
  far: float,
  height: float,
) -> None:
  """Draws one house whose long wall faces the street.

  Args:
    rng: the source of randomness.
    canvas: to draw on.
    x: x of its wall, metres.
    side: -1 left of the street, 1 right.
    near: z of its nearer end.
    far: z of its farther end.
    height: height of its walls, metres.
  """
  color = palette.pick(rng, palette.WALL)
  grain = (rng.uniform(0.02, 0.16), rng.uniform(0.02, 0.16))
  thing = canvas.thing(classes.BUILDING, grain)
  style = _style(rng, color, canvas.light)
  if rng.random() < 0.45:
    _roof(rng, canvas, thing, x, side, near, far, height)
  front = shapes.wall(x, near, x + side * 14, near, 0, height)
  canvas.paint(thing, front, color, canvas.light.front)
  _windows(rng, canvas, front, 14, height, style, canvas.light.front)
  wall = shapes.wall(x, near, x, far, 0, height)
  shade = canvas.light.side(-side)
  columns = max(1, int((far - near) / 3))
  # Narrow strips, so that haze and light can change along the wall.
  strips = shapes.grid(wall, columns, 1, width=1, height=1)
  canvas.paint(thing, strips, palette.vary(rng, color, columns, 0.03), shade)
  _windows(rng, canvas, wall, far - near, height, style, shade)
  _ledges(rng, canvas, wall, color, shade)
  if rng.random() < 0.5:
    _shop(rng, canvas, thing, wall, side, shade)
  if rng.random() < 0.3:
    _poster(rng, canvas, wall, shade)


def garden_wall(
  rng: np.random.Generator,
  canvas: canvas_lib.Canvas,
  x: float,
  side: int,
  near: float,
  far: float,
  height: float,
) -> None:
  """Draws a low wall or fence, open sky above it."""
  color = palette.pick(rng, palette.WALL, 0.5)
  thing = canvas.thing(classes.BUILDING, (rng.uniform(0.03, 0.2), 0.1))
  shade = canvas.light.side(-side)
  wall = shapes.wall(x, near, x, far, 0, height)
  columns = max(1, int((far - near) / 2))
  front = shapes.wall(x, near, x + side * 0.4, near, 0, height)
  canvas.paint(thing, front, color, canvas.light.front)
  strips = shapes.grid(wall, columns, 1, width=1, height=1)
  canvas.paint(thing, strips, palette.vary(rng, color, columns), shade)
  top = shapes.inset(wall, 0, 1, 0.9, 1.0)
  canvas.paint(None, top, color, shade * rng.uniform(0.6, 1.3))


def skyline(
  rng: np.random.Generator, canvas: canvas_lib.Canvas, far: float
) -> None:
  """Draws the end of the street: distant flat houses."""
  x, reach = -1.3 * far, 1.3 * far
  while x < reach:
    width, z = rng.uniform(10, 40), far + rng.uniform(0, 60)
    height = rng.uniform(4, 26)
    color = palette.pick(rng, palette.WALL)
    thing = canvas.thing(classes.BUILDING, (0.04, 0.05))
    face = shapes.box(x, x + width, 0, height, z)
    canvas.paint(thing, face, color, canvas.light.front)
    cells = shapes.grid(face, int(width / 3), int(height / 3))
    canvas.paint(None, cells, color * 0.75, canvas.light.front)
    x += width * rng.uniform(0.7, 1.6)


def _style(rng, color, light):
  """The common style of all windows of a house."""
  mirror = rng.random() < 0.3
  glass = (
    np.array(light.sky_top) if mirror else palette.pick(rng, palette.GLASS, 0)
  )
  whole = rng.random() < 0.12
  return {
    'glass': glass * rng.uniform(0.6, 1.0),
    'frame': color * rng.uniform(0.7, 1.35) if rng.random() < 0.5 else None,
    'width': 0.94 if whole else rng.uniform(0.28, 0.65),
    'height': 0.9 if whole else rng.uniform(0.4, 0.68),
    'cell': rng.uniform(2.0, 3.8),
  }


def _windows(rng, canvas, face, length, height, style, shade):
  """Draws rows of windows on a wall of the given size in metres."""
  columns = max(1, int(length / style['cell']))
  rows = max(1, int(height / STOREY))
  size = {'width': style['width'], 'height': style['height']}
  panes = shapes.grid(face, columns, rows, **size)
  if style['frame'] is not None:
    size = {name: share * 1.2 for name, share in size.items()}
    frames = shapes.grid(face, columns, rows, **size)
    canvas.paint(None, frames, style['frame'], shade)
  colors = palette.vary(rng, style['glass'], len(panes), 0.3)
  lit = rng.random(len(panes)) < canvas.light.lit
  colors[lit] = (250, 214, 140)
  # Lit windows must not darken with their wall.
  canvas.paint(None, panes, colors, np.where(lit, 1.5, shade))


def _ledges(rng, canvas, wall, color, shade):
  """Draws bands along the wall: a base, ledges between storeys, a cornice."""
  bands = rng.uniform(0, 1, rng.integers(1, 4))
  lines = shapes.inset(wall, 0, 1, bands, bands + 0.025)
  canvas.paint(None, lines, color, shade * rng.uniform(0.65, 1.25))
  if rng.random() < 0.5:
    base = shapes.inset(wall, 0, 1, 0, rng.uniform(0.04, 0.12))
    canvas.paint(None, base, palette.pick(rng, palette.WALL), shade * 0.8)


def _shop(rng, canvas, thing, wall, side, shade):
  """Draws shop windows, a coloured board above them, perhaps an awning."""
  length, top = wall[1, 2] - wall[0, 2], 2.6 / wall[2, 1]
  count = max(1, int(length / 4))
  ground = shapes.inset(wall, 0, 1, 0, min(1, top * 1.3))[0]
  panes = shapes.grid(ground, count, 1, rng.uniform(0.6, 0.9), 0.7, -0.08)
  glow = (236, 208, 160) if rng.random() < 0.3 else (44, 48, 54)
  colors = palette.vary(rng, np.array(glow), count, 0.4)
  canvas.paint(None, panes, colors, shade)
  board = shapes.inset(wall, 0.02, 0.98, min(0.85, top), min(1, top * 1.25))
  canvas.paint(None, board, _loud(rng), shade)
  if rng.random() < 0.5:
    awning = wall.copy()
    awning[:, 1] = (2.3, 2.3, 3.0, 3.0)
    awning[:2, 0] -= side * rng.uniform(0.6, 1.4)
    part = shapes.inset(awning, 0.1, rng.uniform(0.4, 0.9), 0, 1)
    stripes = shapes.grid(part[0], int(rng.integers(1, 9)), 1, 1, 1)
    colors = palette.vary(rng, _loud(rng), len(stripes), 0.25)
    canvas.paint(thing, stripes, colors, 0.9)


def _loud(rng):
  """A striking colour, such as those of signs and cars."""
  kinds = (palette.PAINT, palette.CLOTH, palette.SUMMER)
  return palette.pick(rng, kinds[rng.integers(3)])


def _poster(rng, canvas, wall, shade):
  """Draws an advertisement on the wall."""
  left, low = rng.uniform(0.05, 0.6), rng.uniform(0.1, 0.6)
  frame = shapes.inset(
    wall, left, left + rng.uniform(0.1, 0.35), low, low + 0.3
  )
  canvas.paint(None, frame, _loud(rng), shade)
  spots = rng.uniform(0, 0.7, (3, 2))
  inner = shapes.inset(
    frame[0], spots[:, 0], spots[:, 0] + 0.25, spots[:, 1], spots[:, 1] + 0.2
  )
  colors = np.stack([_loud(rng) for _ in spots])
  canvas.paint(None, inner, colors, shade)


def _roof(rng, canvas, thing, x, side, near, far, height):
  """Draws a pitched roof, its gable and perhaps chimneys."""
  color = palette.pick(rng, palette.ROOF)
  rise, depth = rng.uniform(1.5, 3.5), 5
  ridge = x + side * depth
  gable = np.array(
    [
      (x, height, near),
      (x + 2 * side * depth, height, near),
      (ridge, height + rise, near),
    ]
  )
  for z in rng.uniform(near, far, rng.integers(0, 3)):
    stack = shapes.box(ridge - 0.5, ridge + 0.5, height, height + rise + 1, z)
    canvas.paint(thing, stack, color * 0.9, canvas.light.front)
  slope = shapes.wall(x, near, x, far, height, height + rise)
  slope[2:, 0] = ridge
  canvas.paint(thing, gable, color * 1.1, canvas.light.front)
  canvas.paint(thing, slope, color, canvas.light.side(-side))
