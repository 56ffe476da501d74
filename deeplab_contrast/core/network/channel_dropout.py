"""Dropout of whole channels of features, for two views of an image."""

from collections.abc import Sequence

import tensorflow as tf

# Transforms number their random numbers from 0.
_SEED = 2_000_000


class ChannelDropout:
  """Drops half of the channels of features, and doubles the others.

  The second view of an image keeps what the first one drops (complementary
  dropout of UniMatch V2).

  Args:
    seeds: int32 [batch, 2], one for each image.
    share: of the images, 0 to 1, on which it acts.
    views: of each image, 1 or 2.
  """

  def __init__(self, seeds: tf.Tensor, share: float, views: int):
    self._seeds: Sequence[tf.Tensor] = [
      tf.random.experimental.stateless_fold_in(seed, _SEED, 'philox')
      for seed in tf.unstack(seeds)
    ]
    self._share = share
    self._views = views

  def __call__(self, features: tf.Tensor, number: int) -> tf.Tensor:
    """Drops channels of features [views * batch, h, w, channels].

    Args:
      features: of one level of the network.
      number: of this level; each draws its own channels.
    """
    first = tf.stack(
      [self._factors(seed, features.shape[-1], number) for seed in self._seeds]
    )
    factors = tf.concat([first, 2.0 - first][: self._views], 0)
    factors = tf.cast(factors, features.dtype)
    return features * factors[:, tf.newaxis, tf.newaxis]

  def _factors(self, seed, channels, number):
    """0 or 2 for each channel; all 1 for the images that are left alone."""
    is_left = (_bits([], seed) & 0xFFFF) >= int(self._share * 0x10000)
    own = tf.random.experimental.stateless_fold_in(seed, 1 + number, 'philox')
    factors = 2.0 * tf.cast(_bits([channels], own) & 1, tf.float32)
    return tf.where(is_left, 1.0, factors)


def _bits(shape, seed):
  """Random int32, the same with XLA and without, unlike uniform floats."""
  return tf.random.stateless_uniform(
    shape, seed, minval=None, maxval=None, dtype=tf.int32, alg='philox'
  )
