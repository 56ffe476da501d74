"""Sums over all pairs of pixels, and their gradients, in linear memory.

A contrastive loss compares every pair of an anchor p and a contrast pixel q. A
plain implementation has several [anchors, contrast] matrices, kept until the
gradient is computed. Here a tile of anchors is compared with all contrast
pixels, which gives its loss and its gradient at once: one sweep computes both,
with three matrix products and one exponential per pair, and nothing larger than
a tile is ever kept. Pixels that don't count (void, and the padding of small
images) are put last and mostly left out of the sweep.
"""

import functools
from typing import Any, NamedTuple

import tensorflow as tf

from deeplab_contrast import common
from deeplab_contrast.core.losses import by_class, pair_tile

# Up to this many contrast pixels are all swept, whether they count or not.
_FEW = 1024

# Of more, the smallest sufficient multiple of a quarter is swept.
_QUARTERS = 4


class Pixels(NamedTuple):
  """Pixels of a batch of sets; only pixels of the same set are compared.

  Attributes:
    features: [batch, pixels, channels].
    labels: int32 [batch, pixels], ids in [0, 255) or `IGNORE_LABEL`.
    images: int32 [batch, pixels], the image of the set that each pixel is in;
      None if a set is one image.
  """

  features: Any
  labels: Any
  images: Any = None

  @property
  def valid(self) -> tf.Tensor:
    """float32 [batch, pixels]: 1 for pixels that count, else 0."""
    return tf.cast(self.labels != common.IGNORE_LABEL, tf.float32)

  @property
  def image_index(self) -> tf.Tensor:
    """int32 [batch, pixels], 0 if a set is one image."""
    return tf.zeros_like(self.labels) if self.images is None else self.images


def pair_losses(
  anchors: Pixels, contrast: Pixels, rule: pair_tile.Rule
) -> tf.Tensor:
  """The mean of the losses of the anchors of each set; see `Rule`.

  Anchors count if they are valid and have a positive; with `one_positive` an
  anchor without negatives has a loss of 0. Gradients flow to the features of
  both sides; second derivatives are not defined.

  Args:
    anchors: `Pixels`.
    contrast: `Pixels` of the same batch and channels.
    rule: `Rule`.

  Returns:
    float32 [batch]; 0 for a set without an anchor that counts.
  """
  positives = _count_positives(anchors, contrast)
  counts = anchors.valid * tf.cast(positives > 0, tf.float32)
  total = tf.reduce_sum(counts, axis=1, keepdims=True)
  weights = tf.math.divide_no_nan(counts, total)
  pull = _pull(anchors, contrast, weights) / rule.temperature
  middle = _middle(pull, rule)
  if rule.one_positive:
    weights = tf.math.divide_no_nan(weights, positives)
    return _spread(anchors, contrast, weights, positives, middle, rule)
  if rule.pull_in_pairs:
    pull = tf.stop_gradient(pull)
  spread = _spread(anchors, contrast, weights, positives, middle, rule)
  return spread - pull


def _middle(pull, rule):
  """The value to subtract from the scores of each set: float32 [batch].

  The error of a bfloat16 score is proportional to its size. Scores of positives
  matter most, so their mean is moved to 0.
  """
  if rule.dtype == tf.float32:
    return tf.zeros_like(pull)
  return tf.cast(tf.cast(tf.stop_gradient(pull), rule.dtype), tf.float32)


def _count_positives(anchors, contrast):
  """float32 [batch, anchors]: contrast pixels of the anchor's class."""
  counts = by_class.sums(contrast.valid, contrast.labels)
  return tf.gather(counts, by_class.index(anchors.labels))


def _pull(anchors, contrast, weights):
  """sum_p w_p f_p . mean_{q in Pos(p)} g_q for each set, without any pair."""
  # Ignored pixels have weight 0 on either side.
  factors = [
    by_class.sums(weight[..., tf.newaxis] * x.features, x.labels)
    for x, weight in ((anchors, weights), (contrast, contrast.valid))
  ]
  products = tf.reduce_sum(factors[0] * factors[1], axis=-1)
  counts = by_class.sums(contrast.valid, contrast.labels)
  means = tf.math.divide_no_nan(products, counts)
  return tf.reduce_sum(tf.reshape(means, [-1, by_class.MAX_LABELS]), axis=1)


def _spread(anchors, contrast, weights, positives, middle, rule):
  """The term that needs all pairs: [batch], differentiable in the features."""
  one_set = anchors.features is contrast.features

  @tf.custom_gradient
  def losses(*features):
    batch = pair_tile.Set(
      features[0],
      anchors.labels,
      anchors.image_index,
      weights,
      positives,
      features[-1],
      contrast.labels,
      contrast.image_index,
      contrast.valid,
      middle,
    )
    total, *gradients = _sweep_batch(batch, rule, one_set)

    def gradient(upstream):
      return [x * upstream[:, tf.newaxis, tf.newaxis] for x in gradients]

    return total, gradient

  if one_set:
    return losses(anchors.features)
  return losses(anchors.features, contrast.features)


def _sweep_batch(batch, rule, one_set):
  """Sweeps one set after the other.

  Args:
    batch: `pair_tile.Set` with a batch dimension.
    rule: `Rule`.
    one_set: whether anchors and contrast are the same features.

  Returns:
    The losses [batch] and their gradients by the features of anchors and
    contrast, or by `one_set` the sum of the two.
  """
  num = _size(batch.anchors)
  safe = pair_tile.is_safe(batch, rule)

  def step(i, losses, *gradients):
    loss, *found = _sweep(pair_tile.Set(*(x[i] for x in batch)), rule, safe)
    if one_set:
      found = [found[0] + found[1]]
    results = zip((losses, *gradients), (loss, *found), strict=True)
    return i + 1, *(x.write(i, y) for x, y in results)

  shapes = [[], batch.anchors.shape[1:], batch.contrast.shape[1:]]
  arrays = [
    tf.TensorArray(tf.float32, num, element_shape=x)
    for x in shapes[: 2 if one_set else 3]
  ]
  _, *results = tf.while_loop(
    lambda i, *_: i < num, step, (0, *arrays), parallel_iterations=1
  )
  return [x.stack() for x in results]


def _size(x):
  """The first dimension of a tensor: an int if known, else int32 []."""
  return tf.shape(x)[0] if x.shape[0] is None else x.shape[0]


def _sweep(pixels, rule, safe):
  """The loss of one set and its gradients, over the pixels that count.

  Args:
    pixels: `pair_tile.Set` without a batch dimension.
    rule: `Rule`.
    safe: bool []; see `pair_tile.is_safe`.

  Returns:
    The loss, []; its gradients by `pixels.anchors` and `pixels.contrast`.
  """
  order, place_of_anchor = _front(pixels.weights > 0)
  contrast, place_of_contrast = _front(pixels.valid > 0)
  pixels = _of_contrast(pixels, lambda x: tf.gather(x, contrast))
  loss, d_anchors, d_contrast = _with_least_width(
    functools.partial(_sweep_columns, pixels, order, rule, safe), pixels.valid
  )
  d_anchors = tf.gather(d_anchors, place_of_anchor)
  return loss, d_anchors, tf.gather(d_contrast, place_of_contrast)


def _front(counts):
  """An order in which the pixels that count come first.

  Args:
    counts: bool [pixels].

  Returns:
    int32 [pixels]: the pixels in that order; int32 [pixels]: each one's
    position.
  """
  first = tf.cast(counts, tf.int32)
  total = tf.reduce_sum(first)
  places = tf.where(
    counts, tf.cumsum(first) - 1, total + tf.cumsum(1 - first) - 1
  )
  pixels = tf.range(_size(counts))
  return tf.scatter_nd(places[:, tf.newaxis], pixels, tf.shape(counts)), places


def _widths(num):
  """The possible numbers of contrast pixels of a sweep; the last one is all.

  Only a few, since each is a static shape.
  """
  if isinstance(num, int) and num < _FEW:
    return [num]
  return [-(-num * i // _QUARTERS) for i in range(1, _QUARTERS + 1)]


def _with_least_width(sweep, valid):
  """sweep(width) of the smallest width with all pixels that count."""
  widths = _widths(_size(valid))
  count = tf.math.count_nonzero(valid, dtype=tf.int32)

  def choose(low, high):
    if high - low == 1:
      return sweep(widths[low])
    middle = (low + high) // 2
    return tf.cond(
      count <= widths[middle - 1],
      lambda: choose(low, middle),
      lambda: choose(middle, high),
    )

  # Not a tf.switch_case, for which XLA compiles ten times as long.
  return choose(0, len(widths))


def _sweep_columns(pixels, order, rule, safe, width):
  """The loss over the first `width` contrast pixels; the others don't count.

  Args:
    pixels: `pair_tile.Set` without a batch dimension.
    order: int32 [anchors], see `_front`.
    rule: `Rule`.
    safe: bool [].
    width: int, or int32 [].

  Returns:
    The loss, []; its gradients by the anchors in that order, padded with rows
    of zeros, and by all contrast pixels.
  """
  missing = _size(pixels.contrast) - width
  pixels = _of_contrast(pixels, lambda x: x[:width])
  valid = pixels.valid[:, tf.newaxis]
  contrast = pixels.contrast * valid
  right = pair_tile.contrast_factors(contrast, rule)
  contrast = tf.cast(contrast, rule.dtype)
  count = tf.math.count_nonzero(pixels.weights > 0, dtype=tf.int32)
  tile = rule.rows(_size(order), width)
  tiles = tf.reshape(tf.pad(order, [[0, -_size(order) % tile]]), [-1, tile])

  def step(i, total, d_anchors, d_contrast):
    rows = _rows(pixels, tiles[i], count - i * tile, rule)
    left = pair_tile.anchor_factors(rows.anchors, rule, pixels.middle)
    scores = pair_tile.matmul(left, right, rule)
    loss, pairs, scale = pair_tile.losses(scores, rows, rule, safe)
    scale = (scale * rows.weights)[:, tf.newaxis]
    d_rows = scale / rule.temperature * pair_tile.matmul(pairs, contrast, rule)
    d_contrast += pair_tile.matmul(
      pairs, scale * rows.anchors, rule, transpose_a=True
    )
    total += tf.reduce_sum(loss * rows.weights)
    return i + 1, total, d_anchors.write(i, d_rows), d_contrast

  channels = pixels.anchors.shape[1]
  d_anchors = tf.TensorArray(
    tf.float32, _size(tiles), element_shape=[tile, channels]
  )
  # Tiles without an anchor that counts are skipped; their gradients are zero.
  _, total, d_anchors, d_contrast = tf.while_loop(
    lambda i, *_: i * tile < count,
    step,
    (0, tf.zeros([]), d_anchors, tf.zeros_like(pixels.contrast)),
    parallel_iterations=1,
  )
  d_anchors = tf.reshape(d_anchors.stack(), [-1, channels])
  return total, d_anchors, tf.pad(d_contrast * valid, [[0, missing], [0, 0]])


def _rows(pixels, places, count, rule):
  """The anchors at some positions; only the first `count` count.

  Returns:
    A `pair_tile.Set`, its anchors divided by the temperature.
  """
  rows = _of_anchors(pixels, lambda x: tf.gather(x, places))
  counts = tf.range(_size(places)) < count
  return rows._replace(
    anchors=rows.anchors / rule.temperature,
    weights=tf.where(counts, rows.weights, 0.0),
  )


def _of_anchors(pixels, change):
  """A `pair_tile.Set` with `change` applied to all that belongs to anchors."""
  names = ('anchors', 'labels', 'images', 'weights', 'positives')
  return pixels._replace(**{x: change(getattr(pixels, x)) for x in names})


def _of_contrast(pixels, change):
  """The same for all that belongs to its contrast pixels."""
  names = ('contrast', 'contrast_labels', 'contrast_images', 'valid')
  return pixels._replace(**{x: change(getattr(pixels, x)) for x in names})
