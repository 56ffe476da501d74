"""Poles, signs, traffic lights, and the clutter that has no class."""

from typing import NamedTuple

import numpy as np

from deeplab_contrast.datasets.scenes import canvas as canvas_lib
from deeplab_contrast.datasets.scenes import classes, palette, shapes


class _Place(NamedTuple):
  """The place of a sign: its middle, its half size and its depth, metres."""

  x: float
  y: float
  size: float
  z: float


def lamp(
  rng: np.random.Generator,
  canvas: canvas_lib.Canvas,
  x: float,
  z: float,
  toward: int,
  light: float,
) -> None:
  """Draws a street lamp or a mast; its arm reaches towards the road."""
  height = rng.uniform(4.5, 9)
  color = palette.pick(rng, palette.METAL)
  thing = _post(rng, canvas, x, z, height, color, light)
  if rng.random() < 0.25:
    return
  reach = x + toward * rng.uniform(0.6, 2.2)
  width = max(0.1, 1.5 * canvas.camera.pixel(z))
  arm = shapes.limb((x, height), (reach, height + 0.3), width, z)
  canvas.paint(thing, arm, color, light)
  head = shapes.box(reach - 0.4, reach + 0.4, height + 0.15, height + 0.4, z)
  lit = rng.random() < canvas.light.lit
  glow = np.array((255, 226, 160)) if lit else color * 0.8
  canvas.paint(thing, head, glow, 1.5 if lit else light)


def bollards(
  rng: np.random.Generator,
  canvas: canvas_lib.Canvas,
  x: float,
  z: float,
  light: float,
) -> None:
  """Draws a short row of bollards along the kerb."""
  color = palette.pick(rng, palette.METAL)
  band = palette.WHITE if rng.random() < 0.4 else palette.RED
  for step in range(int(rng.integers(2, 5)), 0, -1):
    near = z + 1.6 * step
    width = max(0.16, 2 * canvas.camera.pixel(near))
    thing = canvas.thing(classes.POLE)
    body = shapes.box(x - width / 2, x + width / 2, 0, 0.95, near)
    canvas.paint(thing, body, color, light)
    stripe = shapes.box(x - width / 2, x + width / 2, 0.7, 0.85, near)
    canvas.paint(None, stripe, band, light)


def sign(
  rng: np.random.Generator,
  canvas: canvas_lib.Canvas,
  x: float,
  z: float,
  light: float,
) -> None:
  """Draws one to three signs on a post, from the front or the back."""
  height = rng.uniform(2.1, 3.3)
  color = palette.pick(rng, palette.METAL)
  _post(rng, canvas, x, z, height, color, light)
  size = rng.uniform(0.28, 0.5)
  y = height - size
  back = rng.random() < 0.15
  for _ in range(int(rng.integers(1, 4))):
    thing = canvas.thing(classes.SIGN, (0.02, 0.06))
    place = _Place(x, y, size, z)
    if back:
      outline = _OUTLINES[rng.integers(len(_OUTLINES))]
      canvas.paint(thing, _plate(outline, place), palette.BACK, light)
    else:
      faces = (_ban, _warning, _order, _board, _stop, _priority)
      faces[rng.integers(len(faces))](rng, canvas, thing, place, light)
    y -= 2 * size
    if y < 1.2:
      break


def traffic_light(
  rng: np.random.Generator,
  canvas: canvas_lib.Canvas,
  x: float,
  z: float,
  light: float,
) -> None:
  """Draws a traffic light on its post."""
  height = rng.uniform(2.6, 4)
  _post(rng, canvas, x, z, height, palette.pick(rng, palette.METAL), light)
  thing = canvas.thing(classes.SIGN, (0.03, 0.03))
  body = palette.BLACK if rng.random() < 0.7 else palette.YELLOW
  tall, wide = 1.1, 0.42
  face = shapes.box(x - wide / 2, x + wide / 2, height - tall, height, z)
  canvas.paint(thing, face, body, light)
  on = rng.integers(3)
  colors = (palette.GREEN * 1.4, palette.ORANGE, palette.RED)
  for number, color in enumerate(colors):
    y = height - tall + (number + 0.5) * tall / 3
    lens = shapes.disc(x, y, 0.13, 0.13, z)
    canvas.paint(None, lens, color, 1.4 if number == on else 0.3)


def gantry(
  rng: np.random.Generator,
  canvas: canvas_lib.Canvas,
  left: float,
  right: float,
  z: float,
  light: float,
) -> None:
  """Draws a mast on one side with direction boards over the road."""
  height = rng.uniform(5.2, 6.2)
  color = palette.pick(rng, palette.METAL)
  thing = _post(rng, canvas, left, z, height, color, light)
  width = max(0.2, 2 * canvas.camera.pixel(z))
  beam = shapes.limb((left, height), (right, height), width, z)
  canvas.paint(thing, beam, color, light)
  for share in rng.uniform(0.3, 0.9, rng.integers(1, 3)):
    board = canvas.thing(classes.SIGN, (0.02, 0.05))
    x = left + (right - left) * share
    place = _Place(x, height - 0.1, rng.uniform(0.6, 0.9), z)
    _board(rng, canvas, board, place, light)


def clutter(
  rng: np.random.Generator,
  canvas: canvas_lib.Canvas,
  x: float,
  z: float,
  light: float,
) -> None:
  """Draws a thing without a class: a bin, a box, a bench, a kiosk."""
  wide, tall = rng.uniform(0.4, 1.8), rng.uniform(0.5, 1.7)
  color = palette.pick(rng, palette.PAINT, 0.5)
  thing = canvas.thing(classes.VOID, (0.08, 0.1))
  canvas.paint(None, shapes.puddle(x, z, wide * 0.6, 0.4), palette.BLACK, 1, 90)
  body = shapes.box(x - wide / 2, x + wide / 2, 0, tall, z)
  canvas.paint(thing, body, color, light)
  lid = shapes.inset(body, -0.04, 1.04, 0.84, 1.0)
  canvas.paint(thing, lid, color * rng.uniform(0.5, 1.4), light)
  label = shapes.inset(body, 0.2, 0.7, 0.3, 0.6)
  canvas.paint(None, label, palette.pick(rng, palette.PAINT), light)


def wire(
  rng: np.random.Generator,
  canvas: canvas_lib.Canvas,
  left: float,
  right: float,
  z: float,
) -> None:
  """Draws a wire over the road: too thin for a label."""
  height, sag = rng.uniform(5, 8), rng.uniform(0.1, 0.7)
  middle = (left + right) / 2
  width = 0.7 * canvas.camera.pixel(z)
  for start, end in (
    ((left, height), (middle, height - sag)),
    ((middle, height - sag), (right, height)),
  ):
    canvas.paint(None, shapes.limb(start, end, width, z), palette.BLACK)


def _post(rng, canvas, x, z, height, color, light):
  """Draws a post at least one label wide; returns its thing."""
  width = max(rng.uniform(0.09, 0.24), 2 * canvas.camera.pixel(z))
  thing = canvas.thing(classes.POLE, (0.03, 0.08))
  post = shapes.limb((x, 0), (x, height), width, z)
  canvas.paint(thing, post, color, light)
  shine = shapes.inset(post, 0, 0.35, 0, 1)
  canvas.paint(None, shine, color, light * rng.uniform(0.75, 1.3))
  return thing


_DISC = shapes.disc(0, 0, 1, 1, 0)[:, :2]
_UP = np.array([(-1, -0.8), (1, -0.8), (0, 0.95)])
_SQUARE = np.array([(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)])
_DIAMOND = np.array([(0, -1), (1, 0), (0, 1), (-1, 0)])
_WIDE = np.array([(-1.9, -0.7), (1.9, -0.7), (1.9, 0.7), (-1.9, 0.7)])
_OUTLINES = (_DISC, _UP, _SQUARE, _DIAMOND)


def _plate(outline, place):
  return shapes.upright(outline * place.size + (place.x, place.y), place.z)


def _layers(canvas, thing, place, light, *layers):
  """Draws (outline, scale, colour) plates on top of each other."""
  for number, (outline, scale, color) in enumerate(layers):
    face = _plate(outline * scale, place)
    canvas.paint(None if number else thing, face, color, light)


def _ban(rng, canvas, thing, place, light):
  inner = palette.WHITE if rng.random() < 0.7 else palette.BLUE
  _layers(
    canvas,
    thing,
    place,
    light,
    (_DISC, 1, palette.RED),
    (_DISC, 0.72, inner),
    (_SQUARE, rng.uniform(0.1, 0.4), palette.BLACK),
  )


def _warning(rng, canvas, thing, place, light):
  turned = _UP * (1, -1) if rng.random() < 0.4 else _UP
  inner = palette.WHITE if rng.random() < 0.7 else palette.YELLOW
  _layers(
    canvas,
    thing,
    place,
    light,
    (turned, 1, palette.RED),
    (turned, 0.6, inner),
  )


def _order(rng, canvas, thing, place, light):
  outline = _DISC if rng.random() < 0.5 else _SQUARE
  _layers(
    canvas,
    thing,
    place,
    light,
    (outline, 1, palette.BLUE),
    (_UP, rng.uniform(0.3, 0.6), palette.WHITE),
  )


def _board(rng, canvas, thing, place, light):
  colors = (palette.WHITE, palette.BLUE, palette.GREEN, palette.YELLOW)
  color = colors[rng.integers(len(colors))]
  text = palette.BLACK if color.sum() > 400 else palette.WHITE
  face = _plate(_WIDE, place)
  canvas.paint(thing, face, color, light)
  rows = int(rng.integers(1, 4))
  canvas.paint(None, shapes.grid(face, 1, rows, 0.7, 0.4), text, light)


def _stop(rng, canvas, thing, place, light):
  _layers(
    canvas,
    thing,
    place,
    light,
    (_DISC, 1, palette.RED),
    (_WIDE, rng.uniform(0.3, 0.4), palette.WHITE),
  )


def _priority(rng, canvas, thing, place, light):
  _layers(
    canvas,
    thing,
    place,
    light,
    (_DIAMOND, 1, palette.WHITE),
    (_DIAMOND, rng.uniform(0.6, 0.8), palette.YELLOW),
  )
