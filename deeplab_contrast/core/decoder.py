"""The decoder of DeepLabV3+, deeplab/model.py of the original."""

import keras
import tensorflow as tf

from deeplab_contrast.core import conv, resize


class Decoder(keras.layers.Layer):
  """Joins the ASPP output with a low-level feature map at stride 4.

  Args:
    filters: channels of the two 3x3 convolutions.
    low_level_filters: channels the low-level feature is reduced to.
    separable: split separable 3x3 convolutions (the original's default).
    batch_norm_decay: share of the old moving statistics kept at an update.
  """

  def __init__(
    self,
    filters=256,
    low_level_filters=48,
    separable=True,
    batch_norm_decay=0.9997,
  ):
    super().__init__(name='decoder')
    self.feature_projection = conv.ConvNorm(
      low_level_filters,
      1,
      momentum=batch_norm_decay,
      initializer=keras.initializers.GlorotUniform(),
      name='feature_projection0',
    )
    self.convs = [
      conv.SeparableConvNorm(
        filters, momentum=batch_norm_decay, name=f'decoder_conv{i}'
      )
      if separable
      else conv.ConvNorm(
        filters,
        3,
        momentum=batch_norm_decay,
        initializer=keras.initializers.GlorotUniform(),
        name=f'decoder_conv{i}',
      )
      for i in range(2)
    ]

  def call(self, low, high, size, training=False):
    """Refines features.

    Args:
      low: [batch, h4, w4, c], the backbone's low-level feature.
      high: [batch, h, w, c], the ASPP output.
      size: (height, width) of the result, a quarter of the image's.
      training: whether batch norm uses the statistics of the batch.

    Returns:
      [batch, size[0], size[1], filters].
    """
    low = self.feature_projection(low, training=training)
    joined = tf.concat([_to_size(high, size), _to_size(low, size)], axis=-1)
    for layer in self.convs:
      joined = layer(joined, training=training)
    return joined


def _to_size(features, size):
  if tuple(features.shape[1:3]) == tuple(size):
    return features
  return tf.cast(resize.bilinear(features, size), features.dtype)
