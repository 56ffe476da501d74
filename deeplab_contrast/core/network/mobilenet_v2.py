"""MobileNetV2 with atrous convolutions, as slim's and the original's.

See `resnet_v1` for the interface that all backbones share. Low-level features
are the depthwise outputs that the original's decoder takes.
"""

import functools

import keras
import tensorflow as tf

from deeplab_contrast.core.network import atrous, conv, pixels

# slim's mobilenet pads with TensorFlow's SAME, even under a stride.
_conv_norm = functools.partial(
  conv.ConvNorm, momentum=0.997, epsilon=1e-3, explicit_padding=False
)
_depthwise = functools.partial(
  conv.DepthwiseConvNorm, momentum=0.997, epsilon=1e-3, explicit_padding=False
)

# (channels, stride) of the blocks after the root.
_BLOCKS = (
  *((16, 1), (24, 2), (24, 1), (32, 2), (32, 1), (32, 1)),
  *((64, 2), (64, 1), (64, 1), (64, 1), (96, 1), (96, 1), (96, 1)),
  *((160, 2), (160, 1), (160, 1), (320, 1)),
)
# Blocks whose depthwise output is a low-level feature, by nominal stride.
_LOW = {2: 4, 5: 8, 12: 16}


def _divisible(value, divisor, minimum):
  """The multiple of divisor nearest to value, no more than 10 % below it."""
  result = max(minimum, int(value + divisor / 2) // divisor * divisor)
  return result + divisor if result < 0.9 * value else result


class _Block(keras.layers.Layer):
  """1x1 expansion, 3x3 depthwise, 1x1 linear projection; slim's expanded_conv.

  Args:
    inputs: number of input channels.
    outputs: number of output channels.
    expansion: factor by which the 1x1 expansion multiplies the channels; 1
      leaves that convolution out.
    stride: stride of the depthwise convolution.
    rate: atrous rate of the depthwise convolution.
    name: the original's scope.
  """

  def __init__(self, inputs, outputs, expansion, stride, rate, name):
    super().__init__(name=name)
    self.expand = None
    if expansion > 1:
      self.expand = _conv_norm(
        _divisible(inputs * expansion, 8, 8),
        1,
        activation=tf.nn.relu6,
        initializer=conv.truncated_normal(0.09),
        name='expand',
      )
    self.depthwise = _depthwise(
      stride,
      rate,
      activation=tf.nn.relu6,
      initializer=conv.truncated_normal(0.09),
      name='depthwise',
    )
    self.project = _conv_norm(
      outputs,
      1,
      activation=None,
      initializer=conv.truncated_normal(0.09),
      name='project',
    )
    self.adds = stride == 1 and inputs == outputs

  def call(self, inputs, training=False):
    """Returns (output, depthwise output)."""
    net = inputs
    if self.expand is not None:
      net = self.expand(net, training=training)
    middle = self.depthwise(net, training=training)
    net = self.project(middle, training=training)
    return (net + inputs if self.adds else net), middle


class MobileNetV2(keras.layers.Layer):
  """MobileNetV2 up to its last block of 320 channels (slim's layer_18).

  Args:
    output_stride: 8, 16 or 32; the stride of the features.
    depth_multiplier: multiplies all channels.
    divisible_by: channels are multiples of this; None means 8 for a
      multiplier of 1 and 1 for any other, as in the original.

  Raises:
    ValueError: on an unknown output stride, or a multiplier that is not > 0.
  """

  def __init__(
    self,
    output_stride: int = 16,
    depth_multiplier: float = 1.0,
    divisible_by: int | None = None,
  ):
    super().__init__(name='MobilenetV2')
    atrous.check_output_stride(output_stride)
    if depth_multiplier <= 0:
      raise ValueError(
        f'depth_multiplier is {depth_multiplier}; it must be greater than 0.'
      )
    self.output_stride = output_stride
    self.normalize = pixels.zero_mean_unit_range
    plain = depth_multiplier == 1.0
    divisor = divisible_by or (8 if plain else 1)

    def channels(count):
      return _divisible(count * depth_multiplier, divisor, 8 if plain else 1)

    planned = atrous.plan([2, *(s for _, s in _BLOCKS)], output_stride)
    self.root = _conv_norm(
      channels(32),
      3,
      2,
      activation=tf.nn.relu6,
      initializer=conv.truncated_normal(0.09),
      name='Conv',
    )
    counts = [channels(count) for count in (32, *(c for c, _ in _BLOCKS))]
    self.blocks = [
      _Block(
        counts[i],
        counts[i + 1],
        expansion=6 if i else 1,
        stride=stride,
        rate=rate,
        name=f'expanded_conv_{i}' if i else 'expanded_conv',
      )
      for i, (stride, rate) in enumerate(planned[1:])
    ]

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
    net, low = self.root(images, training=training), {}
    for i, block in enumerate(self.blocks):
      net, middle = block(net, training=training)
      if i in _LOW:
        low[_LOW[i]] = middle
    return net, low
