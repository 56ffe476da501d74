"""The original network's weight rule and image rule, for golden tests.

The rules are described in shared/golden/README.md.
"""

import pathlib
import zlib

import numpy as np

from deeplab_contrast.core.network import original_names

GOLDEN = pathlib.Path(__file__).resolve().parents[2] / 'shared' / 'golden'


def rule_weights(name, shape):
  """The golden weights of a variable: a function of its original name."""
  rng = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
  z = rng.standard_normal(shape)
  last = name.rsplit('/', 1)[-1]
  if last == 'weights':
    z = z * np.sqrt(1.3 / np.prod(shape[:3]))
    if shape[:3] == (7, 7, 3):
      z = z / 64
  elif last == 'depthwise_weights':
    z = z * np.sqrt(1.3 / (shape[0] * shape[1]))
  elif last == 'gamma':
    z = 1 + 0.1 * z
  elif last == 'moving_variance':
    z = np.exp(0.2 * z)
  else:
    z = 0.1 * z
  return z.astype(np.float32)


def set_rule_weights(model):
  """Gives a built model the golden weights."""
  named = original_names.by_original_name(model.weights)
  for name, variable in named.items():
    variable.assign(rule_weights(name, tuple(variable.shape)))


def rule_image(batch, height, width):
  """The golden image: uint8 [batch, height, width, 3]."""
  rng = np.random.Generator(np.random.PCG64(7))
  cells = (batch, -(-height // 16), -(-width // 16), 3)
  a = rng.integers(0, 256, size=cells)
  b = rng.integers(0, 256, size=(batch, height, width, 3))
  big = a.repeat(16, axis=1).repeat(16, axis=2)[:, :height, :width]
  return ((3 * big + b) // 4).astype(np.uint8)
