"""Atrous spatial pyramid pooling, deeplab/model.py of the original."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from deeplab_contrast.core import resize
from deeplab_contrast.core.network import conv, dropout


def q_sigmoid(x: tf.Tensor) -> tf.Tensor:
  """The piecewise linear sigmoid of the original's core/utils.py."""
  return tf.nn.relu6(x + 3.0) * 0.16667


class ASPP(keras.layers.Layer):
  """Image pooling, a 1x1 and three 3x3 atrous branches, joined by a 1x1.

  Arguments have the names and defaults of the original's flags, except for
  `atrous_rates`: the original has no rates by default, since its default
  network is MobileNetV2.

  Args:
    atrous_rates: for the 3x3 branches; None means (6, 12, 18) at output stride
      16 and (12, 24, 36) at 8; () leaves those branches out.
    add_image_level_feature: adds image pooling.
    image_pooling_crop_size: (height, width) of the pooling window in pixels of
      the image, no larger than the image; None pools the whole image.
    image_pooling_stride: (vertical, horizontal) stride of that window.
    aspp_convs_filters: channels of every branch and of the output.
    aspp_with_separable_conv: split separable 3x3 branches rather than plain
      ones.
    aspp_with_concat_projection: a 1x1 convolution joins the branches; without
      it they are only concatenated, and there is no dropout.
    aspp_with_squeeze_and_excitation: image pooling gates the output instead of
      being one of the branches.
    image_se_uses_qsigmoid: gates by `q_sigmoid` rather than the sigmoid.
    use_bounded_activation: ReLU6 rather than ReLU.
    batch_norm_decay: share of the old moving statistics kept at an update. The
      original's default needs about ten thousand steps; use 0.95 for short
      runs.
    dropout_rate: for the output, in training; fixed at 0.1 in the original.
    output_stride: output stride of the backbone; set by the trunk.
  """

  def __init__(
    self,
    atrous_rates: Sequence[int] | None = None,
    add_image_level_feature: bool = True,
    image_pooling_crop_size: Sequence[int] | None = None,
    image_pooling_stride: Sequence[int] = (1, 1),
    aspp_convs_filters: int = 256,
    aspp_with_separable_conv: bool = True,
    aspp_with_concat_projection: bool = True,
    aspp_with_squeeze_and_excitation: bool = False,
    image_se_uses_qsigmoid: bool = False,
    use_bounded_activation: bool = False,
    batch_norm_decay: float = 0.9997,
    dropout_rate: float = 0.1,
    output_stride: int = 16,
  ):
    super().__init__(name='aspp')
    self.output_stride = output_stride
    self.window = image_pooling_crop_size and tuple(image_pooling_crop_size)
    self.window_stride = tuple(image_pooling_stride)
    self.gates = add_image_level_feature and aspp_with_squeeze_and_excitation
    self._filters = aspp_convs_filters
    self._shared: dict[str, Any] = {
      'activation': tf.nn.relu6 if use_bounded_activation else tf.nn.relu,
      'momentum': batch_norm_decay,
    }
    self.image_pooling = (
      self._make_image_pooling(image_se_uses_qsigmoid)
      if add_image_level_feature
      else None
    )
    if atrous_rates is None:
      atrous_rates = [rate * 16 // output_stride for rate in (6, 12, 18)]
    self.branches = [self._conv(1, 'aspp0')]
    for i, rate in enumerate(atrous_rates, start=1):
      make = self._separable if aspp_with_separable_conv else self._plain
      self.branches.append(make(f'aspp{i}', rate))
    self.concat_projection: conv.ConvNorm | None = None
    if aspp_with_concat_projection:
      self.concat_projection = self._conv(1, 'concat_projection')
      self.dropout = dropout.Dropout(dropout_rate)

  def _conv(self, kernel_size, name, rate=1, **changes):
    return conv.ConvNorm(
      self._filters,
      kernel_size,
      rate=rate,
      initializer=keras.initializers.GlorotUniform(),
      name=name,
      **{**self._shared, **changes},
    )

  def _plain(self, name, rate):
    return self._conv(3, name, rate)

  def _separable(self, name, rate):
    return conv.SeparableConvNorm(
      self._filters, name, rate=rate, **self._shared
    )

  def _make_image_pooling(self, uses_qsigmoid):
    if not self.gates:
      return self._conv(1, 'image_pooling')
    gate = q_sigmoid if uses_qsigmoid else tf.nn.sigmoid
    return self._conv(1, 'image_pooling', activation=gate, normalize=False)

  def call(self, features: tf.Tensor, training: bool = False) -> tf.Tensor:
    """Maps [batch, h, w, channels] to [batch, h, w, filters]."""
    outputs = [branch(features, training=training) for branch in self.branches]
    pooled = None
    if self.image_pooling is not None:
      pooled = self._pool(features, self.image_pooling, training)
      if not self.gates:
        outputs.insert(0, pooled)
    outputs = tf.concat(outputs, axis=-1)
    if self.concat_projection is not None:
      outputs = self.concat_projection(outputs, training=training)
      outputs = self.dropout(outputs, training=training)
    return outputs * pooled if self.gates else outputs

  def _pool(self, features, image_pooling, training):
    """The image-level feature, resized to the size of the features."""
    size = resize.spatial_size(features)
    if self.window is None:
      pooled = tf.reduce_mean(features, axis=[1, 2], keepdims=True)
      pooled = image_pooling(pooled, training=training)
      # Resizing a single pixel repeats it.
      return tf.tile(pooled, [1, size[0], size[1], 1])
    window = [
      resize.scale_dimension(side, 1.0 / self.output_stride)
      for side in self.window
    ]
    pooled = _average_pool(features, window, self.window_stride)
    pooled = image_pooling(pooled, training=training)
    return tf.cast(resize.bilinear(pooled, size), features.dtype)


def _average_pool(features, window, stride):
  """Means over windows inside the map, or over all of it if they are larger.

  Args:
    features: [batch, h, w, channels]; h and w may be unknown.
    window: (height, width).
    stride: (vertical, horizontal).

  Returns:
    [batch, (h - window[0]) // stride[0] + 1, ..., channels].
  """
  if features.shape[1] and features.shape[2]:
    window = [
      min(w, s) for w, s in zip(window, features.shape[1:3], strict=True)
    ]
    return tf.nn.avg_pool2d(features, window, stride, 'VALID')
  # A kernel cannot shrink to a size that is known only at run time.
  sums = tf.cast(features, tf.float32)
  for axis, side in enumerate(window, start=1):
    length = tf.shape(sums)[axis]
    side = tf.minimum(side, length)
    starts = tf.range(0, length - side + 1, stride[axis - 1])
    paddings = [[1, 0] if i == axis else [0, 0] for i in range(4)]
    running = tf.pad(tf.cumsum(sums, axis), paddings)
    sums = tf.gather(running, starts + side, axis=axis) - tf.gather(
      running, starts, axis=axis
    )
    sums /= tf.cast(side, tf.float32)
  return tf.cast(sums, features.dtype)
