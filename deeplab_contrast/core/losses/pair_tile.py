"""One tile of the pair kernel: some anchors against all contrast pixels.

It computes the scores of all pairs from the features, then the losses of the
anchors and their gradients with respect to the scores.
"""

import dataclasses
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from deeplab_contrast import common

# Anchors per tile, and pairs per tile. At 4,225 contrast pixels, 256 and 512
# anchors were fastest on a CPU, 128 a fifth slower. At 16,641, tiles of 64 were
# a tenth slower than those of 256, in less than half the memory.
_FEWEST, _MOST, _PAIRS = 64, 256, 2**20

# Scores up to this size need no maximum subtracted before the exponential: up
# to twice this (after subtracting a middle), exponentials, their inverses and
# sums of 1e9 of either are normal float32 numbers.
_SAFE_SCORE = 30.0

# An exponential next to which a sum of 1e9 ones vanishes in float32.
_CERTAIN = 60.0


@dataclasses.dataclass(frozen=True)
class Rule:
  """Which pairs of pixels are compared, and how.

  With s_pq = f_p . g_q / temperature, positives Pos(p) = {q of p's class} and
  negatives Neg(p) = {q of a different class}, an anchor's loss is

      one_positive=False:  mean_{q in Pos(p)} -log(e^s_pq / sum_{k in Pos(p)
                               or Neg(p)} e^s_pk)
      one_positive=True:   mean_{q in Pos(p)} -log(e^s_pq / (e^s_pq +
                               sum_{k in Neg(p)} e^s_pk))

  Attributes:
    temperature: float.
    one_positive: a positive does not compete with the other positives.
    own_negatives: only pixels of the anchor's own image are negatives.
    matmul: dtype of the factors of the matrix products, 'float32' or
      'bfloat16'; None takes the compute dtype of layers. Exponentials and sums
      are always float32.
    tile: number of anchors per tile; None chooses one.
  """

  temperature: float
  one_positive: bool = False
  own_negatives: bool = False
  matmul: str | None = None
  tile: int | None = None

  @property
  def dtype(self) -> tf.DType:
    """The tf.DType of the factors of the matrix products."""
    name = self.matmul or keras.config.dtype_policy().compute_dtype
    return tf.bfloat16 if name == 'bfloat16' else tf.float32

  def rows(
    self, num_anchors: int | tf.Tensor, num_contrast: int | tf.Tensor
  ) -> int:
    """The number of anchors per tile; sizes may be unknown."""
    rows = self.tile
    if rows is None:
      known = isinstance(num_contrast, int)
      rows = _PAIRS // num_contrast if known else _MOST
      rows = max(_FEWEST, min(_MOST, rows))
    return min(rows, num_anchors) if isinstance(num_anchors, int) else rows

  @property
  def pull_in_pairs(self) -> bool:
    """Whether the gradient of the positives is added pair by pair.

    Without `one_positive` it needs no pairs, see `pair_kernel._pull`. But the
    two terms of the gradient almost cancel once classes are compact, and
    products in bfloat16 are not precise enough to be subtracted.
    """
    return self.dtype == tf.bfloat16 and not self.one_positive


class Set(NamedTuple):
  """One set of pixels (or a batch of sets), as the sweep takes it."""

  anchors: Any
  labels: Any
  images: Any
  weights: Any  # Of the anchors in the mean; 0 for those that don't count.
  positives: Any  # Their number for each anchor.
  contrast: Any
  contrast_labels: Any
  contrast_images: Any
  valid: Any  # 1 for contrast pixels that count, else 0.
  middle: Any  # float32, subtracted from all scores before rounding.


def is_safe(batch: Set, rule: Rule) -> tf.Tensor:
  """Whether no score can be large, given the features' lengths: bool []."""
  lengths = [
    tf.sqrt(tf.reduce_max(tf.reduce_sum(tf.square(x), axis=-1)))
    for x in (batch.anchors, batch.contrast)
  ]
  return lengths[0] * lengths[1] / rule.temperature <= _SAFE_SCORE


def anchor_factors(
  anchors: tf.Tensor, rule: Rule, middle: tf.Tensor
) -> tf.Tensor:
  """The left factor of `scores - middle`, in the rule's dtype.

  Args:
    anchors: [tile, channels], divided by the temperature.
    rule: `Rule`.
    middle: float32 [], with bfloat16 precision; 0 for float32.

  Returns:
    [tile, factors].
  """
  if rule.dtype == tf.bfloat16:
    anchors = _with_channel(anchors, middle)
  return tf.cast(anchors, rule.dtype)


def contrast_factors(contrast: tf.Tensor, rule: Rule) -> tf.Tensor:
  """The right factor of [pixels, channels]: [factors, pixels]."""
  if rule.dtype == tf.bfloat16:
    contrast = _with_channel(contrast, -1.0)
  return tf.transpose(tf.cast(contrast, rule.dtype))


def _with_channel(x, value):
  """Adds a channel, and zeros: bfloat16 kernels need a multiple of 32."""
  size = tf.shape(x)[:-1]
  ones = tf.ones(tf.concat([size, [1]], axis=0))
  zeros = tf.zeros(tf.concat([size, [-(x.shape[-1] + 1) % 32]], axis=0))
  return tf.concat([x, value * ones, zeros], axis=-1)


def matmul(
  a: tf.Tensor, b: tf.Tensor, rule: Rule, transpose_a: bool = False
) -> tf.Tensor:
  """The float32 product of factors in the rule's dtype."""
  product = tf.matmul(
    tf.cast(a, rule.dtype), tf.cast(b, rule.dtype), transpose_a=transpose_a
  )
  return tf.cast(product, tf.float32)


def losses(
  scores: tf.Tensor, rows: Set, rule: Rule, safe: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
  """The losses of the anchors of a tile, and the factors of their gradients.

  Args:
    scores: float32 [tile, contrast], minus `rows.middle`.
    rows: `Set` of the tile's anchors.
    rule: `Rule`.
    safe: bool [], see `is_safe`.

  Returns:
    Losses, [tile]; their gradients by the scores, [tile, contrast], to be
    multiplied by the last result, and not valid for ignored contrast pixels; a
    factor [tile]. Without `one_positive` the losses lack the pull of the
    positives, and the gradients include it only with `pull_in_pairs`.
  """
  tile_losses = _one_positive if rule.one_positive else _softmax
  return tile_losses(scores, rows, rule, safe)


def _same_class(rows):
  """Whether a pair is of the same class; ignored pixels have none."""
  ignored = rows.contrast_labels == common.IGNORE_LABEL
  labels = tf.where(ignored, -1, rows.contrast_labels)
  return rows.labels[:, tf.newaxis] == labels


def _same_image(rows):
  """Whether a pair is of the same image."""
  return rows.images[:, tf.newaxis] == rows.contrast_images


def _only(mask, values):
  """Values where the mask is true, else 0; all values without a mask."""
  return values if mask is None else tf.where(mask, values, 0.0)


def _softmax(scores, rows, rule, safe):
  """For each anchor the loss log sum_k e^s_pk; see `losses`."""
  allowed = None
  if rule.own_negatives:
    allowed = _same_image(rows) | _same_class(rows)

  def shifted():
    # Ignored pixels must not determine the maximum either.
    real = rows.valid[tf.newaxis] > 0
    mask = real if allowed is None else real & allowed
    kept = tf.where(mask, scores, -float('inf'))
    top = _finite(tf.reduce_max(kept, axis=1))
    return kept - top[:, tf.newaxis], top

  unshifted = lambda: (scores, tf.zeros_like(rows.weights))  # noqa: E731
  scores, top = tf.cond(safe, unshifted, shifted)
  pairs = _only(allowed, tf.exp(scores))
  # The product leaves ignored pixels out, without the cost of a mask.
  sums = tf.linalg.matvec(pairs, rows.valid)
  sums = tf.where(sums > 0, sums, 1.0)
  if rule.pull_in_pairs:
    pull = sums / tf.maximum(rows.positives, 1.0)
    pairs -= _only(_same_class(rows), pull[:, tf.newaxis])
  return tf.math.log(sums) + top + rows.middle, pairs, 1.0 / sums


def _one_positive(scores, rows, rule, safe):
  """For each anchor the loss sum_{q in Pos(p)} log(1 + Neg_p / e^s_pq).

  Neg_p is the sum of e^s_pk over negatives. See `losses`.
  """
  positive = _same_class(rows)
  negative = ~positive
  if rule.own_negatives:
    negative &= _same_image(rows)

  def shifted():
    # A positive is either as large as the largest negative or certain.
    mask = negative & (rows.valid[tf.newaxis] > 0)
    kept = tf.where(mask, scores, -float('inf'))
    top = _finite(tf.reduce_max(kept, axis=1))
    return tf.minimum(scores - top[:, tf.newaxis], _CERTAIN)

  scores = tf.cond(safe, lambda: scores, shifted)
  exponentials = tf.exp(scores)
  others = _only(negative, exponentials)
  sums = tf.linalg.matvec(others, rows.valid)
  counts = tf.cast(sums > 0, tf.float32)  # No negatives: no loss.
  sums = tf.where(sums > 0, sums, 1.0)[:, tf.newaxis]
  both = exponentials + sums
  loss = tf.reduce_sum(_only(positive, tf.math.log(both) - scores), axis=1)
  # One after the other, since both at once would need twice the memory.
  with tf.control_dependencies([loss]):
    inverse = _only(positive, 1.0 / both)
  # A positive loses Neg_p / both; a negative gains e^s_pk sum_q 1 / both.
  gains = others * tf.reduce_sum(inverse, axis=1, keepdims=True)
  return loss * counts, gains - sums * inverse, counts


def _finite(top):
  """Maxima, with 0 for those of nothing."""
  return tf.where(tf.math.is_finite(top), top, 0.0)
