"""Contrastive losses between pixels whose labels are known.

Notation of the paper: f_p is the unit-length feature of pixel p of image I, and
fhat_q that of pixel q of Ihat, the distorted view of I, which has the same
label map y. s_pq = f_p . fhat_q / temperature. N_c is the number of pixels of
class c. Ignored pixels are left out everywhere.

With one view, Ihat is I: anchors and contrast are the same features. All losses
use all pixels; see `pair_kernel` for their cost.
"""

import abc
import dataclasses
from typing import NamedTuple

import tensorflow as tf

from deeplab_contrast import common
from deeplab_contrast.core.losses import (
  draws,
  pair_kernel,
  pair_tile,
  pixel_selection,
)

_NO_SEED = (0, 0)

# Below this, similarity / temperature overflows float32.
_LEAST_TEMPERATURE = 1e-6


class Chosen(NamedTuple):
  """The pixels that take part in a loss.

  Attributes:
    labels: int32 [batch, pixels].
    places: int32 [batch, pixels], their positions in the map; None for all.
  """

  labels: tf.Tensor
  places: tf.Tensor | None

  def take(self, features: tf.Tensor) -> tf.Tensor:
    """Their features: [batch, height, width, c] to [batch, pixels, c]."""
    size = tf.shape(features)
    flat = tf.reshape(features, [size[0], -1, features.shape[-1]])
    return _take(flat, self.places)


@dataclasses.dataclass(frozen=True)
class PixelContrast(abc.ABC):
  """Base class of the contrastive losses.

  Attributes:
    temperature: divides the similarities; 0.07 in the paper. Lower values
      separate similar pixels more sharply.
    selection: which pixels count; all labelled ones by default.
    matmul: dtype of the factors of the matrix products, 'float32' or
      'bfloat16'; None takes the compute dtype of layers, which is bfloat16
      under mixed_bfloat16. Everything else is float32.
  """

  temperature: float = 0.07
  selection: pixel_selection.PixelSelection = pixel_selection.PixelSelection()
  matmul: str | None = None

  def __post_init__(self):
    """Refuses a temperature that is too small, and an unknown dtype."""
    if not self.temperature >= _LEAST_TEMPERATURE:
      raise ValueError(
        f'temperature is {self.temperature}; it must be at least '
        f'{_LEAST_TEMPERATURE}.'
      )
    if self.matmul not in (None, 'float32', 'bfloat16'):
      raise ValueError(
        f"matmul is '{self.matmul}'; it must be 'float32', 'bfloat16' or None."
      )

  def __call__(
    self,
    anchors: tf.Tensor,
    contrast: tf.Tensor,
    labels: tf.Tensor,
    seed: tf.Tensor | tuple[int, int] = _NO_SEED,
  ) -> common.Weighted:
    """Computes the sum of the losses of the images (or of the batch).

    Args:
      anchors: float [batch, height, width, channels], unit length: f.
      contrast: the same shape: fhat.
      labels: int [batch, height, width], ids in [0, 255) or `IGNORE_LABEL`.
      seed: int32 [2], for losses and selections that draw random numbers.

    Returns:
      `Weighted`: the sum of the losses, and their number. An image without a
      labelled pixel adds nothing.
    """
    chosen = self.choose(labels, seed)
    prepared = chosen.take(anchors)
    # With one view, both are the same tensor, which needs only one gradient.
    twin = prepared if contrast is anchors else chosen.take(contrast)
    return self.of_chosen(prepared, twin, chosen.labels, seed)

  def choose(
    self, labels: tf.Tensor, seed: tf.Tensor | tuple[int, int] = _NO_SEED
  ) -> 'Chosen':
    """The pixels that take part; arguments as of the loss."""
    labels = tf.cast(labels, tf.int32)
    pixels = labels.shape[1:].num_elements()
    if pixels is None:
      pixels = tf.reduce_prod(tf.shape(labels)[1:])
    labels = self.selection.labels(tf.reshape(labels, [-1, pixels]))
    places = self.selection.draw(labels, seed)
    return Chosen(_take(labels, places), places)

  def of_chosen(
    self,
    anchors: tf.Tensor,
    contrast: tf.Tensor,
    labels: tf.Tensor,
    seed: tf.Tensor | tuple[int, int] = _NO_SEED,
  ) -> common.Weighted:
    """The loss of chosen pixels.

    Args:
      anchors: float [batch, pixels, channels], unit length.
      contrast: the same shape, or the same tensor with one view.
      labels: int32 [batch, pixels].
      seed: int32 [2].
    """
    first = tf.cast(anchors, tf.float32)
    twin = first if contrast is anchors else tf.cast(contrast, tf.float32)
    return self._sum(first, twin, labels, seed)

  @abc.abstractmethod
  def _sum(self, anchors, contrast, labels, seed):
    """The same for flattened pixels, [batch, pixels(, channels)]."""

  def _rule(self, **kwargs):
    return pair_tile.Rule(self.temperature, matmul=self.matmul, **kwargs)


@dataclasses.dataclass(frozen=True)
class WithinImage(PixelContrast):
  """The paper's within-image loss (eq. 1; the single-image variant of v2).

      L(I) = -1/N sum_{p in I} 1/N_{y_p} sum_{q in Ihat, y_q = y_p}
                 log(exp(s_pq) / sum_{k in Ihat} exp(s_pk))

  The denominator runs over all pixels of Ihat, positives and negatives; the
  pixel's own position in Ihat is a positive. One direction, I to Ihat; mean
  over images.
  """

  def _sum(self, anchors, contrast, labels, seed):
    del seed
    losses = pair_kernel.pair_losses(
      pair_kernel.Pixels(anchors, labels),
      pair_kernel.Pixels(contrast, labels),
      self._rule(),
    )
    return _sum_over_images(losses, labels)


@dataclasses.dataclass(frozen=True)
class CrossImage(PixelContrast):
  """The paper's cross-image loss (eq. 2), with positives of another image J.

      P_p = N_{y_p} of Ihat + N_{y_p} of Jhat
      D_p = sum_{k in Ihat} exp(s_pk) + sum_{k in Jhat, y_k = y_p} exp(s_pk)
      L(I, J) = -1/N sum_{p in I} 1/P_p sum_{q in Ihat or Jhat, y_q = y_p}
                    log(exp(s_pq) / D_p)

  Of J, only pixels of the anchor's class are used: its negatives were harmful.
  The paper does not say how J is chosen. Here the images of the batch (of one
  replica) form a ring in random order, and J is the next one: a different image
  for every I, unless the batch has only one.
  """

  def _sum(self, anchors, contrast, labels, seed):
    partners = _next_in_ring(tf.shape(labels)[0], seed)
    other = (tf.gather(x, partners) for x in (contrast, labels))
    features, classes = (
      tf.concat(pair, axis=1)
      for pair in zip((contrast, labels), other, strict=True)
    )
    losses = pair_kernel.pair_losses(
      pair_kernel.Pixels(anchors, labels, tf.zeros_like(labels)),
      pair_kernel.Pixels(features, classes, _two_images(labels)),
      self._rule(own_negatives=True),
    )
    return _sum_over_images(losses, labels)


@dataclasses.dataclass(frozen=True)
class Batch(PixelContrast):
  """The paper's batch variant: eq. 1 over the set of all pixels of the batch.

  N and N_c count the pixels of the set; anchors are those of all images I,
  contrast pixels those of all Ihat. Each replica has its own set. The paper had
  to sample 10,000 pixels, and found it worse than the other two losses.

  Attributes:
    sample: number of labelled pixels to draw, at the same positions in both
      views; None takes all.
  """

  sample: int | None = None

  def __post_init__(self):
    """Refuses a sample without a pair."""
    super().__post_init__()
    if self.sample is not None and self.sample < 2:
      raise ValueError(
        f'sample is {self.sample}; a contrast needs at least 2 pixels.'
      )

  def _sum(self, anchors, contrast, labels, seed):
    pixels = [
      tf.reshape(x, [1, -1, *x.shape[2:]]) for x in (labels, anchors, contrast)
    ]
    if self.sample is not None:
      places = _draw(pixels[0], self.sample, seed)
      pixels = [_take(x, places) for x in pixels]
    labels, anchors, contrast = pixels
    losses = pair_kernel.pair_losses(
      pair_kernel.Pixels(anchors, labels),
      pair_kernel.Pixels(contrast, labels),
      self._rule(),
    )
    return _sum_over_images(losses, labels)


@dataclasses.dataclass(frozen=True)
class ReleasedWithin(PixelContrast):
  """The within-image loss of the authors' code, which is not the paper's.

      Neg_p = sum_{k, y_k != y_p} exp(s_pk)
      L = 1/N sum_p 1/N_{y_p} sum_{q, y_q = y_p}
              -log(exp(s_pq) / (exp(s_pq) + Neg_p))

  s_pq is between pixels of the same view, p itself is one of its positives, and
  each positive competes with the negatives only. The losses of the two views
  are added. An image without a labelled pixel counts as 0 in the mean.

  From google-research/supervised_pixel_contrastive_loss, within_image_loss.
  """

  def _sum(self, anchors, contrast, labels, seed):
    del seed
    losses = 0.0
    for features in (anchors, contrast):
      view = pair_kernel.Pixels(features, labels)
      rule = self._rule(one_positive=True)
      losses += pair_kernel.pair_losses(view, view, rule)
    return _mean_over_batch(losses)


@dataclasses.dataclass(frozen=True)
class ReleasedCross(PixelContrast):
  """The cross-image loss of the authors' code, which is not the paper's.

  As `ReleasedWithin`, but over the concatenated pixels of image I and of Jhat,
  the distorted view of a random image of the batch: both are anchors, positives
  are in either, negatives in the anchor's own image only. J is drawn by a
  shuffle of the batch and may be I.

  From google-research/supervised_pixel_contrastive_loss, the default.
  """

  def _sum(self, anchors, contrast, labels, seed):
    order = _shuffled(tf.shape(labels)[0], seed)
    features, classes = (
      tf.concat([own, tf.gather(other, order)], axis=1)
      for own, other in ((anchors, contrast), (labels, labels))
    )
    both = pair_kernel.Pixels(features, classes, _two_images(labels))
    rule = self._rule(one_positive=True, own_negatives=True)
    return _mean_over_batch(pair_kernel.pair_losses(both, both, rule))


def _sum_over_images(losses, labels):
  """`Weighted` over the images that have a labelled pixel."""
  counts = tf.reduce_any(labels != common.IGNORE_LABEL, axis=1)
  return common.Weighted(
    tf.reduce_sum(losses), tf.reduce_sum(tf.cast(counts, tf.float32))
  )


def _mean_over_batch(losses):
  """`Weighted` over all images, as in the released code."""
  return common.Weighted(
    tf.reduce_sum(losses), tf.cast(tf.size(losses), tf.float32)
  )


def _two_images(labels):
  """int32 [batch, 2 * pixels]: the image of each concatenated pixel."""
  own = tf.zeros_like(labels)
  return tf.concat([own, own + 1], axis=1)


def _shuffled(num, seed):
  """int32 [num]: the numbers below num in random order."""
  # TensorFlow's own shuffle does not compile with XLA.
  return tf.argsort(draws.uniform([num], seed))


def _next_in_ring(num, seed):
  """int32 [num]: the successor of each number, in a ring of random order."""
  order = _shuffled(num, seed)
  return tf.gather(tf.roll(order, -1, axis=0), tf.argsort(order))


def _take(x, places):
  """The pixels at the given positions of each image; all for None."""
  return x if places is None else tf.gather(x, places, batch_dims=1)


def _draw(labels, num, seed):
  """int32 [batch, num]: positions of random pixels, labelled ones first."""
  keys = draws.uniform(tf.shape(labels), seed)
  ignored = tf.cast(labels == common.IGNORE_LABEL, tf.float32)
  return tf.argsort(keys + ignored)[:, :num]
