"""The background of a scene: sky above, ground below, per pixel."""

import dataclasses

import numpy as np
from PIL import Image

from deeplab_contrast.datasets.scenes import camera as camera_lib
from deeplab_contrast.datasets.scenes import classes, palette
from deeplab_contrast.datasets.scenes import light as light_lib

# The background's two things, numbers 0 and 1.
LABELS = (classes.SKY, classes.ROAD)


def clouds(
  rng: np.random.Generator, height: int, width: int, cells: int
) -> np.ndarray:
  """Smooth noise, float32 [height, width] around 0.5: `cells` rows of it."""
  small = rng.random((cells, max(2, cells * width // height)))
  image = Image.fromarray((small * 255).astype(np.uint8))
  image = image.resize((width, height), Image.Resampling.BICUBIC)
  return np.asarray(image, dtype=np.float32) / 255


@dataclasses.dataclass(frozen=True)
class Ground:
  """What is on the ground and where, in metres.

  Attributes:
    middle: x of the middle of the road.
    half: half the width of the road.
    lanes: in both directions together.
    crossing: z where a zebra crossing starts, or None.
    edge: width of the kerb.
    shadows: float [200], for depths of 0, 1, ... metres: points further than
      this from the middle of the road towards the sun are in a house's shadow.
  """

  middle: float
  half: float
  lanes: int
  crossing: float | None
  edge: float
  shadows: np.ndarray


def grains(
  rng: np.random.Generator,
) -> tuple[tuple[float, float], tuple[float, float]]:
  """Draws the textures, fine and coarse, of the background's two things."""
  return (0.0, 0.03), (rng.uniform(0, 0.12), rng.uniform(0, 0.15))


def draw(
  rng: np.random.Generator,
  camera: camera_lib.Camera,
  light: light_lib.Light,
  plan: Ground,
) -> tuple[np.ndarray, np.ndarray]:
  """Draws sky and ground.

  Args:
    rng: the source of randomness.
    camera: the view.
    light: the weather and time of day.
    plan: what is on the ground.

  Returns:
    (colors, things): float32 [height, width, 3], 0 to 255, and int64
    [height, width], places in LABELS.
  """
  x, z, below = camera.ground()
  colors = _sky(rng, camera, light)
  # Only the rows with ground in them: work on others would be wasted.
  low = slice(int(below.any(axis=1).argmax()), None)
  ground = _ground(rng, x[low], z[low], light, plan)
  colors[low] = np.where(below[low, :, np.newaxis], ground, colors[low])
  return colors, below.astype(int)


def _sky(rng, camera, light):
  """Sky colours for the whole canvas, float32 [height, width, 3]."""
  top, bottom = np.float32(light.sky_top), np.float32(light.sky_bottom)
  rows = np.linspace(0, 1, camera.height, dtype=np.float32)
  share = np.minimum(rows * (camera.height / camera.horizon), 1)
  colors = top + (bottom - top) * share[:, np.newaxis, np.newaxis]
  puffs = clouds(rng, camera.height, camera.width, 5)
  puffs = puffs + 0.5 * clouds(rng, camera.height, camera.width, 14)
  cover = np.clip((puffs - (1.05 - 0.6 * light.clouds)) * 3, 0, 1)
  white = np.float32(rng.uniform(150, 245) + rng.uniform(-5, 5, 3))
  return _mix(colors, white, cover * 0.8)


def _ground(rng, x, z, light, plan):
  """Colours of the ground at places (x, z), float32 [..., 3]."""
  x, z = np.clip(x - plan.middle, -90, 90), np.minimum(z, 190)
  asphalt = np.float32(palette.pick(rng, palette.ASPHALT, 0.05))
  pavement = np.float32(palette.pick(rng, palette.PAVEMENT, 0.15))
  on_road = np.abs(x) < plan.half
  bright = np.where(on_road, _asphalt(rng, x, z), _slabs(rng, x, z))
  bright = np.asarray(bright * _shade(x, z, light, plan), np.float32)
  colors = np.where(on_road[..., np.newaxis], asphalt, pavement)
  paint = _marks(rng, x, z, plan)
  kerb = np.abs(np.abs(x) - plan.half) < plan.edge
  colors = _mix(colors, rng.uniform(150, 215), paint)
  colors = np.where(kerb[..., np.newaxis], rng.uniform(90, 190), colors)
  colors = np.asarray(colors, np.float32) * bright[..., np.newaxis]
  if light.wet:
    mirror = _mirror(rng, x, z, light.wet)
    colors = _mix(colors, np.float32(light.sky_top), mirror)
  return _mix(colors, np.float32(light.sky_bottom), light.fade(z))


def _mix(colors, other, share):
  """Colours [..., 3] with a share [...] of another colour, float32."""
  share = np.asarray(share, np.float32)
  return colors + (other - colors) * share[..., np.newaxis]


def _stains(rng, x, z, size, blur=1):
  """Noise fixed to the ground: float32 as x, 0 to 1, cells of `size` m."""
  noise = rng.random((64, 64)).astype(np.float32)
  for _ in range(blur):
    noise = (noise + np.roll(noise, 1, 0) + np.roll(noise, 1, 1)) / 3
  row = (z / size).astype(np.int32) % 64
  column = np.floor(x / size).astype(np.int32) % 64
  return noise[row, column]


def _asphalt(rng, x, z):
  """Brightness of worn asphalt: patches, dark tracks of tyres, cracks."""
  patches = _stains(rng, x, z, rng.uniform(1.2, 3.5), blur=0)
  grain = _stains(rng, x, z, 0.12)
  tracks = np.abs(np.abs(x) % 3.2 - 1.6)
  wear = 0.1 * rng.random() * np.clip(1 - np.abs(tracks - 0.8) * 3, 0, 1)
  patch = np.where(patches > 0.86, rng.uniform(0.7, 1.2), 1)
  return patch * (0.88 + 0.24 * grain - wear)


def _slabs(rng, x, z):
  """Brightness of a pavement of slabs or cobbles."""
  size = rng.uniform(0.25, 1.2)
  tone = _stains(rng, x, z, size, blur=0)
  joint = ((x / size) % 1 < 0.1) | ((z / size) % 1 < 0.1)
  # Joints blur into their slabs in the distance.
  joint = joint * np.clip(1.4 - z / 14, 0, 1)
  return 0.88 + 0.24 * rng.random() * tone - 0.2 * joint


def _marks(rng, x, z, plan):
  """How much white paint there is: lane marks, edge lines, a crossing."""
  width = 2 * plan.half / plan.lanes
  lane = (x + plan.half) % width
  between = np.minimum(lane, width - lane) < 0.09
  inside = np.abs(x) < plan.half - 0.5
  dashed = (z + rng.uniform(0, 9)) % 9 < rng.uniform(2.5, 6)
  paint = between & inside & (dashed | (rng.random() < 0.2))
  if rng.random() < 0.5:
    paint |= np.abs(np.abs(x) - plan.half + 0.4) < 0.08
  if plan.crossing is not None:
    stripes = (x / rng.uniform(0.9, 1.3)) % 1 < 0.5
    across = np.abs(z - plan.crossing - 1.6) < 1.6
    paint |= stripes & across & (np.abs(x) < plan.half)
  worn = 0.3 + 0.7 * _stains(rng, x, z, 0.3)
  return paint * worn * rng.uniform(0.35, 1.0)


def _shade(x, z, light, plan):
  """Brightness left by the shadows of the houses."""
  if not light.sun:
    return np.ones_like(x)
  edge = plan.shadows[np.clip(z, 0, 199).astype(np.int32)]
  return np.where(light.sun * x > edge, np.float32(1 - light.shadow), 1)


def _mirror(rng, x, z, wet):
  """How much wet ground mirrors the sky: everywhere a bit, puddles more."""
  water = _stains(rng, x, z, 0.7, blur=3)
  puddles = np.clip((water - 0.56) * 9, 0, 1)
  # Water mirrors more at flatter angles.
  return wet * (0.12 + 0.5 * puddles) * np.clip(z / 22, 0.15, 1)
