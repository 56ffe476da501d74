"""Pixel cross entropy (deeplab/utils/train_utils.py of the original)."""

import tensorflow as tf

from deeplab_contrast import common


def pixel_cross_entropy(logits, labels):
  """Softmax cross entropy over all pixels that are not ignored.

  Args:
    logits: float [batch, height, width, classes], at the labels' resolution.
    labels: int [batch, height, width], class ids or `IGNORE_LABEL`.

  Returns:
    `Weighted`: the sum over the pixels that count, and how many they are.
  """
  valid = labels != common.IGNORE_LABEL
  entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(
    tf.where(valid, labels, 0), tf.cast(logits, tf.float32)
  )
  weights = tf.cast(valid, tf.float32)
  return common.Weighted(
    tf.reduce_sum(entropy * weights), tf.reduce_sum(weights)
  )
