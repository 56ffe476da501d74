"""The original network's names, weight rule and image rule, for golden tests.

The rules are described in shared/golden/README.md.
"""

import pathlib
import re
import zlib

import numpy as np

GOLDEN = pathlib.Path(__file__).resolve().parents[2] / 'shared' / 'golden'

_LAST = {
  'kernel': 'weights',
  'bias': 'biases',
  'gamma': 'gamma',
  'beta': 'beta',
  'moving_mean': 'moving_mean',
  'moving_variance': 'moving_variance',
}


def original_name(path):
  """The name in the original of one of our variables, from its Keras path.

  deeplab/trunk/resnet_v1_50/block1_unit_2/conv3/conv/kernel becomes
  resnet_v1_50/block1/unit_2/bottleneck_v1/conv3/weights.
  """
  parts = path.split('/')
  parts = [p for p in parts if p not in ('deeplab', 'trunk', 'aspp', 'conv')]
  name = '/'.join(parts[:-1])
  unit = 'lite_bottleneck_v1' if 'resnet_v1_18' in name else 'bottleneck_v1'
  name = re.sub(r'(block\d)_(unit_\d+)', rf'\1/\2/{unit}', name)
  name = re.sub(r'/pointwise', '_pointwise', name)
  last = _LAST[parts[-1]]
  if name.endswith('/depthwise'):
    name, last = name[: -len('/depthwise')] + '_depthwise', 'depthwise_weights'
  name = name.replace('/depthwise_BatchNorm', '_depthwise/BatchNorm')
  return f'{name}/{last}'


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


def weights_of(model):
  """Our variables of the original's kind, as {original name: variable}."""
  return {original_name(v.path): v for v in model.weights if v.name != 'calls'}


def set_rule_weights(model):
  """Gives a built model the golden weights."""
  for name, variable in weights_of(model).items():
    variable.assign(rule_weights(name, tuple(variable.shape)))


def rule_image(batch, height, width):
  """The golden image: uint8 [batch, height, width, 3]."""
  rng = np.random.Generator(np.random.PCG64(7))
  cells = (batch, -(-height // 16), -(-width // 16), 3)
  a = rng.integers(0, 256, size=cells)
  b = rng.integers(0, 256, size=(batch, height, width, 3))
  big = a.repeat(16, axis=1).repeat(16, axis=2)[:, :height, :width]
  return ((3 * big + b) // 4).astype(np.uint8)
