"""The aligned Xception of DeepLab, as in the original's xception.py.

Strides replace all max pooling, and sit on the third separable convolution of
a module, so that atrous convolution can give any output stride. See
`resnet_v1` for the interface that all backbones share.
"""

import functools
from collections.abc import Sequence

import keras
import tensorflow as tf

from deeplab_contrast.core.network import atrous, conv, pixels

_CLIP = 6.0  # Of the bounded activations.

_conv_norm = functools.partial(conv.ConvNorm, momentum=0.9997, epsilon=1e-3)
_separable = functools.partial(
  conv.SeparableConvNorm, momentum=0.9997, epsilon=1e-3
)


def _clip(x):
  return tf.clip_by_value(x, -_CLIP, _CLIP)


class _Module(keras.layers.Layer):
  """Three separable convolutions and their skip connection.

  Args:
    depths: output channels of the three.
    skip: 'conv', 'sum' or 'none'.
    stride: stride of the third one, and of the 1x1 of a 'conv' skip.
    rates: atrous rates of the three.
    activates_inside: an activation after the depthwise and after the pointwise
      convolution, rather than one before both.
    bounded: ReLU6 and clipped sums, for quantization.
    name: the original's scope, with dots for slashes.
  """

  def __init__(
    self, depths, skip, stride, rates, activates_inside, bounded, name
  ):
    super().__init__(name=name)
    self.skip = skip
    self.bounded = bounded
    self.relu = tf.nn.relu6 if bounded else tf.nn.relu
    self.activates_inside = activates_inside
    between = _clip if bounded else None
    self.convs = [
      _separable(
        depth,
        f'separable_conv{i}',
        (conv.truncated_normal(0.09), conv.truncated_normal(0.09)),
        stride=stride if i == 3 else 1,
        rate=rate,
        # The bounded form of the original pads unevenly.
        explicit_padding=not bounded,
        activation=self.relu if activates_inside else between,
      )
      for i, (depth, rate) in enumerate(zip(depths, rates, strict=True), 1)
    ]
    self.shortcut = None
    if skip == 'conv':
      self.shortcut = _conv_norm(
        depths[-1],
        1,
        stride,
        activation=None,
        initializer=conv.truncated_normal(0.09),
        name='shortcut',
      )

  def call(self, inputs, training=False):
    """Returns (output, output of the second separable convolution)."""
    net, second = inputs, None
    for i, layer in enumerate(self.convs):
      if not self.activates_inside:
        net = self.relu(net)
      net = layer(net, training=training)
      second = net if i == 1 else second
    if self.skip == 'none':
      return net, second
    if self.shortcut is not None:
      inputs = self.shortcut(inputs, training=training)
    if self.bounded:
      return tf.nn.relu6(_clip(net) + _clip(inputs)), second
    return net + inputs, second


class Xception(keras.layers.Layer):
  """Xception-41, -65 or -71.

  Args:
    variant: `xception_41`, `xception_65` or `xception_71`.
    output_stride: 8, 16 or 32; the stride of the features.
    multi_grid: rates of the three convolutions of the last module relative to
      each other; all 1 by default.
    width: multiplies all channels, for small machines.
    use_bounded_activation: ReLU6 and clipped sums, for quantization.

  Raises:
    ValueError: on an unknown variant, output stride or multi-grid length.
  """

  # variant: ((channels, stride) of the entry modules, number of middle modules,
  # entry modules whose second convolution is the feature at strides 4 and 8)
  variants = {
    'xception_41': (((128, 2), (256, 2), (728, 2)), 8, (2, 3)),
    'xception_65': (((128, 2), (256, 2), (728, 2)), 16, (2, 3)),
    'xception_71': (
      ((128, 2), (256, 1), (256, 2), (728, 1), (728, 2)),
      16,
      (3, 5),
    ),
  }

  def __init__(
    self,
    variant: str = 'xception_65',
    output_stride: int = 16,
    multi_grid: Sequence[int] | None = None,
    width: float = 1.0,
    use_bounded_activation: bool = False,
  ):
    if variant not in self.variants:
      raise ValueError(
        f'Unknown Xception variant {variant!r}; known: {sorted(self.variants)}.'
      )
    super().__init__(name=variant)
    atrous.check_output_stride(output_stride)
    multi_grid = atrous.check_multi_grid(multi_grid, 3, variant)
    self.output_stride = output_stride
    self.normalize = pixels.zero_mean_unit_range
    entry, num_middle, (stride4, stride8) = self.variants[variant]
    self.root = _make_root(width, use_bounded_activation)
    self.modules = _make_modules(
      _specify(entry, num_middle, multi_grid),
      output_stride,
      width,
      use_bounded_activation,
    )
    self._low = {
      f'entry_flow.block{stride4}.unit_1.xception_module': 4,
      f'entry_flow.block{stride8}.unit_1.xception_module': 8,
      'exit_flow.block1.unit_1.xception_module': 16,
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
    low = {}
    for module in self.modules:
      net, second = module(net, training=training)
      if module.name in self._low:
        low[self._low[module.name]] = second
    return net, low


def _make_root(width, bounded):
  return [
    _conv_norm(
      atrous.scale_channels(channels, width),
      3,
      stride,
      activation=tf.nn.relu6 if bounded else tf.nn.relu,
      initializer=conv.truncated_normal(0.09),
      name=f'entry_flow.conv1_{i}',
    )
    for i, (channels, stride) in enumerate(((32, 2), (64, 1)), start=1)
  ]


def _specify(entry, num_middle, multi_grid):
  """Lists (scope, depths, skip, stride, grid, activates_inside)."""
  plain = (1, 1, 1)
  modules = [
    (f'entry_flow.block{i}.unit_1', (c, c, c), 'conv', stride, plain, False)
    for i, (c, stride) in enumerate(entry, start=1)
  ]
  modules += [
    (f'middle_flow.block1.unit_{i}', (728,) * 3, 'sum', 1, plain, False)
    for i in range(1, num_middle + 1)
  ]
  return [
    *modules,
    ('exit_flow.block1.unit_1', (728, 1024, 1024), 'conv', 2, plain, False),
    (
      'exit_flow.block2.unit_1',
      (1536, 1536, 2048),
      'none',
      1,
      multi_grid,
      True,
    ),
  ]


def _make_modules(specified, output_stride, width, bounded):
  # The root has taken the first stride of 2.
  planned = atrous.plan([m[3] for m in specified], output_stride // 2)
  return [
    _Module(
      [atrous.scale_channels(depth, width) for depth in depths],
      skip,
      stride,
      [rate * unit_rate for unit_rate in grid],
      activates_inside,
      bounded,
      name=f'{scope}.xception_module',
    )
    for (scope, depths, skip, _, grid, activates_inside), (stride, rate) in zip(
      specified, planned, strict=True
    )
  ]
