"""People: billboards of limbs, varied in size, pose and clothes."""

import numpy as np

from deeplab_contrast.datasets.scenes import canvas as canvas_lib
from deeplab_contrast.datasets.scenes import classes, palette, shapes


def person(
  rng: np.random.Generator,
  canvas: canvas_lib.Canvas,
  x: float,
  z: float,
  light: float,
) -> None:
  """Draws one person with a shadow, standing or walking."""
  size = rng.uniform(1.5, 1.95) if rng.random() < 0.85 else rng.uniform(1, 1.4)
  figure = _Figure(rng, canvas, x, z, size, light)
  shadow = shapes.puddle(x, z, 0.35, 0.3)
  canvas.paint(None, shadow, palette.BLACK, alpha=90)
  figure.legs()
  figure.trunk()
  figure.head()
  if rng.random() < 0.3:
    figure.luggage()
  if canvas.light.wet > 0.3 and rng.random() < 0.4:
    figure.umbrella()


class _Figure:
  """One person; lengths are fractions of the body height."""

  def __init__(self, rng, canvas, x, z, size, light):
    self._rng, self._canvas, self._light = rng, canvas, light
    self._x, self._z, self._size = x, z, size
    self._girth = rng.uniform(0.85, 1.3)
    self._turn = rng.choice((-1, 1))
    self._top = palette.pick(rng, palette.CLOTH, 0.35)
    self._legs = palette.pick(rng, palette.CLOTH, 0.35)
    self._skin = palette.pick(rng, palette.SKIN, 0, 8)
    grain = (rng.uniform(0, 0.12), rng.uniform(0, 0.15))
    self._thing = canvas.thing(classes.PERSON, grain)

  def legs(self):
    """Two legs and shoes, or a skirt or coat over them."""
    stride = self._rng.uniform(0, 0.17)
    for way, tone in ((-1, 0.85), (1, 1.0)):
      foot, knee = way * stride, way * (stride * 0.45 + 0.02)
      self._limb((way * 0.04, 0.5), (knee, 0.27), 0.11, self._legs * tone)
      self._limb((knee, 0.28), (foot, 0.02), 0.085, self._legs * tone)
      toe = foot + 0.07 * self._turn
      self._limb((foot, 0.02), (toe, 0.02), 0.04, palette.BLACK)
    if self._rng.random() < 0.3:
      hem = self._rng.uniform(0.22, 0.4)
      coat = [(-0.12, hem), (0.12, hem), (0.09, 0.55), (-0.09, 0.55)]
      self._paint(np.array(coat), self._top * 0.95)

  def trunk(self):
    """The upper body between two arms."""
    swing = self._rng.uniform(-0.12, 0.12)
    girth = self._girth
    self._arm(-1, swing, 0.82)
    trunk = [
      (-0.085, 0.48),
      (0.085, 0.48),
      (0.115, 0.78),
      (0.07, 0.84),
      (-0.07, 0.84),
      (-0.115, 0.78),
    ]
    self._paint(np.array(trunk) * (girth, 1), self._top)
    if self._rng.random() < 0.35:
      self._pattern()
    self._arm(1, -swing, 0.93)

  def head(self):
    """Face and hair, or a cap."""
    self._limb((0, 0.8), (0, 0.88), 0.06, self._skin * 0.9)
    self._disc(0, 0.925, 0.052, 0.07, self._skin)
    hair = palette.pick(self._rng, palette.HAIR, 0.2)
    self._disc(-0.014 * self._turn, 0.955, 0.055, 0.05, hair)

  def luggage(self):
    """A bag or a rucksack: it has the label of its owner."""
    color = palette.pick(self._rng, palette.CLOTH, 0.4)
    x, y = -0.15 * self._turn, self._rng.choice((0.36, 0.66))
    self._disc(x, y, 0.075, self._rng.uniform(0.08, 0.14), color)

  def umbrella(self):
    """An open umbrella."""
    dome = [(-0.32, 1.0), (0.32, 1.0), (0.18, 1.13), (0, 1.17), (-0.18, 1.13)]
    self._paint(np.array(dome), palette.pick(self._rng, palette.CLOTH))

  def _arm(self, way, swing, tone):
    shoulder = (way * 0.115 * self._girth, 0.79)
    hand = (way * 0.13 * self._girth + swing, 0.47)
    self._limb(shoulder, hand, 0.065, self._top * tone)
    self._disc(*hand, 0.025, 0.03, self._skin)

  def _pattern(self):
    """Stripes or a vest on the upper body."""
    color = palette.pick(self._rng, palette.CLOTH)
    for y in np.linspace(0.54, 0.74, self._rng.integers(1, 4)):
      reach = 0.085 * self._girth
      self._paint(
        np.array(
          [(-reach, y), (reach, y), (reach, y + 0.05), (-reach, y + 0.05)]
        ),
        color,
      )

  def _limb(self, start, end, width, color):
    bar = shapes.limb(start, end, width * self._girth, 0)
    self._paint(bar[:, :2], color)

  def _disc(self, x, y, radius_x, radius_y, color):
    self._paint(shapes.disc(x, y, radius_x, radius_y, 0)[:, :2], color)

  def _paint(self, outline, color):
    outline = outline * self._size + (self._x, 0)
    face = shapes.upright(outline, self._z)
    self._canvas.paint(self._thing, face, color, self._light)
