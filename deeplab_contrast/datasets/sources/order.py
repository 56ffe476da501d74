"""The order in which a run sees examples, a function of (seed, position)."""

import dataclasses
import itertools

import numpy as np
import tensorflow as tf

# Numbers of streams of random numbers. The seeds of examples are made from
# (seed, 0), see `pipeline`; source i of an interleaved order has 2 + i.
_BLOCKS = 1
_FIRST_SOURCE = 2


def shuffled(position: tf.Tensor, size: int, seed: int) -> tf.Tensor:
  """Epochs of all examples, each epoch a different permutation.

  Args:
    position: int64 [], of the run.
    size: how many examples there are.
    seed: seed of the run.

  Returns:
    int64 [], an index below `size`.
  """
  epoch, place = position // size, position % size
  return tf.random.experimental.index_shuffle(
    place, seed=tf.stack([tf.cast(seed, tf.int64), epoch]), max_index=size - 1
  )


@dataclasses.dataclass(frozen=True)
class Interleaved:
  """Several sources mixed in fixed proportions, each in its own epochs.

  The positions are divided into blocks of sum(proportions), and each block has
  exactly proportions[i] examples of source i, at random places. Each source has
  its own epochs: its n-th example, counted over all blocks, is in its epoch
  n // size, and each of its epochs is a permutation of all its examples.

  Attributes:
    sizes: the number of examples of each source; the indices of source i start
      at sum(sizes[:i]).
    proportions: examples of each source in a block.
  """

  sizes: tuple[int, ...]
  proportions: tuple[int, ...]

  def __call__(self, position: tf.Tensor, seed: int) -> tf.Tensor:
    """Maps a position, int64 [], and the run's seed to an index, int64 []."""
    length = sum(self.proportions)
    block, place = position // length, position % length
    sources = self._sources_of_block(block, seed)
    source = sources[place]
    before = tf.math.count_nonzero(sources[:place] == source)
    nth = block * tf.gather(_int64(self.proportions), source) + before
    size = tf.gather(_int64(self.sizes), source)
    stream = _FIRST_SOURCE + source
    inside = _permuted(nth % size, size, seed, stream, nth // size)
    starts = [0, *itertools.accumulate(self.sizes[:-1])]
    return tf.gather(_int64(starts), source) + inside

  def _sources_of_block(self, block, seed):
    """int64 [sum(proportions)], the source that each place belongs to."""
    inorder = np.repeat(np.arange(len(self.sizes)), self.proportions)
    places = _int64(np.arange(len(inorder)))
    drawn = _permuted(places, len(inorder), seed, _BLOCKS, block)
    return tf.gather(_int64(inorder), drawn)


def _permuted(places, size, seed, stream, number):
  """Where permutation `number` of a stream maps places below `size`."""
  start = tf.stack([tf.cast(seed, tf.int64), tf.cast(stream, tf.int64)])
  own = tf.random.experimental.stateless_fold_in(start, number)
  return tf.random.experimental.index_shuffle(
    places, seed=own, max_index=size - 1
  )


def _int64(values):
  return tf.constant(np.asarray(values, np.int64))
