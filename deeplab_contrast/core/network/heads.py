"""Heads on top of the trunk: a classifier, or a projection for contrast."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from deeplab_contrast.core import resize
from deeplab_contrast.core.network import conv


class Classifier(keras.layers.Layer):
  """The original's logits layer: one 1x1 convolution with bias.

  With atrous rates it is the sum of several convolutions, as in DeepLabV2: the
  original's `aspp_with_batch_norm=False`, a trunk without ASPP.

  Args:
    num_classes: number of classes of the dataset.
    logits_kernel_size: side of the kernels; must be 1 without rates.
    atrous_rates: rates of the convolutions whose sum gives the logits.

  Raises:
    ValueError: on a larger kernel without rates.
  """

  def __init__(
    self,
    num_classes: int,
    logits_kernel_size: int = 1,
    atrous_rates: Sequence[int] | None = None,
  ):
    if not atrous_rates and logits_kernel_size != 1:
      raise ValueError(
        f'logits_kernel_size is {logits_kernel_size}; without atrous_rates it '
        'must be 1.'
      )
    super().__init__(name='logits')
    self.num_classes = num_classes
    self.branches = [
      conv.Conv2D(
        num_classes,
        logits_kernel_size,
        padding='same',
        dilation_rate=rate,
        kernel_initializer=conv.truncated_normal(0.01),
        name=f'semantic_{i}' if i else 'semantic',
        # Logits stay float32 under mixed precision.
        dtype='float32',
      )
      for i, rate in enumerate(atrous_rates or (1,))
    ]

  def call(self, features: tf.Tensor, training: bool = False) -> tf.Tensor:
    """Maps [batch, h, w, c] to float32 logits [batch, h, w, num_classes]."""
    del training
    features = tf.cast(features, tf.float32)
    return tf.add_n([branch(features) for branch in self.branches])


class Projection(keras.layers.Layer):
  """The paper's projection head: three 1x1 convolutions, normalized outputs.

  ReLU follows the first two. Features are first resized to half their size
  (129 to 65 for crops of 513), the resolution of the loss. The head is dropped
  after pretraining.

  Args:
    filters: channels of all three convolutions.
    num_layers: number of convolutions; 3 in the paper.
    scale: resizes by the k * stride + 1 rule; 0.5 turns stride 4 into
      8.

  Raises:
    ValueError: when the scale is not greater than 0.
  """

  def __init__(
    self, filters: int = 256, num_layers: int = 3, scale: float = 0.5
  ):
    if scale <= 0:
      raise ValueError(f'scale is {scale}; it must be greater than 0.')
    super().__init__(name='projection')
    self.scale = scale
    self.convs = [
      keras.layers.Conv2D(
        filters,
        1,
        activation='relu' if i < num_layers - 1 else None,
        kernel_initializer=conv.he_normal(),
        name=f'conv{i + 1}',
      )
      for i in range(num_layers)
    ]

  def call(self, features: tf.Tensor, training: bool = False) -> tf.Tensor:
    """Projects.

    Args:
      features: [batch, h, w, c] at stride 4.
      training: not used; the head has no batch norm and no dropout.

    Returns:
      float32 [batch, (h - 1) * scale + 1, (w - 1) * scale + 1, filters], of
      unit length along the last axis.
    """
    del training
    return self.project(self.resized(features))

  def resized(self, features: tf.Tensor) -> tf.Tensor:
    """Features at the resolution of the loss, float32."""
    size = [
      resize.scale_dimension(s, self.scale)
      for s in resize.spatial_size(features)
    ]
    return resize.bilinear(features, size)

  def project(self, features: tf.Tensor) -> tf.Tensor:
    """What follows the resizing; each pixel is projected on its own."""
    net = features
    for layer in self.convs:
      net = layer(net)
    return tf.math.l2_normalize(tf.cast(net, tf.float32), axis=-1)
