"""Random numbers that are the same with XLA and without."""

from collections.abc import Sequence

import tensorflow as tf


def uniform(shape: Sequence[int] | tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
  """Draws uniformly from [0, 1), the same numbers with XLA and without.

  TensorFlow's own uniform floats use different bits of the draw under XLA.
  These equal them without XLA.

  Args:
    shape: ints, or an int tensor.
    seed: int32 [2].

  Returns:
    float32 of that shape.
  """
  bits = tf.random.stateless_uniform(
    shape, seed, minval=None, maxval=None, dtype=tf.int32, alg='philox'
  )
  return tf.cast(bits & 0x7FFFFF, tf.float32) * 2.0**-23
