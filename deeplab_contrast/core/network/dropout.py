"""Dropout whose mask is a pure function of a seed and a step counter."""

from collections.abc import Sequence

import keras
import tensorflow as tf


class Dropout(keras.layers.Layer):
  """Drops values; the seed state is an ordinary, saved variable.

  Keras' own layer keeps its random state where checkpoints of the model do not
  save it (keras#19796) and replicas cannot write it. Here the state is one
  counter: a resumed run draws the same masks as an uninterrupted one.

  Args:
    rate: the share of values set to zero in training.
    seed: different for each such layer of a network.
    whole_examples: drops whole examples of the batch rather than single values:
      stochastic depth, for a residual branch.
  """

  def __init__(
    self,
    rate: float,
    seed: int = 0,
    name: str = 'dropout',
    whole_examples: bool = False,
  ):
    super().__init__(name=name)
    self.rate = rate
    self.seed = seed
    self.whole_examples = whole_examples

  def build(self, input_shape: Sequence[int | None]) -> None:
    """Creates the counter of training calls, int64 []."""
    del input_shape
    self.calls = self.add_weight(
      name='calls',
      shape=(),
      dtype='int64',
      initializer='zeros',
      trainable=False,
      autocast=False,
      aggregation='only_first_replica',
    )

  def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
    """Returns `inputs`, in training with values dropped and rescaled."""
    if not training or self.rate == 0.0:
      return inputs
    context = tf.distribute.get_replica_context()
    replica = context.replica_id_in_sync_group if context else 0
    stream = tf.random.experimental.stateless_fold_in(
      [self.seed, tf.cast(self.calls.value, tf.int32)], replica
    )
    self.calls.assign(self.calls.value + 1)
    return tf.nn.experimental.stateless_dropout(
      inputs,
      self.rate,
      seed=stream,
      rng_alg='philox',
      noise_shape=self._noise_shape(inputs),
    )

  def _noise_shape(self, inputs):
    if not self.whole_examples:
      return None
    return [tf.shape(inputs)[0], *[1] * (len(inputs.shape) - 1)]
