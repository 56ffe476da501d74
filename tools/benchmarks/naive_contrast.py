"""The contrastive losses as they are usually written, with [N, N] masks.

The tiled losses are measured against this, and their numbers checked. It is a
fair comparison: matrices that can be shared are shared.
"""

import tensorflow as tf

from deeplab_contrast.common import IGNORE_LABEL


def _pairs(anchors, contrast, labels, temperature):
  """Scores, positives and valid pairs: [batch, N, N] of the features' dtype."""
  scores = tf.matmul(anchors, contrast, transpose_b=True) / temperature
  valid = tf.cast(labels != IGNORE_LABEL, scores.dtype)
  valid = valid[:, :, tf.newaxis] * valid[:, tf.newaxis, :]
  same = labels[:, :, tf.newaxis] == labels[:, tf.newaxis, :]
  return scores, tf.cast(same, scores.dtype) * valid, valid


def _mean(terms, positives):
  """Over the positives of an anchor, the anchors, and the images."""
  count = tf.reduce_sum(positives, axis=-1)
  losses = tf.math.divide_no_nan(
    tf.reduce_sum(terms * positives, axis=-1), count
  )
  anchors = tf.reduce_sum(tf.cast(count > 0, count.dtype), axis=-1)
  means = tf.math.divide_no_nan(tf.reduce_sum(losses, axis=-1), anchors)
  return tf.reduce_mean(means)


def within(anchors, contrast, labels, temperature):
  """Eq. 1 of the paper; arguments flat, [batch, N(, channels)]."""
  scores, positives, valid = _pairs(anchors, contrast, labels, temperature)
  sums = tf.reduce_sum(tf.exp(scores) * valid, axis=-1, keepdims=True)
  terms = tf.math.log(tf.where(sums > 0, sums, tf.ones_like(sums))) - scores
  return _mean(terms, positives)


def released(anchors, contrast, labels, temperature):
  """The released code's form, of one view: each positive against negatives."""
  scores, positives, valid = _pairs(anchors, contrast, labels, temperature)
  exponentials = tf.exp(scores)
  negatives = tf.reduce_sum(
    exponentials * (valid - positives), axis=-1, keepdims=True
  )
  terms = -tf.math.log(exponentials / (exponentials + negatives))
  return _mean(terms, positives)
