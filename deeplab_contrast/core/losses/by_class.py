"""Sums over the pixels of each class, for any ids that fit into a byte."""

import tensorflow as tf

# Ids and the ignore label; so classes need not be told how many they are.
MAX_LABELS = 256


def index(labels: tf.Tensor) -> tf.Tensor:
  """A row for each class of each image: int32 [batch, pixels].

  Args:
    labels: int32 [batch, pixels], ids in [0, MAX_LABELS).

  Returns:
    Where `sums` puts each pixel.
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
  """How many pixels of its image have a pixel's id: int32 [batch, pixels]."""
  return tf.gather(sums(tf.ones_like(labels), labels), index(labels))
