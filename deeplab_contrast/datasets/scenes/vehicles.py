"""Cars, vans, buses and lorries: a side view extruded to a solid."""

import dataclasses
import math

import numpy as np

from deeplab_contrast.datasets.scenes import canvas as canvas_lib
from deeplab_contrast.datasets.scenes import classes, palette, shapes


@dataclasses.dataclass(frozen=True)
class Model:
  """One type of vehicle.

  Attributes:
    outline: (along, up) in metres from the rear bumper over the roof to the
      front bumper; along is 0 at the middle and grows to the front.
    width: in metres.
    glass: (along, up) outline of the side windows.
    panes: which edges of `outline` are windows of the rear and the front.
    wheel: radius, in metres.
  """

  outline: tuple[tuple[float, float], ...]
  width: float
  glass: tuple[tuple[float, float], ...]
  panes: tuple[int, ...]
  wheel: float = 0.33

  @property
  def length(self) -> float:
    """In metres."""
    return self.outline[-1][0] - self.outline[0][0]

  @property
  def height(self) -> float:
    """In metres."""
    return max(up for _, up in self.outline)


SEDAN = Model(
  outline=(
    (-2.2, 0.3),
    (-2.2, 0.85),
    (-1.55, 0.95),
    (-0.95, 1.42),
    (0.35, 1.45),
    (1.05, 0.98),
    (2.1, 0.8),
    (2.2, 0.3),
  ),
  width=1.78,
  glass=((-1.35, 0.97), (-0.88, 1.34), (0.3, 1.37), (0.88, 0.97)),
  panes=(2, 4),
)
HATCHBACK = Model(
  outline=(
    (-1.9, 0.3),
    (-1.95, 0.9),
    (-1.6, 1.45),
    (0.2, 1.5),
    (0.95, 1.0),
    (1.85, 0.82),
    (1.95, 0.3),
  ),
  width=1.72,
  glass=((-1.6, 0.97), (-1.35, 1.38), (0.15, 1.42), (0.75, 0.98)),
  panes=(1, 3),
)
OFFROADER = Model(
  outline=(
    (-2.2, 0.4),
    (-2.25, 1.05),
    (-2.05, 1.75),
    (0.3, 1.8),
    (0.9, 1.18),
    (2.1, 1.05),
    (2.2, 0.4),
  ),
  width=1.9,
  glass=((-2.0, 1.15), (-1.85, 1.66), (0.22, 1.7), (0.7, 1.16)),
  panes=(1, 3),
  wheel=0.4,
)
VAN = Model(
  outline=(
    (-2.5, 0.35),
    (-2.5, 1.2),
    (-2.45, 2.1),
    (1.1, 2.1),
    (1.9, 1.25),
    (2.45, 1.0),
    (2.5, 0.35),
  ),
  width=1.95,
  glass=((0.55, 1.2), (0.55, 1.85), (1.1, 1.85), (1.65, 1.2)),
  panes=(1, 3),
  wheel=0.36,
)
LORRY = Model(
  outline=(
    (-3.6, 0.6),
    (-3.6, 3.1),
    (1.7, 3.1),
    (1.75, 2.6),
    (2.9, 2.5),
    (3.2, 1.5),
    (3.2, 0.4),
  ),
  width=2.4,
  glass=((2.0, 1.5), (2.0, 2.3), (2.75, 2.3), (2.9, 1.5)),
  panes=(4,),
  wheel=0.48,
)
BUS = Model(
  outline=(
    (-5.0, 0.35),
    (-5.0, 1.3),
    (-4.95, 2.9),
    (4.9, 2.9),
    (5.0, 1.2),
    (5.0, 0.35),
  ),
  width=2.5,
  glass=((-4.7, 1.3), (-4.7, 2.5), (4.5, 2.5), (4.5, 1.3)),
  panes=(1, 3),
  wheel=0.48,
)
# Repetition makes a model more frequent.
CARS = 4 * (SEDAN, HATCHBACK) + 2 * (OFFROADER,) + (VAN,)
VEHICLES = 2 * CARS + (LORRY, BUS)


def car(
  rng: np.random.Generator,
  canvas: canvas_lib.Canvas,
  model: Model,
  x: float,
  z: float,
  yaw: float,
  light: float,
) -> None:
  """Draws one vehicle with its shadow.

  Args:
    rng: the source of randomness.
    canvas: to draw on.
    model: the type of vehicle.
    x: x of its middle, metres.
    z: likewise.
    yaw: radians; 0 drives away from the camera, pi towards it.
    light: brightness at its place.
  """
  body = _Body(model, x, z, yaw, rng.uniform(0.92, 1.06))
  color = palette.pick(rng, palette.PAINT, 0.15)
  glass = _glass(rng, canvas.light)
  thing = canvas.thing(classes.CAR, (rng.uniform(0, 0.05), 0.12))
  _shadow(canvas, body)
  for number, face in body.panels(canvas.camera.eye):
    _panel(rng, canvas, thing, body.model, number, face, color, glass, light)
  _flank(rng, canvas, thing, body, color, glass, light)


class _Body:
  """The faces of one vehicle in the street."""

  def __init__(self, model, x, z, yaw, scale):
    self.model = model
    self._outline = np.array(model.outline) * scale
    self._scale, self._half = scale, model.width * scale / 2
    self._place, self._turn = (x, z), (math.sin(yaw), math.cos(yaw))

  def at(self, along, across, up):
    """World points [..., 3] of points of the vehicle."""
    (x, z), (sine, cosine) = self._place, self._turn
    right = x + along * sine + across * cosine
    away = z + along * cosine - across * sine
    return np.stack([right, up + 0 * right, away], axis=-1)

  def panels(self, eye):
    """Faces of rear, roof and front that a camera at height `eye` sees.

    Returns:
      (number, float [4, 3]) pairs, far ones first; the number is that of the
      edge of the outline, the corners start from its left start.
    """
    start, end, half = self._outline[:-1], self._outline[1:], self._half
    corners = [(start, -half), (start, half), (end, half), (end, -half)]
    panels = np.stack(
      [self.at(edge[:, 0], across, edge[:, 1]) for edge, across in corners],
      axis=1,
    )
    across, up = panels[:, 1] - panels[:, 0], panels[:, 3] - panels[:, 0]
    outward = np.cross(up, across)
    seen = (outward * (panels[:, 0] - (0, eye, 0))).sum(axis=-1) < 0
    order = np.argsort(-panels[..., 2].mean(axis=1), kind='stable')
    return [(int(number), panels[number]) for number in order if seen[number]]

  def near_side(self):
    """-1 or 1: which flank faces the camera, and whether it does at all."""
    (x, z), (sine, cosine) = self._place, self._turn
    offset = -(x * cosine - z * sine)
    return (1 if offset > 0 else -1), abs(offset) > self._half

  def flank(self, points, side):
    """World points [n, 3] of (along, up) points on one side."""
    points = np.asarray(points) * self._scale
    return self.at(points[:, 0], side * self._half, points[:, 1])

  def footprint(self, margin):
    """The ground under the vehicle, float [4, 3]."""
    rear, front = self._outline[0, 0] - margin, self._outline[-1, 0] + margin
    half = self._half + margin
    along = np.array([rear, front, front, rear])
    return self.at(along, np.array([-half, -half, half, half]), 0.01)


def _glass(rng, light):
  """Windows are dark or mirror the sky."""
  dark = palette.pick(rng, palette.GLASS, 0)
  return dark + (np.array(light.sky_top) - dark) * rng.uniform(0, 0.6)


def _shadow(canvas, body):
  """Darkens the ground below."""
  for margin, alpha in ((0.45, 60), (0.05, 150)):
    canvas.paint(None, body.footprint(margin), palette.BLACK, alpha=alpha)


def _panel(rng, canvas, thing, model, number, face, color, glass, light):
  """Draws one face of the rear, the roof or the front."""
  rise = abs(face[3, 1] - face[0, 1])
  steep = rise / (rise + abs(face[3, 2] - face[0, 2]) + 1e-6)
  shade = light * (1.15 - 0.3 * steep) * canvas.light.front
  canvas.paint(thing, face, color, shade)
  if number in model.panes:
    canvas.paint(None, shapes.inset(face, 0.08, 0.92, 0.08, 0.92), glass, light)
  last = len(model.outline) - 2
  if number == 0:
    _end(rng, canvas, face, (150, 24, 22), light)
  elif number == last:
    # The front runs from the roof down: turn it upright.
    _end(rng, canvas, face[[3, 2, 1, 0]], (232, 228, 206), light)


def _end(rng, canvas, face, lamps, light):
  """Draws lamps, bumper and number plate on a rear or a front."""
  bumper = shapes.inset(face, 0, 1, 0, rng.uniform(0.2, 0.45))
  canvas.paint(None, bumper, np.array((38, 38, 40)), light)
  glow = 1.6 if rng.random() < canvas.light.lit else light
  size = rng.uniform(0.12, 0.24)
  pair = shapes.inset(
    face,
    np.array([0.04, 0.96 - size]),
    np.array([0.04 + size, 0.96]),
    rng.uniform(0.5, 0.62),
    rng.uniform(0.75, 0.95),
  )
  canvas.paint(None, pair, np.array(lamps), glow)
  plate = shapes.inset(face, 0.36, 0.64, 0.38, 0.6)
  canvas.paint(None, plate, palette.WHITE, light)


def _flank(rng, canvas, thing, body, color, glass, light):
  """Draws the side towards the camera with its windows and wheels."""
  side, faces = body.near_side()
  if not faces:
    return
  shade = light * rng.uniform(0.8, 0.98)
  outline = np.array(body.model.outline)
  canvas.paint(thing, body.flank(outline, side), color, shade)
  canvas.paint(None, body.flank(body.model.glass, side), glass, shade)
  _pillars(canvas, body, side, color, shade)
  trim = [(outline[0, 0], 0.3), (outline[-1, 0], 0.3)]
  low = [(outline[-1, 0], 0.45), (outline[0, 0], 0.45)]
  canvas.paint(None, body.flank(trim + low, side), color * 0.55, shade)
  radius = body.model.wheel
  reach = outline[-1, 0] * 0.64
  for along in (-reach, reach):
    wheel = shapes.disc(along, radius, radius, radius, 0)[:, :2]
    canvas.paint(thing, body.flank(wheel, side), palette.BLACK, light)
    hub = (wheel - (along, radius)) * 0.55 + (along, radius)
    canvas.paint(None, body.flank(hub, side), palette.BACK, light)


def _pillars(canvas, body, side, color, shade):
  """Draws posts between the side windows."""
  glass = np.array(body.model.glass)
  left, right = glass[:, 0].min(), glass[:, 0].max()
  low, high = glass[:, 1].min(), glass[:, 1].max()
  count = max(1, int((right - left) / 1.3))
  for along in np.linspace(left, right, count + 2)[1:-1]:
    post = [
      (along - 0.06, low),
      (along + 0.06, low),
      (along + 0.06, high),
      (along - 0.06, high),
    ]
    canvas.paint(None, body.flank(post, side), color, shade)
