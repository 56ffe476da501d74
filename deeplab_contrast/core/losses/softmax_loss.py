"""Pixel cross entropy (deeplab/utils/train_utils.py of the original)."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from deeplab_contrast import common

# The smallest and largest weight of a class; above, a few pixels of a rare
# class would be noise.
_WEIGHTS = (0.1, 10.0)


def pixel_cross_entropy(
  logits: tf.Tensor,
  labels: tf.Tensor,
  label_weights: Sequence[float] | None = None,
  mined: float | tf.Tensor = 1.0,
) -> common.Weighted:
  """Softmax cross entropy over all labelled pixels, or over the hardest ones.

  As in the original, class weights multiply the losses, but the count is of
  pixels, not of weights; mined pixels count only if their loss is not 0.

  Args:
    logits: float [batch, height, width, classes], at the labels' resolution.
    labels: int [batch, height, width], class ids or `IGNORE_LABEL`.
    label_weights: a weight for every class; None weights all classes equally.
    mined: the share of all pixels, including ignored ones, that count: those
      with the largest losses. A float, or a float32 tensor [].

  Returns:
    `Weighted`: the sum over the pixels that count, and their number.
  """
  valid = labels != common.IGNORE_LABEL
  classes = tf.where(valid, labels, 0)
  losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
    classes, tf.cast(logits, tf.float32)
  )
  losses *= tf.cast(valid, tf.float32)
  if label_weights is not None:
    losses *= tf.gather(tf.constant(label_weights, tf.float32), classes)
  if isinstance(mined, float) and mined == 1.0:
    count = tf.reduce_sum(tf.cast(valid, tf.float32))
    return common.Weighted(tf.reduce_sum(losses), count)
  return _hardest(tf.reshape(losses, [-1]), mined)


def balancing_weights(
  pixels: np.ndarray, power: float = 1.0
) -> tuple[float, ...]:
  """Weights for the classes that make up for their different frequencies.

  (median frequency / frequency) ** power, at least 0.1 and at most 10: for
  power 1 the median frequency balancing of Eigen and Fergus (2015). The
  frequency of a class is its share of the labelled pixels of those images that
  show it.

  Args:
    pixels: int [images, classes], pixels of each class in each image.
    power: 0 for equal weights; 0.5 is milder than 1.

  Returns:
    A weight for every class; 1 for one that does not occur.
  """
  around = ((pixels > 0) * pixels.sum(1, keepdims=True)).sum(0)
  occurs = around > 0
  weights = np.ones(pixels.shape[1])
  if occurs.any():
    frequency = pixels.sum(0)[occurs] / around[occurs]
    ratio = np.median(frequency) / frequency
    weights[occurs] = np.clip(ratio**power, *_WEIGHTS)
  return tuple(weights.tolist())


def mined_share(
  top_k_percent_pixels: float, hard_example_mining_step: int, step: tf.Tensor
) -> float | tf.Tensor:
  """The share of pixels to mine, which falls from 1 to its final value.

  Args:
    top_k_percent_pixels: float, the final share (0..1, despite its name).
    hard_example_mining_step: int, the step at which it is reached; 0 for the
      start.
    step: int tensor [], the training step.

  Returns:
    A float if it is constant, else a float32 tensor [].
  """
  if top_k_percent_pixels == 1.0 or hard_example_mining_step == 0:
    return float(top_k_percent_pixels)
  ratio = tf.cast(step, tf.float32) / hard_example_mining_step
  ratio = tf.minimum(1.0, ratio)
  return ratio * top_k_percent_pixels + (1.0 - ratio)


def _hardest(losses, share):
  """`Weighted` of the given share of losses [pixels], the largest."""
  count = tf.cast(tf.size(losses), tf.float32)
  # A mask over all sorted losses, since XLA cannot compile a number of pixels
  # that changes from step to step.
  kept = tf.range(tf.size(losses)) < tf.cast(share * count, tf.int32)
  losses = tf.sort(losses, direction='DESCENDING')
  losses = tf.where(kept, losses, 0.0)
  present = tf.reduce_sum(tf.cast(losses != 0.0, tf.float32))
  return common.Weighted(tf.reduce_sum(losses), present)
