"""Which pixels take part in a contrastive loss."""

import dataclasses

import tensorflow as tf

from deeplab_contrast import common
from deeplab_contrast.core.losses import by_class, draws


@dataclasses.dataclass(frozen=True)
class PixelSelection:
  """Leaves pixels out of a contrastive loss; by default none.

  Attributes:
    ignored_classes: ids treated as unlabelled, such as (0,) for VOC's
      background.
    min_class_pixels: in each image, classes with fewer pixels are left out.
    per_image: number of pixels drawn from each image, the same number of each
      class if there are enough; None takes all. The positions are the same in
      both views.
  """

  ignored_classes: tuple[int, ...] = ()
  min_class_pixels: int = 1
  per_image: int | None = None

  def __post_init__(self):
    """Refuses numbers that would leave no pixels."""
    if self.min_class_pixels < 1:
      raise ValueError(
        f'min_class_pixels is {self.min_class_pixels}; it must be at least 1.'
      )
    if self.per_image is not None and self.per_image < 2:
      raise ValueError(
        f'per_image is {self.per_image}; a contrast needs at least 2 pixels.'
      )

  def labels(self, labels: tf.Tensor) -> tf.Tensor:
    """Replaces the labels of pixels to leave out.

    Args:
      labels: int32 [batch, pixels].

    Returns:
      The labels, with `IGNORE_LABEL` for those pixels.
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
    """Draws pixels from each image.

    Args:
      labels: int32 [batch, pixels], from `labels`.
      seed: int32 [2].

    Returns:
      Their positions, int32 [batch, min(per_image, pixels)]: if an image has
      too few labelled pixels, the rest are ignored ones. None for all pixels.
    """
    if self.per_image is None:
      return None
    # Far enough below 1 that label + key is not rounded up to the next label.
    keys = 0.99 * draws.uniform(tf.shape(labels), seed)
    # Each pixel has a random rank within its class. All first ones come first,
    # then all second ones, and so on: as even as the classes allow.
    order = tf.argsort(tf.cast(labels, tf.float32) + keys)
    rank = _rank_in_class(labels, order) + keys
    rank = tf.where(labels == common.IGNORE_LABEL, tf.float32.max, rank)
    return tf.argsort(rank)[:, : self.per_image]


def _rank_in_class(labels, order):
  """float32 [batch, pixels]: a pixel's rank among those of its class.

  Args:
    labels: int32 [batch, pixels].
    order: int32 [batch, pixels]: an order that groups pixels by class, the
      smallest id first.
  """
  counts = by_class.sums(tf.ones_like(labels), labels)
  counts = tf.reshape(counts, [-1, by_class.MAX_LABELS])
  first = tf.cumsum(counts, axis=1, exclusive=True)
  rank = tf.argsort(order) - tf.gather(first, labels, batch_dims=1)
  return tf.cast(rank, tf.float32)
