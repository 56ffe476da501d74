"""AdamW whose learning rate has a factor for each variable.

Adam divides a gradient by its own size, so that a factor on the gradient, the
original's last_layer_gradient_multiplier, does nothing. Here it is a factor on
the learning rate, which is also that of the decay.
"""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf


class AdamW(keras.optimizers.AdamW):
  """AdamW (Loshchilov and Hutter, ICLR 2019) for `Trainer`.

  Each step subtracts rate * weight_decay * kernel from the kernels of
  convolutions; biases, and scale and offset of norms, do not decay.

  Args:
    learning_rate: a number or a schedule.
    weight_decay: a share of the learning rate, not a part of the loss.
    beta_1: of the mean gradient.
    beta_2: of the mean squared gradient.
    epsilon: added to the root of the latter.
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
    """Nothing: Keras' own decay knows one rate only; see `update_step`."""


def gradient_factors(
  optimizer: keras.optimizers.Optimizer,
  variables: Sequence[keras.Variable],
  factors: Sequence[float],
) -> list[float]:
  """The factors that remain for gradients; an `AdamW` takes them as rates."""
  if not isinstance(optimizer, AdamW):
    return list(factors)
  optimizer.set_factors(variables, factors)
  return [1.0] * len(factors)


def check(
  optimizer: keras.optimizers.Optimizer, weight_decay: float, multiplier: float
) -> None:
  """Refuses settings of `Trainer` that do nothing or harm with this optimizer.

  Raises:
    ValueError: weight decay in the loss with `AdamW`, or faster last layers
      with an optimizer that divides gradients by their size.
  """
  if isinstance(optimizer, AdamW):
    if weight_decay:
      raise ValueError(
        f'Trainer.weight_decay is {weight_decay}, which Adam would divide by '
        'the size of gradients; set it to 0.0, and AdamW.weight_decay instead.'
      )
    return
  kinds: Any = keras.optimizers
  divide = (kinds.Adam, kinds.Nadam, kinds.Adamax, kinds.Lion, kinds.RMSprop)
  if multiplier != 1.0 and isinstance(optimizer, divide):
    raise ValueError(
      f'last_layer_gradient_multiplier is {multiplier}, which does nothing '
      f'with {type(optimizer).__name__}: it divides gradients by their size. '
      'Use deeplab_contrast.training.adamw.AdamW.'
    )
