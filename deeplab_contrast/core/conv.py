"""Convolutions of DeepLab: explicit padding, batch norm, split separable."""

import keras
import tensorflow as tf

from deeplab_contrast.core import norm


def he_normal():
  """The backbone's initializer: He et al., fan-in, truncated normal."""
  return keras.initializers.VarianceScaling(2.0, 'fan_in', 'truncated_normal')


def pad_same(inputs, kernel_size, rate=1):
  """Pads height and width so that a VALID convolution keeps k * stride + 1.

  TensorFlow's SAME pads an even-sized input unevenly under stride 2; the
  original pads by hand (deeplab/core/conv2d_ws.py, conv2d_same).
  """
  total = (kernel_size - 1) * rate
  before = total // 2
  after = total - before
  return tf.pad(inputs, [[0, 0], [before, after], [before, after], [0, 0]])


class ConvNorm(keras.layers.Layer):
  """Convolution without bias, batch norm, and ReLU if asked.

  Args:
    filters: number of output channels.
    kernel_size: side of the kernel.
    stride: 1 or 2; a stride pads by hand, see `pad_same`.
    rate: atrous rate.
    relu: whether a ReLU follows.
    momentum: of the batch norm.
    initializer: of the kernel; He by default.
    name: the original's scope name.
  """

  def __init__(
    self,
    filters,
    kernel_size,
    stride=1,
    rate=1,
    relu=True,
    momentum=0.9997,
    initializer=None,
    name=None,
  ):
    super().__init__(name=name)
    self.kernel_size = kernel_size
    self.stride = stride
    self.rate = rate
    self.relu = relu
    self.conv = keras.layers.Conv2D(
      filters,
      kernel_size,
      strides=stride,
      padding='same' if stride == 1 else 'valid',
      dilation_rate=rate,
      use_bias=False,
      kernel_initializer=initializer or he_normal(),
      name='conv',
    )
    self.norm = norm.BatchNorm(momentum)

  def call(self, inputs, training=False):
    """Maps [batch, h, w, c] to [batch, ceil(h / stride), ..., filters]."""
    if self.stride > 1:
      inputs = pad_same(inputs, self.kernel_size, self.rate)
    outputs = self.norm(self.conv(inputs), training=training)
    return tf.nn.relu(outputs) if self.relu else outputs


class SeparableConvNorm(keras.layers.Layer):
  """3x3 depthwise and 1x1 pointwise, each with batch norm and ReLU.

  The original splits them (deeplab/core/utils.py, split_separable_conv2d), so
  there is an activation in between, which Keras' SeparableConv2D lacks.

  Args:
    filters: number of output channels.
    rate: atrous rate of the depthwise convolution.
    momentum: of the batch norms.
    name: the original's scope name, before `_depthwise` and `_pointwise`.
  """

  def __init__(self, filters, rate=1, momentum=0.9997, name=None):
    super().__init__(name=name)
    self.depthwise = keras.layers.DepthwiseConv2D(
      3,
      padding='same',
      dilation_rate=rate,
      use_bias=False,
      depthwise_initializer=keras.initializers.TruncatedNormal(stddev=0.33),
      name='depthwise',
    )
    self.depthwise_norm = norm.BatchNorm(momentum, name='depthwise_BatchNorm')
    self.pointwise = ConvNorm(
      filters,
      1,
      momentum=momentum,
      initializer=keras.initializers.TruncatedNormal(stddev=0.06),
      name='pointwise',
    )

  def call(self, inputs, training=False):
    """Maps [batch, h, w, c] to [batch, h, w, filters]."""
    outputs = self.depthwise_norm(self.depthwise(inputs), training=training)
    return self.pointwise(tf.nn.relu(outputs), training=training)
