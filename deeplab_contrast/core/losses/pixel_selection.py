"""Which pixels take part in a contrastive loss."""

import dataclasses

import tensorflow as tf

from deeplab_contrast import common
from deeplab_contrast.core.losses import by_class, draws


@dataclasses.dataclass(frozen=True)
class PixelSelection:
  """Leaves pixels out of a contrastive loss; by itself it leaves out none.

  Attributes:
    ignored_classes: ids that are treated as not labelled, such as (0,) for
      VOC's background.
    min_class_pixels: classes of fewer pixels in an image are left out of it.
    per_image: how many pixels are drawn of each image, the same number of each
      class as far as there are so many; None takes all. The places are the same
      in both views.
  """

  ignored_classes: tuple[int, ...] = ()
  min_class_pixels: int = 1
  per_image: int | None = None

  def __post_init__(self):
    """Refuses numbers that would leave nothing."""
    if self.min_class_pixels < 1:
      raise ValueError(
        f'min_class_pixels is {self.min_class_pixels}; it must be at least 1.'
      )
    if self.per_image is not None and self.per_image < 2:
      raise ValueError(
        f'per_image is {self.per_image}; a contrast needs 2 pixels or more.'
      )

  def labels(self, labels: tf.Tensor) -> tf.Tensor:
    """Ignores what is left out.

    Args:
      labels: int32 [batch, pixels].

    Returns:
      The same with more pixels of `IGNORE_LABEL`.
    """
    for ignored in self.ignored_classes:
      labels = tf.where(labels == ignored, common.IGNORE_LABEL, labels)
    if self.min_class_pixels > 1:
      few = by_class.sizes(labels) < self.min_class_pixels
      labels = tf.where(few, common.IGNORE_LABEL, labels)
    return labels

  def draw(
    self, labels: tf.Tensor, seed: tf.Tensor | tuple[int, int]
  ) -> tf.Tensor | None:
    """Draws pixels of each image.

    Args:
      labels: int32 [batch, pixels], from `labels`.
      seed: int32 [2].

    Returns:
      Their places, int32 [batch, min(per_image, pixels)]: where an image has
      fewer pixels that count, some are of ignored ones. None for all of them.
    """
    if self.per_image is None:
      return None
    # Below 1 by enough not to be rounded up next to a label.
    keys = 0.99 * draws.uniform(tf.shape(labels), seed)
    # Within its class a pixel has a random rank. All the first ones come first,
    # then all the second ones: as even as the classes allow.
    order = tf.argsort(tf.cast(labels, tf.float32) + keys)
    rank = _rank_in_class(labels, order) + keys
    rank = tf.where(labels == common.IGNORE_LABEL, tf.float32.max, rank)
    return tf.argsort(rank)[:, : self.per_image]


def _rank_in_class(labels, order):
  """float32 [batch, pixels]: a pixel's place among those of its class.

  Args:
    labels: int32 [batch, pixels].
    order: int32 [batch, pixels]: an order in which classes are together, the
      least id first.
  """
  counts = by_class.sums(tf.ones_like(labels), labels)
  counts = tf.reshape(counts, [-1, by_class.MAX_LABELS])
  first = tf.cumsum(counts, axis=1, exclusive=True)
  rank = tf.argsort(order) - tf.gather(first, labels, batch_dims=1)
  return tf.cast(rank, tf.float32)
