"""The effects of lens, sensor and compression on a picture."""

import numpy as np
from PIL import Image, ImageFilter

from deeplab_contrast.datasets.scenes import light as light_lib

_BLOCK = 8


def _cosines():
  """The orthonormal cosine transform of 8 values, float32 [8, 8]."""
  frequency = np.arange(_BLOCK)[:, np.newaxis]
  place = np.arange(_BLOCK) + 0.5
  basis = np.cos(frequency * place * np.pi / _BLOCK) * 0.5
  basis[0] = 0.125**0.5
  # Rounded, because the last digits of a cosine differ between machines.
  return np.round(basis, 6).astype(np.float32)


_COSINES = _cosines()
_COARSENESS = 1 + np.add.outer(np.arange(_BLOCK), np.arange(_BLOCK)) / 2


def degrade(
  rng: np.random.Generator, colors: np.ndarray, light: light_lib.Light
) -> np.ndarray:
  """Turns clean colours into a photograph.

  Args:
    rng: the source of randomness.
    colors: float32 [height, width, 3], 0 to 255, in neutral light.
    light: the weather and time of day.

  Returns:
    uint8 [height, width, 3].
  """
  colors = _expose(rng, colors, light)
  colors = _blur(rng, colors)
  colors = colors + _noise(rng, colors.shape, light.noise)
  image = np.clip(colors + 0.5, 0, 255).astype(np.uint8)
  if rng.random() < 0.7:
    image = _compress(image, rng.uniform(2, 9))
  return image


def _expose(rng, colors, light):
  """Applies the tint, contrast, saturation and dark corners."""
  colors = colors * np.float32(light.tint)
  gray = colors.mean(axis=-1, keepdims=True)
  colors = gray + (colors - gray) * np.float32(rng.uniform(0.55, 1.2))
  colors = 118 + (colors - 118) * np.float32(rng.uniform(0.75, 1.15))
  height, width = colors.shape[:2]
  y = np.linspace(-1, 1, height, dtype=np.float32)[:, np.newaxis]
  x = np.linspace(-1, 1, width, dtype=np.float32)
  corners = 1 - np.float32(rng.uniform(0, 0.2)) * (x * x + y * y) / 2
  return colors * corners[..., np.newaxis]


def _blur(rng, colors):
  """A lens slightly out of focus, in 8 bits as Pillow filters them."""
  radius = max(0.0, rng.uniform(-0.5, 0.8))
  image = Image.fromarray(np.clip(colors + 0.5, 0, 255).astype(np.uint8))
  image = image.filter(ImageFilter.GaussianBlur(radius))
  return np.asarray(image, dtype=np.float32)


def _noise(rng, shape, strength):
  """Grain of the sensor: mostly brightness, a little colour."""
  brightness = rng.random((*shape[:2], 1), dtype=np.float32)
  color = rng.random(shape, dtype=np.float32)
  return (brightness + 0.6 * color - 0.8) * np.float32(2 * strength)


def _compress(image, step):
  """Rounds 8 x 8 blocks in frequency space, as JPEG does.

  Not with Pillow's JPEG, whose bytes depend on the library it was built with.
  """
  height, width = image.shape[:2]
  padding = ((0, -height % _BLOCK), (0, -width % _BLOCK), (0, 0))
  padded = Image.fromarray(np.pad(image, padding, 'edge')).convert('YCbCr')
  values = np.asarray(padded, dtype=np.float32)
  rows, columns = values.shape[0] // _BLOCK, values.shape[1] // _BLOCK
  blocks = values.reshape(rows, _BLOCK, columns, _BLOCK, 3)
  blocks = _COSINES @ blocks.transpose(0, 2, 4, 1, 3) @ _COSINES.T
  # Colour is rounded three times as coarsely as brightness.
  steps = np.array([1, 3, 3], np.float32)[:, np.newaxis, np.newaxis]
  steps = steps * np.float32(step * _COARSENESS)
  blocks = np.round(blocks / steps) * steps
  blocks = (_COSINES.T @ blocks @ _COSINES).transpose(0, 3, 1, 4, 2)
  values = np.clip(blocks.reshape(values.shape) + 0.5, 0, 255)
  photo = Image.fromarray(values.astype(np.uint8), 'YCbCr').convert('RGB')
  return np.asarray(photo)[:height, :width]
