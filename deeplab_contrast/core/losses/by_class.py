"""Sums over the pixels of each class, for any ids that fit in a byte."""

import tensorflow as tf

# All ids and the ignore label, so that the number of classes is not needed.
MAX_LABELS = 256


def index(labels: tf.Tensor) -> tf.Tensor:
  """The index of each pixel's class and image: int32 [batch, pixels].

  Args:
    labels: int32 [batch, pixels], ids in [0, MAX_LABELS).

  Returns:
    The row of `sums` to which each pixel is added.
  """
  batch = tf.shape(labels)[0]
  return labels + MAX_LABELS * tf.range(batch)[:, tf.newaxis]


def sums(values: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
  """Sums over the pixels of each class of each image.

  Args:
    values: [batch, pixels, ...].
    labels: int32 [batch, pixels], ids in [0, MAX_LABELS).

  Returns:
    [batch * MAX_LABELS, ...].
  """
  segments = tf.shape(labels)[0] * MAX_LABELS
  return tf.math.unsorted_segment_sum(values, index(labels), segments)


def sizes(labels: tf.Tensor) -> tf.Tensor:
  """The number of pixels with the same id and image: int32 [batch, pixels]."""
  return tf.gather(sums(tf.ones_like(labels), labels), index(labels))
