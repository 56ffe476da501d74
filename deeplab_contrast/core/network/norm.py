"""Batch normalization: fused on one replica, synchronized over several.

Keras' own layer is unfused on TensorFlow. A whole DeepLabV3+ training step is
1.3x (float32) to 1.7x (bfloat16) faster with the fused operation.
"""

import contextlib
import threading
from collections.abc import Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf

# Strategies trace their replicas in threads.
_kept = threading.local()


@contextlib.contextmanager
def moving_statistics_kept(is_on: bool = True) -> Iterator[None]:
  """Batch norm called inside leaves its moving statistics as they are.

  In training it still normalizes with the statistics of the batch.

  Args:
    is_on: False changes nothing.
  """
  before = getattr(_kept, 'is_on', False)
  _kept.is_on = before or is_on
  try:
    yield
  finally:
    _kept.is_on = before


def _num_replicas():
  context = tf.distribute.get_replica_context()
  return 1 if context is None else context.num_replicas_in_sync


class BatchNorm(keras.layers.Layer):
  """Batch normalization as in the original DeepLab.

  It normalizes with the biased variance of the batch and updates the moving
  variance with the unbiased one (n / (n - 1)), as the fused operation of TF1
  does, also when the statistics are those of several replicas. Statistics,
  scale and offset stay float32 under mixed precision.

  With `is_frozen` the moving statistics are used in training too, while gamma
  and beta still learn: this is the original's `fine_tune_batch_norm=False`.
  `trainable = False` stops those as well.

  Args:
    momentum: the share of the old moving statistics kept at an update (the
      original's `batch_norm_decay`).
    epsilon: added to the variance.
    name: name of the layer; the original's scope name is `BatchNorm`.

  Raises:
    ValueError: when momentum is not in [0, 1].
  """

  def __init__(
    self,
    momentum: float = 0.9997,
    epsilon: float = 1e-5,
    name: str = 'BatchNorm',
  ):
    if not 0 <= momentum <= 1:
      raise ValueError(f'momentum is {momentum}; it must be from 0 to 1.')
    super().__init__(name=name)
    self.momentum = momentum
    self.epsilon = epsilon
    self.is_frozen = False
    self.is_folded = False

  def build(self, input_shape: Sequence[int | None]) -> None:
    """Creates gamma, beta and the moving statistics, each [channels]."""
    shape = (input_shape[-1],)

    def weight(name, initial, trainable):
      # Every replica computes the same moving statistics, so any one will do.
      return self.add_weight(
        name=name,
        shape=shape,
        initializer=initial,
        trainable=trainable,
        autocast=False,
        dtype='float32',
        aggregation='none' if trainable else 'only_first_replica',
      )

    self.gamma = weight('gamma', 'ones', True)
    self.beta = weight('beta', 'zeros', True)
    self.moving_mean = weight('moving_mean', 'zeros', False)
    self.moving_variance = weight('moving_variance', 'ones', False)

  def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
    """Normalizes [batch, height, width, channels], keeping shape and type."""
    inputs = tf.convert_to_tensor(inputs)
    if self.is_folded:
      return tf.nn.bias_add(inputs, tf.cast(self.beta.value, inputs.dtype))
    if not training or self.is_frozen or not self.trainable:
      return self._with_moving_statistics(inputs)
    if _num_replicas() > 1:
      outputs, mean, variance = self._synchronized(inputs)
    else:
      outputs, mean, variance = self._fused(inputs, is_training=True)
    if not getattr(_kept, 'is_on', False):
      self._move(self.moving_mean, mean)
      self._move(self.moving_variance, variance)
    return outputs

  def fold(self) -> np.ndarray:
    """Turns into a plain offset, stored in beta; see `folding.folded`.

    Returns:
      float64 [channels], the factor that the inputs now need.
    """
    mean, variance, gamma, beta = (
      np.asarray(variable, np.float64)
      for variable in (
        self.moving_mean,
        self.moving_variance,
        self.gamma,
        self.beta,
      )
    )
    scale = gamma / np.sqrt(variance + self.epsilon)
    self.beta.assign((beta - mean * scale).astype(np.float32))
    self.is_folded = True
    return scale

  def _with_moving_statistics(self, inputs):
    return self._fused(
      inputs,
      is_training=False,
      mean=self.moving_mean.value,
      variance=self.moving_variance.value,
    )[0]

  def _fused(self, inputs, is_training, mean=(), variance=()):
    empty = tf.zeros([0], tf.float32)
    result = tf.raw_ops.FusedBatchNormV3(
      x=inputs,
      scale=tf.convert_to_tensor(self.gamma),
      offset=tf.convert_to_tensor(self.beta),
      mean=empty if is_training else tf.convert_to_tensor(mean),
      variance=empty if is_training else tf.convert_to_tensor(variance),
      epsilon=self.epsilon,
      is_training=is_training,
    )
    return result.y, result.batch_mean, result.batch_variance

  def _synchronized(self, inputs):
    """Statistics over the batches of all replicas, in float32."""
    context = tf.distribute.get_replica_context()
    x = tf.cast(inputs, tf.float32)
    local_count = tf.cast(tf.size(x) / tf.shape(x)[-1], tf.float32)
    total, count = context.all_reduce(
      tf.distribute.ReduceOp.SUM, [tf.reduce_sum(x, [0, 1, 2]), local_count]
    )
    mean = total / count
    # Two passes, not E[x^2] - E[x]^2, which cancels when the mean is large.
    squares = context.all_reduce(
      tf.distribute.ReduceOp.SUM,
      tf.reduce_sum(tf.math.squared_difference(x, mean), [0, 1, 2]),
    )
    variance = squares / count
    outputs = tf.nn.batch_normalization(
      x,
      mean,
      variance,
      tf.convert_to_tensor(self.beta),
      tf.convert_to_tensor(self.gamma),
      self.epsilon,
    )
    unbiased = squares / tf.maximum(count - 1.0, 1.0)
    return tf.cast(outputs, inputs.dtype), mean, unbiased

  def _move(self, moving, batch_value):
    batch_value = tf.stop_gradient(batch_value)
    moving.assign(
      moving.value * self.momentum + batch_value * (1.0 - self.momentum)
    )
