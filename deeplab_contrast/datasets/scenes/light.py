"""Weather and time of day, which affect all colours of a scene."""

import dataclasses

import numpy as np

Color = tuple[float, float, float]


@dataclasses.dataclass(frozen=True)
class Light:
  """How a scene is lit.

  Attributes:
    sky_top: colour of the sky at the zenith.
    sky_bottom: colour of the sky at the horizon; distant things fade to it.
    haze: the distance in metres at which things have faded by half.
    tint: gain of each colour channel, from sun colour and exposure.
    sun: the side of the sun: -1 left, 1 right, 0 nowhere.
    front: brightness of faces towards the camera.
    shadow: fraction of light that shadows on the ground take away.
    clouds: 0 for a clear sky to 1.
    wet: 0 for dry ground to 1.
    lit: probability that a window or a lamp is lit.
    noise: strength of the camera's noise, in grey levels.
  """

  sky_top: Color
  sky_bottom: Color
  haze: float
  tint: Color
  sun: int
  front: float
  shadow: float
  clouds: float
  wet: float
  lit: float
  noise: float

  def side(self, facing: int) -> float:
    """Brightness of a wall that faces left (-1) or right (1)."""
    return 1.0 + 0.22 * self.sun * facing if self.sun else 0.9

  def fade(self, z: np.ndarray) -> np.ndarray:
    """The fraction of a colour at depth z that is haze."""
    return z / (z + self.haze)


def sample(rng: np.random.Generator) -> Light:
  """Draws a light: sunny, overcast, foggy or dusk."""
  draws = (_sunny, _sunny, _overcast, _overcast, _foggy, _dusk)
  return draws[rng.integers(len(draws))](rng)


def _tint(rng, exposure, warm):
  """Gains of red, green, blue; `warm` above 0 is yellowish."""
  drift = rng.uniform(-0.04, 0.04)
  return (
    exposure * (1 + warm + drift),
    exposure,
    exposure * (1 - warm + drift),
  )


def _gray(rng, low, high):
  """A nearly grey colour between two brightnesses."""
  return tuple(rng.uniform(low, high) + rng.uniform(-7, 7, 3))


def _sunny(rng):
  blue = rng.uniform(0.4, 1.0)
  return Light(
    sky_top=(150 - 90 * blue, 178 - 55 * blue, 214 - 12 * blue),
    sky_bottom=(208 - 30 * blue, 218 - 14 * blue, 228.0),
    haze=rng.uniform(150, 500),
    tint=_tint(rng, rng.uniform(0.92, 1.16), rng.uniform(-0.02, 0.1)),
    sun=1 if rng.random() < 0.5 else -1,
    front=rng.uniform(0.72, 1.08),
    shadow=rng.uniform(0.35, 0.62),
    clouds=rng.random() * rng.random(),
    wet=0.0,
    lit=0.02,
    noise=rng.uniform(1, 6),
  )


def _overcast(rng):
  wet = rng.uniform(0.3, 1.0) if rng.random() < 0.5 else 0.0
  return Light(
    sky_top=_gray(rng, 130, 190),
    sky_bottom=_gray(rng, 165, 222),
    haze=rng.uniform(110, 350),
    tint=_tint(rng, rng.uniform(0.74, 1.05), rng.uniform(-0.07, 0.03)),
    sun=0,
    front=rng.uniform(0.9, 1.05),
    shadow=0.22,
    clouds=rng.uniform(0.2, 1.0),
    wet=wet,
    lit=rng.uniform(0, 0.25),
    noise=rng.uniform(2, 9),
  )


def _foggy(rng):
  gray = _gray(rng, 165, 212)
  return Light(
    sky_top=gray,
    sky_bottom=gray,
    haze=rng.uniform(32, 90),
    tint=_tint(rng, rng.uniform(0.78, 1.08), rng.uniform(-0.06, 0.06)),
    sun=0,
    front=1.0,
    shadow=0.12,
    clouds=0.1,
    wet=rng.random() * 0.5,
    lit=rng.uniform(0, 0.3),
    noise=rng.uniform(2, 8),
  )


def _dusk(rng):
  glow = rng.random()
  return Light(
    sky_top=(84 + 30 * glow, 96.0, 142 - 18 * glow),
    sky_bottom=(150 + 76 * glow, 138 + 26 * glow, 152 - 34 * glow),
    haze=rng.uniform(110, 350),
    tint=_tint(rng, rng.uniform(0.5, 0.78), rng.uniform(-0.1, 0.12)),
    sun=0,
    front=0.82,
    shadow=0.2,
    clouds=rng.uniform(0, 0.7),
    wet=rng.random() * 0.8,
    lit=rng.uniform(0.2, 0.7),
    noise=rng.uniform(5, 13),
  )


def faded(colors: np.ndarray, share: np.ndarray, light: Light) -> np.ndarray:
  """Mixes float [n, 3] colours with the light's haze by fractions [n]."""
  haze = np.array(light.sky_bottom)
  return colors + (haze - colors) * share[:, np.newaxis]
