"""Atrous spatial pyramid pooling, deeplab/model.py of the original."""

import keras
import tensorflow as tf

from deeplab_contrast.core import conv, dropout

# The paper's rates for each output stride.
_RATES = {8: (12, 24, 36), 16: (6, 12, 18), 32: (3, 6, 9)}


class ASPP(keras.layers.Layer):
  """Image pooling, a 1x1 and three 3x3 atrous branches, joined by a 1x1.

  Args:
    atrous_rates: of the 3x3 branches; None means (6, 12, 18) at output stride
      16 and (12, 24, 36) at 8; () leaves the 3x3 branches out.
    filters: channels of every branch and of the output.
    separable: split separable 3x3 branches (the original's default) or plain.
    dropout_rate: on the output, in training.
    output_stride: of the backbone; decides the default rates.
    batch_norm_decay: share of the old moving statistics kept at an update.
  """

  def __init__(
    self,
    atrous_rates=None,
    filters=256,
    separable=True,
    dropout_rate=0.1,
    output_stride=16,
    batch_norm_decay=0.9997,
  ):
    super().__init__(name='aspp')
    self._momentum = batch_norm_decay
    rates = _RATES[output_stride] if atrous_rates is None else atrous_rates
    self.image_pooling = self._conv(filters, 1, 'image_pooling')
    self.branches = [self._conv(filters, 1, 'aspp0')]
    for i, rate in enumerate(rates, start=1):
      self.branches.append(
        conv.SeparableConvNorm(filters, rate, batch_norm_decay, name=f'aspp{i}')
        if separable
        else self._conv(filters, 3, f'aspp{i}', rate)
      )
    self.concat_projection = self._conv(filters, 1, 'concat_projection')
    self.dropout = dropout.Dropout(dropout_rate)

  def _conv(self, filters, kernel_size, name, rate=1):
    return conv.ConvNorm(
      filters,
      kernel_size,
      rate=rate,
      momentum=self._momentum,
      initializer=keras.initializers.GlorotUniform(),
      name=name,
    )

  def call(self, features, training=False):
    """Maps [batch, h, w, channels] to [batch, h, w, filters]."""
    size = tf.shape(features)[1:3]
    pooled = tf.reduce_mean(features, axis=[1, 2], keepdims=True)
    pooled = self.image_pooling(pooled, training=training)
    # Resizing a single pixel is repeating it.
    pooled = tf.tile(pooled, [1, size[0], size[1], 1])
    outputs = [branch(features, training=training) for branch in self.branches]
    outputs = self.concat_projection(
      tf.concat([pooled, *outputs], axis=-1), training=training
    )
    return self.dropout(outputs, training=training)
