"""AdamW with a factor on the learning rate of each variable.

Adam divides gradients by their size, so a factor on a gradient, such as the
original's last_layer_gradient_multiplier, has no effect. Here it multiplies the
learning rate, and with it the weight decay.
"""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf


class AdamW(keras.optimizers.AdamW):
  """AdamW (Loshchilov and Hutter, ICLR 2019) for `Trainer`.

  Each step subtracts rate * weight_decay * kernel from each kernel; biases and
  the scale and offset of norms do not decay.

  Args:
    learning_rate: a number or a schedule.
    weight_decay: multiplied by the learning rate; not part of the loss.
    beta_1: decay of the mean gradient.
    beta_2: decay of the mean squared gradient.
    epsilon: added to the root of the mean squared gradient.
    gradient_accumulation_steps: as in all Keras optimizers.
  """

  def __init__(
    self,
    learning_rate: float | keras.optimizers.schedules.LearningRateSchedule,
    weight_decay: float = 0.01,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-8,
    gradient_accumulation_steps: int | None = None,
  ):
    super().__init__(
      learning_rate,
      weight_decay,
      beta_1,
      beta_2,
      epsilon,
      gradient_accumulation_steps=gradient_accumulation_steps,
    )
    self._factors: dict[str, float] = {}

  def set_factors(
    self, variables: Sequence[keras.Variable], factors: Sequence[float]
  ) -> None:
    """Sets the factor on the learning rate of each variable; 1 by default."""
    keys = map(self._var_key, variables)
    self._factors = dict(zip(keys, factors, strict=True))

  def update_step(
    self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor
  ) -> None:
    """Decays and updates one variable."""
    factor = self._factors.get(self._var_key(variable), 1.0)
    rate = tf.cast(learning_rate, variable.dtype) * factor
    if len(variable.shape) > 1:
      self.assign_sub(variable, variable * (rate * self.weight_decay))
    super().update_step(gradient, variable, rate)

  def _apply_weight_decay(self, variables):
    """Does nothing: Keras has one rate for all; see `update_step`."""


def gradient_factors(
  optimizer: keras.optimizers.Optimizer,
  variables: Sequence[keras.Variable],
  factors: Sequence[float],
) -> list[float]:
  """The factors for gradients; all 1 for `AdamW`, which scales rates."""
  if not isinstance(optimizer, AdamW):
    return list(factors)
  optimizer.set_factors(variables, factors)
  return [1.0] * len(factors)


def check(
  optimizer: keras.optimizers.Optimizer, weight_decay: float, multiplier: float
) -> None:
  """Refuses settings of `Trainer` that are wrong for this optimizer.

  Raises:
    ValueError: weight decay in the loss with `AdamW`, or faster last layers
      with an optimizer that divides gradients by their size.
  """
  if isinstance(optimizer, AdamW):
    if weight_decay:
      raise ValueError(
        f'Trainer.weight_decay is {weight_decay}, which AdamW would scale like '
        'a gradient; set it to 0.0 and use AdamW.weight_decay.'
      )
    return
  kinds: Any = keras.optimizers
  divide = (kinds.Adam, kinds.Nadam, kinds.Adamax, kinds.Lion, kinds.RMSprop)
  if multiplier != 1.0 and isinstance(optimizer, divide):
    raise ValueError(
      f'last_layer_gradient_multiplier is {multiplier}, which has no effect '
      f'with {type(optimizer).__name__}; use training.adamw.AdamW.'
    )
