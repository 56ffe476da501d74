"""DeepLabV3+: a trunk (backbone, ASPP, decoder) and a head."""

import keras
import tensorflow as tf

from deeplab_contrast.core import aspp, decoder, resize

# The ImageNet mean the original subtracts for ResNets without the beta root.
_MEAN_RGB = (123.15, 115.90, 103.06)


class Trunk(keras.layers.Layer):
  """Pixels to features at stride 4: all that pretraining hands on.

  Args:
    backbone: maps normalized images to `{'low', 'high'}`; tells
      `output_stride` and `centers_pixels`.
    filters: channels of ASPP and decoder.
    atrous_rates: see `core.aspp.ASPP`.
    separable: split separable convolutions in ASPP and decoder.
    dropout_rate: after the ASPP.
    batch_norm_decay: of ASPP and decoder, the original's name and default. It
      needs some ten thousand steps; short trainings want 0.95.
  """

  def __init__(
    self,
    backbone,
    filters=256,
    atrous_rates=None,
    separable=True,
    dropout_rate=0.1,
    batch_norm_decay=0.9997,
  ):
    super().__init__(name='trunk')
    self.backbone = backbone
    self.aspp = aspp.ASPP(
      atrous_rates,
      filters,
      separable,
      dropout_rate,
      backbone.output_stride,
      batch_norm_decay,
    )
    self.decoder = decoder.Decoder(
      filters, separable=separable, batch_norm_decay=batch_norm_decay
    )

  def call(self, images, training=False):
    """Maps float32 pixels 0..255 [b, h, w, 3] to [b, h / 4, w / 4, filters]."""
    images = tf.cast(images, tf.float32)
    size = [
      resize.scale_dimension(s, 0.25) for s in resize.spatial_size(images)
    ]
    pixels = tf.cast(self._normalize(images), self.compute_dtype)
    features = self.backbone(pixels, training=training)
    high = self.aspp(features['high'], training=training)
    return self.decoder(
      features['low'], high, size=tuple(size), training=training
    )

  def _normalize(self, images):
    if self.backbone.centers_pixels:
      return images * (2.0 / 255.0) - 1.0
    return images - tf.constant(_MEAN_RGB)


class DeepLab(keras.Model):
  """A network that takes pixels: trunk and head.

  Args:
    trunk: a `Trunk`.
    head: `core.heads.Classifier` or `core.heads.Projection`.
  """

  def __init__(self, trunk, head):
    super().__init__(name='deeplab')
    self.trunk = trunk
    self.head = head

  def call(self, images, training=False):
    """Maps pixels 0..255 [batch, height, width, 3] to what the head gives."""
    features = self.trunk(images, training=training)
    return self.head(features, training=training)

  def build_variables(self):
    """Makes all variables; call it inside the strategy's scope."""
    # By a real call: the smallest image with two pixels at every stride.
    self(tf.zeros([1, 65, 65, 3]), training=False)

  def decayed_kernels(self):
    """Variables under weight decay: convolution kernels, but no depthwise.

    As in the original: no biases, no batch norm, no depthwise kernels.
    """
    layers = self._flatten_layers(include_self=False)
    return [x.kernel for x in layers if isinstance(x, keras.layers.Conv2D)]
