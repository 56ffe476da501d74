"""The original's preprocessing of pixels for each backbone.

All map float32 pixels 0..255 [batch, height, width, 3] to the same shape. The
original does this inside the network (deeplab/core/feature_extractor.py).
"""

import tensorflow as tf

# The mean of ImageNet, in RGB.
MEAN_RGB = (123.15, 115.90, 103.06)


def zero_mean_unit_range(images: tf.Tensor) -> tf.Tensor:
  """To -1..1: beta ResNets, Xception and MobileNet."""
  return images * (2.0 / 255.0) - 1.0


def unit_range(images: tf.Tensor) -> tf.Tensor:
  """To 0..1: the backbones of keras-cv."""
  return images / 255.0


def lite(images: tf.Tensor) -> tf.Tensor:
  """To -1..1 with 127 at 0: EfficientNet-Lite, as it was trained on ImageNet.

  MEAN_RGB and STDDEV_RGB of efficientnet/lite in github.com/tensorflow/tpu.
  """
  return (images - 127.0) / 128.0


def half_range(images: tf.Tensor) -> tf.Tensor:
  """To -1..1 with 128 at 0: Keras' EfficientNetV2 S, M and L."""
  return images / 128.0 - 1.0


def standard_scores(images: tf.Tensor) -> tf.Tensor:
  """By mean and deviation of ImageNet: Keras' EfficientNetV2 B0 to B3."""
  mean = tf.constant((0.485, 0.456, 0.406))
  return (images / 255.0 - mean) / tf.constant((0.229, 0.224, 0.225))


def subtract_imagenet_mean(images: tf.Tensor) -> tf.Tensor:
  """Subtracts the mean: ResNets with the 7x7 root."""
  return images - tf.constant(MEAN_RGB)
