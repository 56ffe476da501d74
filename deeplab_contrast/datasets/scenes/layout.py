"""The things in a street and their places, from far to near."""

import dataclasses
import functools
import math
from collections.abc import Callable

import numpy as np

from deeplab_contrast.datasets.scenes import (
  backdrop,
  buildings,
  furniture,
  people,
  plants,
  vehicles,
)
from deeplab_contrast.datasets.scenes import light as light_lib


@dataclasses.dataclass(frozen=True)
class Street:
  """One street.

  Attributes:
    ground: what is on the ground.
    draws: functions of (rng, canvas), far things first.
  """

  ground: backdrop.Ground
  draws: tuple[Callable, ...]


def sample(rng: np.random.Generator, light: light_lib.Light) -> Street:
  """Draws a street under a light."""
  plan = _Plan(rng, light)
  plan.end()
  for side in (-1, 1):
    plan.row(side)
    plan.kerb(side)
    plan.pavement(side)
  plan.traffic()
  plan.overhead()
  return plan.street()


class _Plan:
  """Collects the things of one street with their depths."""

  def __init__(self, rng, light):
    self._rng, self._light = rng, light
    self._half = rng.uniform(4.4, 7.2)
    self._walk = rng.uniform(1.8, 4.2)
    self._middle = self._half * rng.uniform(-0.6, 0.6)
    self._far = rng.uniform(50, 150)
    self._shadows = np.full(200, np.inf)
    self._slant = rng.uniform(0.3, 1.3)
    self._busy = rng.uniform(0.25, 1.0)
    # Where people cross the road, and perhaps the paint for it.
    self._crossing = rng.uniform(7, 22)
    self._things: list[tuple[float, Callable]] = []
    self._taken: list[tuple[float, float, float, float]] = []

  def street(self):
    """The street made of all things collected so far."""
    rng = self._rng
    ground = backdrop.Ground(
      middle=self._middle,
      half=self._half,
      lanes=int(rng.integers(2, 5)) if self._half > 5 else 2,
      crossing=self._crossing if rng.random() < 0.35 else None,
      edge=rng.uniform(0.05, 0.25),
      shadows=self._shadows,
    )
    order = sorted(self._things, key=lambda thing: -thing[0])
    return Street(ground, tuple(draw for _, draw in order))

  def end(self):
    """The end of the street: houses, a wood, both or open sky."""
    rng, far = self._rng, self._far
    if rng.random() < 0.6:
      self._add(far + 70, plants.hills, far=far + 60)
    if rng.random() < 0.7:
      self._add(far + 60, buildings.skyline, far=far)

  def row(self, side):
    """Houses, gardens and gaps along one side."""
    rng = self._rng
    wall = self._middle + side * (self._half + self._walk)
    near, tall = rng.uniform(0.5, 3), rng.uniform(0.4, 1.0)
    green = rng.uniform(0.05, 0.4)
    while near < self._far:
      far = near + rng.uniform(6, 20)
      kind = rng.random()
      if kind < green:
        self._garden(wall, side, near, far)
      elif kind < green + 0.08:
        pass  # A gap between the houses.
      else:
        self._house(wall, side, near, far, rng.uniform(4, 24) * tall)
      near = far + (rng.uniform(1, 6) if rng.random() < 0.3 else 0)

  def kerb(self, side):
    """Lamps, trees, signs and parked cars along one kerb."""
    rng = self._rng
    x = self._middle + side * (self._half + 0.5)
    if rng.random() < 0.85:
      step = rng.uniform(9, 24)
      for z in np.arange(rng.uniform(4, 18), 80, step):
        self._upright(furniture.lamp, x, z, toward=-side)
    if rng.random() < 0.5:
      step = rng.uniform(6, 16)
      for z in np.arange(rng.uniform(5, 14), self._far, step):
        self._upright(plants.tree, x + side * 0.4, z)
    for z in rng.uniform(7, 26, rng.integers(0, 4)):
      self._upright(furniture.sign, x + side * rng.uniform(-0.3, 0.5), z)
    if rng.random() < 0.25:
      self._upright(furniture.traffic_light, x, self._crossing + 3)
    if rng.random() < 0.2:
      self._upright(furniture.bollards, x, rng.uniform(5, 16))
    if rng.random() < 0.6:
      self._parked(side)

  def pavement(self, side):
    """People and clutter on one pavement."""
    rng = self._rng
    edge = self._half + 0.5
    for _ in range(rng.poisson(4.2 * self._busy)):
      x = self._middle + side * rng.uniform(edge, self._half + self._walk)
      # From where the picture shows the pavement; many near, where they are
      # large enough to be recognised.
      z = 1.2 * abs(x) + 26 * rng.random() ** 1.8
      self._upright(people.person, x, z)
      if rng.random() < 0.3:
        self._upright(people.person, x + rng.uniform(0.4, 0.8), z + 0.2)
    for z in rng.uniform(5, 30, rng.integers(0, 3)):
      x = self._middle + side * rng.uniform(edge, self._half + self._walk)
      self._upright(furniture.clutter, x, z)

  def traffic(self):
    """Cars in the lanes, a car across, people on the road."""
    rng, lane = self._rng, (self._half - 2.2) / 2
    if rng.random() < 0.22:
      yaw = rng.choice((-1, 1)) * math.pi / 2 + rng.uniform(-0.4, 0.4)
      x = self._middle + rng.uniform(-1, 1) * self._half * 1.3
      self._vehicle(x, self._crossing + 9, yaw, vehicles.VEHICLES)
    for side, yaw in ((1, 0.0), (-1, math.pi)):
      for slot in np.arange(8, 70, 12):
        if rng.random() < 0.4 * self._busy:
          x = self._middle + side * lane + rng.uniform(-0.25, 0.25)
          z, turn = slot + rng.uniform(0, 6), yaw + rng.uniform(-0.06, 0.06)
          self._vehicle(x, z, turn, vehicles.VEHICLES)
    for _ in range(rng.poisson(1.6 * self._busy)):
      x = self._middle + rng.uniform(-1, 1) * self._half
      z = self._crossing + rng.uniform(0, 3)
      if self._free(x, z, 0.4, 0.4):
        self._upright(people.person, x, z)

  def overhead(self):
    """Direction boards and wires over the road."""
    rng = self._rng
    left = self._middle - self._half - 0.6
    right = self._middle + self._half + 0.6
    if rng.random() < 0.18:
      z = rng.uniform(14, 34)
      ends = (left, right) if rng.random() < 0.5 else (right, left)
      draw = functools.partial(furniture.gantry, light=self._at(left, z))
      self._add(z, draw, left=ends[0], right=ends[1], z=z)
    if rng.random() < 0.3:
      for z in rng.uniform(8, 50, rng.integers(1, 5)):
        self._add(z, furniture.wire, left=left - 3, right=right + 3, z=z)

  def _parked(self, side):
    """A row of parked cars with gaps."""
    rng = self._rng
    x = self._middle + side * (self._half - 1.1)
    full = rng.uniform(0.2, 0.9)
    yaw = 0.0 if side > 0 or rng.random() < 0.3 else math.pi
    for slot in np.arange(rng.uniform(4.5, 8), 60, 6.2):
      if rng.random() < full:
        z, turn = slot + rng.uniform(-0.4, 0.4), yaw + rng.uniform(-0.05, 0.05)
        self._vehicle(x, z, turn, vehicles.CARS)

  def _vehicle(self, x, z, yaw, models):
    """Adds a vehicle if there is room for it."""
    model = models[self._rng.integers(len(models))]
    room = (model.width / 2, model.length / 2 + 0.3)
    if abs(math.sin(yaw)) > 0.5:
      room = room[::-1]
    # A bus just ahead would hide the whole street.
    clear = z - room[1] > 2.5 * model.height
    if clear and self._free(x, z, *room):
      self._taken.append((x, z, *room))
      # Things next to a vehicle are mostly behind it, seen from the road: so
      # its rear decides what it covers.
      rear = z - room[1]
      self._upright(vehicles.car, x, z, depth=rear, model=model, yaw=yaw)

  def _free(self, x, z, half_x, half_z):
    """Whether no vehicle stands in this rectangle of the ground."""
    return all(
      abs(x - other_x) > half_x + room_x or abs(z - other_z) > half_z + room_z
      for other_x, other_z, room_x, room_z in self._taken
    )

  def _house(self, wall, side, near, far, height):
    x = wall + side * self._rng.choice((0, 0, self._rng.uniform(0, 4)))
    self._cast(side, near, far, height)
    self._add(
      far,
      buildings.house,
      x=x,
      side=side,
      near=near,
      far=far,
      height=height,
    )

  def _garden(self, wall, side, near, far):
    """A wall or a hedge with trees behind."""
    rng = self._rng
    for z in np.arange(near + 1, far, rng.uniform(2.5, 6)):
      x = wall + side * rng.uniform(1.5, 9)
      self._upright(plants.tree, x, z)
    edges = (plants.hedge, plants.hedge, buildings.garden_wall)
    edge, height = edges[rng.integers(3)], rng.uniform(0.8, 2.4)
    self._cast(side, near, far, height)
    self._add(far, edge, x=wall, side=side, near=near, far=far, height=height)

  def _cast(self, side, near, far, height):
    """Notes the shadow of a wall on the sunny side."""
    if side == self._light.sun:
      edge = self._half + self._walk - self._slant * height
      self._shadows[int(near) : int(far)] = edge

  def _at(self, x, z):
    """Brightness of things on the ground at (x, z)."""
    edge = self._shadows[min(int(z), 199)]
    dark = self._light.sun and self._light.sun * (x - self._middle) > edge
    return 1 - self._light.shadow * 0.8 if dark else 1.0

  def _upright(self, draw, x, z, depth=None, **options):
    """Adds a thing at one place; shadows are known only later."""

    def lit(rng, canvas):
      draw(rng, canvas, x=x, z=z, light=self._at(x, z), **options)

    self._things.append((z if depth is None else depth, lit))

  def _add(self, depth, draw, **options):
    self._things.append((depth, functools.partial(draw, **options)))
