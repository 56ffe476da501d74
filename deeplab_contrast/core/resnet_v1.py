"""ResNet v1 with atrous convolutions, as in the original's resnet_v1_beta.py.

One promise, shared by all backbones: a dict of two feature maps, `low` at
stride 4 (for the decoder) and `high` at the output stride (for the ASPP).

Stride 2 sits in the LAST unit of blocks 1 to 3, on its 3x3 convolution. Once
the output stride is reached, strides become 1 and the atrous rate grows for the
units that follow. `beta` replaces the 7x7 root by three 3x3 convolutions.
"""

import keras
import tensorflow as tf

from deeplab_contrast.core import conv

# The original's backbone statistics move faster than those of the decoder.
_MOMENTUM = 0.95


def _scaled(channels, width):
  """Channels times width, to a multiple of 8; exact for width 1."""
  if width == 1.0:
    return channels
  return max(8, int(channels * width / 8 + 0.5) * 8)


class _Bottleneck(keras.layers.Layer):
  """1x1, 3x3 (stride, rate), 1x1, and a shortcut; the unit of ResNet-50."""

  expansion = 4

  def __init__(self, base, project, stride, rate, name):
    super().__init__(name=name)
    self.stride = stride
    make = lambda *args, **kwargs: conv.ConvNorm(  # noqa: E731
      *args, momentum=_MOMENTUM, **kwargs
    )
    depth = base * self.expansion
    self.shortcut = (
      make(depth, 1, stride, relu=False, name='shortcut') if project else None
    )
    self.residual = self._residual(make, base, depth, stride, rate)

  def _residual(self, make, base, depth, stride, rate):
    return [
      make(base, 1, name='conv1'),
      make(base, 3, stride, rate, name='conv2'),
      make(depth, 1, relu=False, name='conv3'),
    ]

  def call(self, inputs, training=False):
    """Returns (output, residual before the addition and the ReLU)."""
    residual = inputs
    for layer in self.residual:
      residual = layer(residual, training=training)
    if self.shortcut is not None:
      shortcut = self.shortcut(inputs, training=training)
    else:
      shortcut = inputs[:, :: self.stride, :: self.stride]
    return tf.nn.relu(shortcut + residual), residual


class _LiteBottleneck(_Bottleneck):
  """Two 3x3 convolutions; the unit of ResNet-18."""

  expansion = 1

  def _residual(self, make, base, depth, stride, rate):
    return [
      make(base, 3, 1, rate, name='conv1'),
      make(depth, 3, stride, rate, relu=False, name='conv2'),
    ]


def _unit_plan(num_units, output_stride, multi_grid):
  """Yields (block, unit, stride, rate) for every unit, in order."""
  target, stride_so_far, rate = output_stride // 4, 1, 1
  for block, units in enumerate(num_units):
    for unit in range(units):
      stride = 2 if unit == units - 1 and block < 3 else 1
      grid = multi_grid[unit] if block == 3 else 1
      if stride_so_far == target:
        yield block, unit, 1, rate * grid
        rate *= stride
      else:
        yield block, unit, stride, grid
        stride_so_far *= stride


class ResNetV1(keras.layers.Layer):
  """The five variants of the original behind one constructor.

  Args:
    variant: `resnet_v1_18_beta`, `resnet_v1_50`, `resnet_v1_50_beta`,
      `resnet_v1_101` or `resnet_v1_101_beta`.
    output_stride: 8, 16 or 32; the stride of `high`.
    multi_grid: rates of the units of block 4 relative to each other; all 1 by
      default. The released beta checkpoints of 50 and 101 layers use (1, 2, 4).
    width: multiplies all channels, for small machines.

  Raises:
    ValueError: on an unknown variant, output stride or multi-grid length.
  """

  # variant: (unit class, units per block, root channels or None for 7x7, low)
  variants = {
    'resnet_v1_18_beta': (_LiteBottleneck, (2, 2, 2, 2), (16, 16, 32), 0),
    'resnet_v1_50': (_Bottleneck, (3, 4, 6, 3), None, 1),
    'resnet_v1_50_beta': (_Bottleneck, (3, 4, 6, 3), (64, 64, 128), 1),
    'resnet_v1_101': (_Bottleneck, (3, 4, 23, 3), None, 1),
    'resnet_v1_101_beta': (_Bottleneck, (3, 4, 23, 3), (64, 64, 128), 1),
  }

  def __init__(
    self,
    variant='resnet_v1_50_beta',
    output_stride=16,
    multi_grid=None,
    width=1.0,
  ):
    if variant not in self.variants:
      raise ValueError(
        f'Unknown ResNet variant {variant!r}; known: {sorted(self.variants)}.'
      )
    super().__init__(name=variant.removesuffix('_beta'))
    unit, num_units, root, self._low_unit = self.variants[variant]
    multi_grid = tuple(multi_grid or (1,) * num_units[3])
    _check(output_stride, multi_grid, num_units[3], variant)
    self.output_stride = output_stride
    # Without the beta root the original subtracts the ImageNet mean instead.
    self.centers_pixels = root is not None
    self.root = self._make_root(root, width)
    self.units = self._make_units(
      unit, num_units, output_stride, multi_grid, width
    )

  def _make_root(self, channels, width):
    if channels is None:
      return [
        conv.ConvNorm(
          _scaled(64, width), 7, 2, momentum=_MOMENTUM, name='conv1'
        )
      ]
    return [
      conv.ConvNorm(
        _scaled(c, width),
        3,
        stride=2 if i == 0 else 1,
        momentum=_MOMENTUM,
        name=f'conv1_{i + 1}',
      )
      for i, c in enumerate(channels)
    ]

  def _make_units(
    self, unit_class, num_units, output_stride, multi_grid, width
  ):
    plan = _unit_plan(num_units, output_stride, multi_grid)
    return [
      unit_class(
        _scaled(64 * 2**block, width),
        project=unit == 0,
        stride=stride,
        rate=rate,
        name=f'block{block + 1}_unit_{unit + 1}',
      )
      for block, unit, stride, rate in plan
    ]

  def call(self, images, training=False):
    """Extracts features.

    Args:
      images: [batch, height, width, 3], normalized pixels.
      training: whether batch norm uses the statistics of the batch.

    Returns:
      `{'low': [..., stride 4, ...], 'high': [..., output_stride, ...]}`.
    """
    net = images
    for layer in self.root:
      net = layer(net, training=training)
    net = tf.nn.max_pool2d(net, 3, 2, 'SAME')
    low = None
    for i, unit in enumerate(self.units):
      net, residual = unit(net, training=training)
      if i == self._low_unit:
        low = residual
    return {'low': low, 'high': net}


def _check(output_stride, multi_grid, num_units, variant):
  if output_stride not in (8, 16, 32):
    raise ValueError(f'output_stride is {output_stride}; use 8, 16 or 32.')
  if len(multi_grid) != num_units:
    raise ValueError(
      f'multi_grid {multi_grid} has {len(multi_grid)} rates; block 4 of '
      f'{variant} has {num_units} units.'
    )
