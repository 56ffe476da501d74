"""DeepLab's convolutions: explicit padding, batch norm, split separable."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from deeplab_contrast.core.network import atrous_conv, depthwise_conv, norm


def he_normal() -> keras.Initializer:
  """The backbone's initializer: He et al., fan-in, truncated normal."""
  return keras.initializers.VarianceScaling(2.0, 'fan_in', 'truncated_normal')


def truncated_normal(stddev: float) -> keras.Initializer:
  """The initializer of Xception, MobileNet, separable convolutions, logits."""
  return keras.initializers.TruncatedNormal(stddev=stddev)


def pad_same(inputs: tf.Tensor, kernel_size: int, rate: int = 1) -> tf.Tensor:
  """Pads so that a VALID convolution maps k * stride + 1 pixels to k + 1.

  TensorFlow's SAME pads an input of even size unevenly under stride 2; the
  original pads explicitly (deeplab/core/conv2d_ws.py, conv2d_same).
  """
  total = (kernel_size - 1) * rate
  before = total // 2
  after = total - before
  return tf.pad(inputs, [[0, 0], [before, after], [before, after], [0, 0]])


class Conv2D(keras.layers.Conv2D):
  """Keras' convolution with faster atrous rates, see `atrous_conv`."""

  def convolution_op(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """See base class."""
    rate = self.dilation_rate[0]
    if rate == 1 or self.padding != 'same':
      return super().convolution_op(inputs, kernel)
    return atrous_conv.conv2d(inputs, tf.convert_to_tensor(kernel), rate)


class DepthwiseConv2D(keras.layers.DepthwiseConv2D):
  """Keras' depthwise convolution, in the faster of the equivalent forms.

  Taps that only meet padding are left out; see `atrous_conv` and
  `depthwise_conv`.
  """

  def call(self, inputs: tf.Tensor) -> tf.Tensor:
    """See base class."""
    rate, stride = self.dilation_rate[0], self.strides[0]
    kernel = tf.convert_to_tensor(self.kernel)
    is_even = kernel.shape[0] % 2 == 0 or kernel.shape[1] % 2 == 0
    if self.padding != 'same' or self.use_bias or (rate > 1 and is_even):
      return super().call(inputs)
    if stride == 1 and not is_even:
      kernel = atrous_conv.useful_taps(kernel, inputs.shape[1:3], rate)
    slow = max(kernel.shape[:2]) > 3 and not atrous_conv.has_accelerator()
    if slow and rate == 1:
      return depthwise_conv.conv2d(inputs, kernel, stride)
    if slow and None not in inputs.shape[1:3]:
      return depthwise_conv.atrous(inputs, kernel, rate)
    strides, rates = [1, stride, stride, 1], _needed(kernel, rate)
    return tf.nn.depthwise_conv2d(
      inputs, kernel, strides, 'SAME', dilations=rates
    )


class ConvNorm(keras.layers.Layer):
  """Convolution, batch norm, activation: the unit all of DeepLab is made of.

  Args:
    filters: number of output channels.
    kernel_size: side of the kernel.
    stride: 1 or 2.
    rate: atrous rate.
    activation: a function of tensors, or None.
    normalize: adds batch norm; without it the convolution has a bias instead.
    momentum: momentum of the batch norm.
    epsilon: epsilon of the batch norm.
    initializer: initializer of the kernel; He by default.
    explicit_padding: whether a stride pads by hand, see `pad_same`.
    name: the original's scope name.
  """

  def __init__(
    self,
    filters: int,
    kernel_size: int,
    stride: int = 1,
    rate: int = 1,
    activation: Callable[[tf.Tensor], tf.Tensor] | None = tf.nn.relu,
    normalize: bool = True,
    momentum: float = 0.9997,
    epsilon: float = 1e-5,
    initializer: keras.Initializer | None = None,
    explicit_padding: bool = True,
    name: str | None = None,
  ):
    super().__init__(name=name)
    self.kernel_size = kernel_size
    self.rate = rate
    self.activation = activation
    self.pads = stride > 1 and explicit_padding
    self.conv = Conv2D(
      filters,
      kernel_size,
      strides=stride,
      padding='valid' if self.pads else 'same',
      dilation_rate=rate,
      use_bias=not normalize,
      kernel_initializer=initializer or he_normal(),
      name='conv',
    )
    self.norm = norm.BatchNorm(momentum, epsilon) if normalize else None

  def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
    """Maps [batch, h, w, c] to [batch, ceil(h / stride), ..., filters]."""
    if self.pads:
      inputs = pad_same(inputs, self.kernel_size, self.rate)
    return _finish(self, self.conv(inputs), training)


class DepthwiseConvNorm(keras.layers.Layer):
  """3x3 depthwise convolution, batch norm, activation.

  Args:
    stride: 1 or 2.
    rate: atrous rate.
    activation: a function of tensors, or None.
    momentum: momentum of the batch norm.
    epsilon: epsilon of the batch norm.
    initializer: initializer of the kernel; truncated normal of 0.33 by default.
    explicit_padding: whether a stride pads by hand, see `pad_same`.
    name: the original's scope name.
  """

  def __init__(
    self,
    stride: int = 1,
    rate: int = 1,
    activation: Callable[[tf.Tensor], tf.Tensor] | None = tf.nn.relu,
    momentum: float = 0.9997,
    epsilon: float = 1e-5,
    initializer: keras.Initializer | None = None,
    explicit_padding: bool = True,
    name: str | None = None,
  ):
    super().__init__(name=name)
    self.rate = rate
    self.activation = activation
    self.pads = stride > 1 and explicit_padding
    self.conv = DepthwiseConv2D(
      3,
      strides=stride,
      padding='valid' if self.pads else 'same',
      dilation_rate=rate,
      use_bias=False,
      depthwise_initializer=initializer or truncated_normal(0.33),
      name='conv',
    )
    self.norm = norm.BatchNorm(momentum, epsilon)

  def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
    """Maps [batch, h, w, c] to [batch, ceil(h / stride), ..., c]."""
    if self.pads:
      inputs = pad_same(inputs, 3, self.rate)
    return _finish(self, self.conv(inputs), training)


class SeparableConvNorm(keras.layers.Layer):
  """3x3 depthwise and 1x1 pointwise, each with batch norm and activation.

  The original splits them (deeplab/core/utils.py, split_separable_conv2d), with
  an activation in between, which Keras' SeparableConv2D lacks.

  Args:
    filters: number of output channels.
    name: the original's scope name, before `_depthwise` and `_pointwise`.
    initializers: for the depthwise and pointwise kernels; by default those of
      the ASPP and the decoder.
    stride: stride of the depthwise convolution.
    rate: atrous rate of the depthwise convolution.
    explicit_padding: see `DepthwiseConvNorm`.
    **common: arguments of both: activation, momentum, epsilon.
  """

  def __init__(
    self,
    filters: int,
    name: str,
    initializers: tuple[keras.Initializer | None, keras.Initializer | None] = (
      None,
      None,
    ),
    stride: int = 1,
    rate: int = 1,
    explicit_padding: bool = True,
    **common: Any,
  ):
    super().__init__(name=name)
    self.depthwise = DepthwiseConvNorm(
      stride,
      rate,
      initializer=initializers[0],
      explicit_padding=explicit_padding,
      name=f'{name}_depthwise',
      **common,
    )
    self.pointwise = ConvNorm(
      filters,
      1,
      initializer=initializers[1] or truncated_normal(0.06),
      name=f'{name}_pointwise',
      **common,
    )

  def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
    """Maps [batch, h, w, c] to [batch, ceil(h / stride), ..., filters]."""
    outputs = self.depthwise(inputs, training=training)
    return self.pointwise(outputs, training=training)


def _finish(layer, outputs, training):
  """Applies batch norm and activation, if the layer has them."""
  if layer.norm is not None:
    outputs = layer.norm(outputs, training=training)
  return outputs if layer.activation is None else layer.activation(outputs)


def _needed(kernel, rate):
  """The rates along both sides; 1 where the kernel has a single tap."""
  return [rate if k > 1 else 1 for k in kernel.shape[:2]]
