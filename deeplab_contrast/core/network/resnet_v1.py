"""ResNet v1 with atrous convolutions, as in the original's resnet_v1_beta.py.

All backbones share one interface: `features, low = backbone(images)`, where
`features` has the output stride and `low` maps the nominal strides 4, 8 and 16
to the low-level features that the original's decoder takes at that stride.

Blocks 1 to 3 have their stride of 2 in the 3x3 convolution of the LAST unit.
Once the output stride is reached, strides become 1 and the atrous rate grows
for the units that follow. `beta` replaces the 7x7 root by three 3x3
convolutions.
"""

import functools
from collections.abc import Sequence

import keras
import tensorflow as tf

from deeplab_contrast.core.network import atrous, conv, pixels

# The original's backbone statistics move faster than those of the decoder.
_conv_norm = functools.partial(conv.ConvNorm, momentum=0.95, epsilon=1e-5)


class _Bottleneck(keras.layers.Layer):
  """1x1, 3x3 (stride, rate), 1x1, and a shortcut; the unit of ResNet-50."""

  expansion = 4
  scope = 'bottleneck_v1'

  def __init__(self, base, project, stride, rate, name):
    super().__init__(name=name)
    self.stride = stride
    depth = base * self.expansion
    self.shortcut = None
    if project:
      self.shortcut = _conv_norm(
        depth, 1, stride, activation=None, name='shortcut'
      )
    self.residual = self._residual(base, depth, stride, rate)

  def _residual(self, base, depth, stride, rate):
    return [
      _conv_norm(base, 1, name='conv1'),
      _conv_norm(base, 3, stride, rate, name='conv2'),
      _conv_norm(depth, 1, activation=None, name='conv3'),
    ]

  def call(self, inputs, training=False):
    """Returns (output, residual before the addition and the ReLU)."""
    residual = inputs
    for layer in self.residual:
      residual = layer(residual, training=training)
    if self.shortcut is not None:
      shortcut = self.shortcut(inputs, training=training)
    elif self.stride > 1:
      # Pools of one pixel: a strided slice takes ten times as long.
      shortcut = tf.nn.max_pool2d(inputs, 1, self.stride, 'SAME')
    else:
      shortcut = inputs
    return tf.nn.relu(shortcut + residual), residual


class _LiteBottleneck(_Bottleneck):
  """Two 3x3 convolutions; the unit of ResNet-18."""

  expansion = 1
  scope = 'lite_bottleneck_v1'

  def _residual(self, base, depth, stride, rate):
    return [
      _conv_norm(base, 3, 1, rate, name='conv1'),
      _conv_norm(depth, 3, stride, rate, activation=None, name='conv2'),
    ]


class ResNetV1(keras.layers.Layer):
  """The original's ResNet variants in one class.

  Args:
    variant: `resnet_v1_{18,50,101}`, each also with `_beta`.
    output_stride: 8, 16 or 32; the stride of the features.
    multi_grid: rates of the units of block 4 relative to each other; all 1 by
      default. The released beta checkpoints of 50 and 101 layers use (1, 2, 4).
    width: multiplies all channels, for small machines.

  Raises:
    ValueError: on an unknown variant, output stride or multi-grid length.
  """

  # variant: (unit class, units per block, root channels or None for 7x7, units
  # of blocks 1 to 3 whose residual is the low-level feature)
  variants = {
    'resnet_v1_18': (_LiteBottleneck, (2, 2, 2, 2), None, (1, 1, 1)),
    'resnet_v1_18_beta': (
      _LiteBottleneck,
      (2, 2, 2, 2),
      (16, 16, 32),
      (1, 1, 1),
    ),
    'resnet_v1_50': (_Bottleneck, (3, 4, 6, 3), None, (2, 3, 5)),
    'resnet_v1_50_beta': (
      _Bottleneck,
      (3, 4, 6, 3),
      (64, 64, 128),
      (2, 3, 5),
    ),
    'resnet_v1_101': (_Bottleneck, (3, 4, 23, 3), None, (2, 3, 22)),
    'resnet_v1_101_beta': (
      _Bottleneck,
      (3, 4, 23, 3),
      (64, 64, 128),
      (2, 3, 22),
    ),
  }

  def __init__(
    self,
    variant: str = 'resnet_v1_50_beta',
    output_stride: int = 16,
    multi_grid: Sequence[int] | None = None,
    width: float = 1.0,
  ):
    if variant not in self.variants:
      raise ValueError(
        f'Unknown ResNet variant {variant!r}; known: {sorted(self.variants)}.'
      )
    # As in the original, the scope of a beta variant has no `beta`.
    super().__init__(name=variant.removesuffix('_beta'))
    unit, num_units, root, low_units = self.variants[variant]
    atrous.check_output_stride(output_stride)
    multi_grid = atrous.check_multi_grid(multi_grid, num_units[3], variant)
    self.output_stride = output_stride
    # Without the beta root the original subtracts the ImageNet mean instead.
    self.normalize = (
      pixels.zero_mean_unit_range if root else pixels.subtract_imagenet_mean
    )
    self.root = _make_root(root, width)
    self.units = _make_units(unit, num_units, output_stride, multi_grid, width)
    self._low = {
      f'block{block}.unit_{n}.{unit.scope}': 2 ** (block + 1)
      for block, n in enumerate(low_units, start=1)
    }

  def call(
    self, images: tf.Tensor, training: bool = False
  ) -> tuple[tf.Tensor, dict[int, tf.Tensor]]:
    """Extracts features.

    Args:
      images: [batch, height, width, 3], normalized pixels.
      training: whether batch norm uses the statistics of the batch.

    Returns:
      Features [batch, h, w, channels] at the output stride, and
      `{4: ..., 8: ..., 16: ...}`, the low-level features.
    """
    net = images
    for layer in self.root:
      net = layer(net, training=training)
    net = tf.nn.max_pool2d(net, 3, 2, 'SAME')
    low = {}
    for unit in self.units:
      net, residual = unit(net, training=training)
      if unit.name in self._low:
        low[self._low[unit.name]] = residual
    return net, low


def _make_root(channels, width):
  """One 7x7 convolution, or three 3x3 ones of the given channels."""
  if channels is None:
    return [
      _conv_norm(atrous.scale_channels(64, width), 7, 2, name='conv1'),
    ]
  return [
    _conv_norm(
      atrous.scale_channels(c, width),
      3,
      stride=2 if i == 1 else 1,
      name=f'conv1_{i}',
    )
    for i, c in enumerate(channels, start=1)
  ]


def _make_units(unit_class, num_units, output_stride, multi_grid, width):
  """All units, in order."""
  places = [(b, u) for b, units in enumerate(num_units) for u in range(units)]
  strides = [2 if b < 3 and u == num_units[b] - 1 else 1 for b, u in places]
  planned = atrous.plan(strides, output_stride // 4)
  return [
    unit_class(
      atrous.scale_channels(64 * 2**block, width),
      project=unit == 0,
      stride=stride,
      rate=rate * (multi_grid[unit] if block == 3 else 1),
      name=f'block{block + 1}.unit_{unit + 1}.{unit_class.scope}',
    )
    for (block, unit), (stride, rate) in zip(places, planned, strict=True)
  ]
