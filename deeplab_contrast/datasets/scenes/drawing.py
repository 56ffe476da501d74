"""Draws one scene: a photograph of a street and its exact labels."""

from collections.abc import Sequence

import numpy as np

from deeplab_contrast.datasets.scenes import (
  backdrop,
  classes,
  layout,
  palette,
  sensor,
  shapes,
)
from deeplab_contrast.datasets.scenes import camera as camera_lib
from deeplab_contrast.datasets.scenes import canvas as canvas_lib
from deeplab_contrast.datasets.scenes import light as light_lib


def draw(
  key: Sequence[int], height: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
  """Draws a scene.

  Args:
    key: non-negative ints, e.g. (seed, split, index); the scene is a function
      of the key and the size alone.
    height: in pixels.
    width: in pixels.

  Returns:
    (image, label): uint8 [height, width, 3], uint8 [height, width] of ids of
    `classes` or VOID.
  """
  rng = np.random.Generator(np.random.PCG64(key))
  scale = canvas_lib.SCALE
  camera = camera_lib.sample(rng, height * scale, width * scale)
  light = light_lib.sample(rng)
  street = layout.sample(rng, light)
  canvas = canvas_lib.Canvas(
    camera, light, backdrop.LABELS, backdrop.grains(rng)
  )
  for thing in street.draws:
    thing(rng, canvas)
  if rng.random() < 0.35:
    _bonnet(rng, canvas)
  colors, things = canvas.draw(
    *backdrop.draw(rng, camera, light, street.ground)
  )
  colors = colors * _texture(rng, things, canvas.grains)[..., np.newaxis]
  colors = sum(
    colors[row::scale, column::scale]
    for row in range(scale)
    for column in range(scale)
  ) / (scale * scale)
  # A label is that of one point of its pixel: ids can't be averaged.
  labels = np.array(canvas.labels, dtype=np.uint8)[things[::scale, ::scale]]
  return sensor.degrade(rng, colors, light), labels


def _texture(rng, things, grains):
  """Brightness of every pixel by the texture of its thing, float32."""
  height, width = things.shape
  fine, coarse = np.array(grains, np.float32).T
  grain = rng.random((height, width), dtype=np.float32)
  grain = (grain + np.roll(grain, 1, axis=0) - 1) * 1.6
  cells = int(rng.integers(16, 34))
  lumps = (backdrop.clouds(rng, height, width, cells) - 0.5) * 2
  return 1 + fine[things] * grain + coarse[things] * lumps


def _bonnet(rng, canvas):
  """Draws the bonnet of the car with the camera: void."""
  camera = canvas.camera
  thing = canvas.thing(classes.VOID, (0.01, 0.1))
  z = 1.0
  middle = rng.uniform(-0.1, 0.1)
  low = camera.eye - (camera.height - camera.horizon) / camera.focal
  rise = (0.05 + 0.11 * rng.random()) * camera.height / camera.focal
  half = rng.uniform(0.5, 0.9)
  outline = [
    (middle - half, low - 0.5),
    (middle + half, low - 0.5),
    (middle + half * 0.8, low + rise * 0.7),
    (middle + half * 0.4, low + rise),
    (middle - half * 0.4, low + rise),
    (middle - half * 0.8, low + rise * 0.7),
  ]
  color = palette.pick(rng, palette.PAINT)
  canvas.paint(thing, shapes.upright(outline, z), color)
  shine = np.array(outline) * (0.9, 1) - (0, rise * 0.35)
  canvas.paint(
    None, shapes.upright(shine, z), np.array(canvas.light.sky_top), alpha=70
  )
