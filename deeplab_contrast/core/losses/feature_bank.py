"""Contrast with features of earlier steps, kept in a bank of each class."""

import dataclasses

import tensorflow as tf

from deeplab_contrast import common
from deeplab_contrast.core.losses import draws


@dataclasses.dataclass(frozen=True)
class FeatureBank:
  """Contrast of pixels with a bank of labelled features of each class.

      L = mean over anchors p of -log(sum_{q of class y_p} exp(s_pq)
                                      / sum_{all q} exp(s_pq))

  q runs over the bank, which is first in, first out, and filled with features
  of labelled pixels that are predicted rightly: as PixCon (2107.12085) has it.
  An anchor whose class has no feature yet is left out.

  Attributes:
    size: features kept of each class.
    anchors: pixels drawn from each class of each image as anchors.
    added: features that each image adds to each class in a step.
    temperature: divides the similarities.

  Raises:
    ValueError: a number is not positive, or `added` is above `size`.
  """

  size: int = 256
  anchors: int = 8
  added: int = 4
  temperature: float = 0.1

  def __post_init__(self) -> None:
    if min(self.size, self.anchors, self.added, self.temperature) <= 0:
      raise ValueError(f'{self}: all numbers must be positive.')
    if self.added > self.size:
      raise ValueError(f'{self}: added must not be above size.')

  def make(self, num_classes: int, channels: int) -> dict[str, tf.Variable]:
    """The variables of an empty bank.

    Returns:
      'bank', float32 [num_classes, size, channels], and 'bank_count', int32
      [num_classes], how many features each class got so far.
    """

    def variable(shape, dtype):
      return tf.Variable(
        tf.zeros(shape, dtype),
        trainable=False,
        aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
      )

    return {
      'bank': variable([num_classes, self.size, channels], tf.float32),
      'bank_count': variable([num_classes], tf.int32),
    }

  def loss(
    self,
    bank: tf.Variable,
    count: tf.Variable,
    embeddings: tf.Tensor,
    labels: tf.Tensor,
    seeds: tf.Tensor,
  ) -> common.Weighted:
    """The loss of some pixels against the bank.

    Args:
      bank: of `make`.
      count: of `make`.
      embeddings: float32 [batch, height, width, channels], of unit length.
      labels: int32 [batch, height, width], class ids or IGNORE_LABEL.
      seeds: int32 [batch, 2], one for each image.

    Returns:
      `Weighted` over the anchors of this replica.
    """
    features = tf.convert_to_tensor(bank)
    classes = features.shape[0]
    anchors, is_anchor = _drawn(
      embeddings, labels, seeds, classes, self.anchors
    )
    filled = tf.minimum(tf.convert_to_tensor(count), self.size)
    is_kept = tf.range(self.size) < filled[:, tf.newaxis]
    similar = tf.einsum('bcad,ksd->bcaks', anchors, features) / self.temperature
    similar = tf.where(is_kept, similar, -1e9)
    every = tf.reduce_logsumexp(similar, [3, 4])
    # Class c of the anchors against class c of the bank.
    positive = tf.linalg.diag_part(tf.transpose(similar, [0, 2, 4, 1, 3]))
    positive = tf.transpose(tf.reduce_logsumexp(positive, 2), [0, 2, 1])
    counts = is_anchor & (filled > 0)[:, tf.newaxis]
    losses = tf.where(counts, every - positive, 0.0)
    return common.Weighted(
      tf.reduce_sum(losses), tf.reduce_sum(tf.cast(counts, tf.float32))
    )

  def add(
    self,
    bank: tf.Variable,
    count: tf.Variable,
    embeddings: tf.Tensor,
    labels: tf.Tensor,
    seeds: tf.Tensor,
  ) -> None:
    """Adds features of pixels, equally on all replicas.

    Args:
      bank: of `make`.
      count: of `make`.
      embeddings: float32 [batch, height, width, channels], of unit length.
      labels: int32 [batch, height, width]; IGNORE_LABEL for pixels that are
        not to be added.
      seeds: int32 [batch, 2], one for each image.
    """
    classes = bank.shape[0]
    found, is_new = _drawn(embeddings, labels, seeds, classes, self.added)
    found, is_new = _gathered(tf.stop_gradient(found)), _gathered(is_new)
    # [class, image and number, ...]: in the order of the images.
    found = tf.reshape(
      tf.transpose(found, [1, 0, 2, 3]), [classes, -1, found.shape[-1]]
    )
    is_new = tf.reshape(tf.transpose(is_new, [1, 0, 2]), [classes, -1])
    # Only the last `size` fit: earlier ones would be overwritten at once.
    nth = tf.cumsum(tf.cast(is_new, tf.int32), 1)
    total = nth[:, -1:]
    is_new &= nth > total - self.size
    place = (count[:, tf.newaxis] + nth - 1) % self.size
    rows = tf.tile(tf.range(classes)[:, tf.newaxis], [1, place.shape[1]])
    # What is not added goes to a place that is cut off.
    place = tf.where(is_new, place, self.size)
    padded = tf.pad(tf.convert_to_tensor(bank), [[0, 0], [0, 1], [0, 0]])
    padded = tf.tensor_scatter_nd_update(
      padded, tf.stack([rows, place], -1), found
    )
    bank.assign(padded[:, : self.size])
    count.assign(count + total[:, 0])


def _drawn(embeddings, labels, seeds, classes, number):
  """Some random pixels of each class of each image.

  Returns:
    float32 [batch, classes, number, channels] and bool [batch, classes,
    number]: which of them there are.
  """
  batch = labels.shape[0]
  flat = tf.reshape(labels, [batch, 1, -1])
  keys = tf.stack(
    [draws.uniform([1, flat.shape[-1]], seed) for seed in tf.unstack(seeds)]
  )
  is_of_class = flat == tf.range(classes)[:, tf.newaxis]
  number = min(number, flat.shape[-1])
  keys, places = tf.math.top_k(tf.where(is_of_class, keys, -1.0), number)
  channels = embeddings.shape[-1]
  pixels = tf.reshape(embeddings, [batch, -1, channels])
  found = tf.gather(pixels, tf.reshape(places, [batch, -1]), batch_dims=1)
  return tf.reshape(found, [batch, classes, number, channels]), keys >= 0.0


def _gathered(value):
  """The values of all replicas, in their order, one after the other."""
  context = tf.distribute.get_replica_context()
  replicas = 1 if context is None else context.num_replicas_in_sync
  if replicas == 1:
    return value
  gathered = context.all_gather(tf.cast(value, tf.float32), axis=0)
  shape = [replicas * value.shape[0], *value.shape[1:]]
  return tf.cast(tf.ensure_shape(gathered, shape), value.dtype)
