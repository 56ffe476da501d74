"""Learning rates of the original (get_model_learning_rate, train_utils.py)."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

_POLICIES = ('poly', 'step', 'cosine', 'multi_steps')
_BURN_INS = ('none', 'linear')


@dataclasses.dataclass(eq=False)
class ModelLearningRate(keras.optimizers.schedules.LearningRateSchedule):
  """A policy after a slow start, with the original's names and defaults.

  During the first `slow_start_step` steps the rate is
  `slow_start_learning_rate`, or climbs from there to the base; the policy
  counts its steps from the end of the slow start.

  Attributes:
    training_number_of_steps: number of steps of the whole training.
    learning_policy: 'poly': base * (1 - step / decay_steps)^power; 'step': a
      factor every `learning_rate_decay_step` steps; 'cosine': half a wave
      down to 0;
      'multi_steps': constant between boundaries.
    base_learning_rate: at the end of the slow start.
    learning_rate_decay_step: for 'step', how often.
    learning_rate_decay_factor: for 'step', the factor.
    learning_power: for 'poly'.
    slow_start_step: how long the slow start is.
    slow_start_learning_rate: the rate at its start, or all through it.
    slow_start_burnin_type: 'none', or 'linear' to climb to the base.
    decay_steps: for 'poly'; 0 means all steps after the slow start.
    end_learning_rate: for 'poly'.
    boundaries: for 'multi_steps', ascending steps.
    boundary_learning_rates: for 'multi_steps', one more than boundaries.

  Raises:
    ValueError: on an unknown policy or burn-in, or missing boundaries.
  """

  training_number_of_steps: int
  learning_policy: str = 'poly'
  base_learning_rate: float = 1e-4
  learning_rate_decay_step: int = 2000
  learning_rate_decay_factor: float = 0.1
  learning_power: float = 0.9
  slow_start_step: int = 0
  slow_start_learning_rate: float = 1e-4
  slow_start_burnin_type: str = 'none'
  decay_steps: float = 0.0
  end_learning_rate: float = 0.0
  boundaries: Sequence[int] | None = None
  boundary_learning_rates: Sequence[float] | None = None

  def __post_init__(self):
    """Checks the arguments and makes the policy."""
    if self.learning_policy not in _POLICIES:
      raise ValueError(
        f'learning_policy is {self.learning_policy!r}; known: {_POLICIES}.'
      )
    if self.slow_start_burnin_type not in _BURN_INS:
      raise ValueError(
        f'slow_start_burnin_type is {self.slow_start_burnin_type!r}; known: '
        f'{_BURN_INS}.'
      )
    rest = self.training_number_of_steps - self.slow_start_step
    if rest < 1:
      raise ValueError(
        f'slow_start_step {self.slow_start_step} leaves nothing of the '
        f'{self.training_number_of_steps} steps.'
      )
    self._policy = self._make_policy(rest)

  def _make_policy(self, steps):
    schedules, base = keras.optimizers.schedules, self.base_learning_rate
    if self.learning_policy == 'poly':
      return schedules.PolynomialDecay(
        base,
        self.decay_steps or steps,
        self.end_learning_rate,
        self.learning_power,
      )
    if self.learning_policy == 'step':
      return schedules.ExponentialDecay(
        base,
        self.learning_rate_decay_step,
        self.learning_rate_decay_factor,
        staircase=True,
      )
    if self.learning_policy == 'cosine':
      return schedules.CosineDecay(base, steps)
    return _piecewise(self.boundaries, self.boundary_learning_rates)

  def __call__(self, step: int | tf.Tensor) -> tf.Tensor:
    """The rate of a step: float32 [] for an int or an int tensor []."""
    step = tf.cast(step, tf.float32)
    rate = self._policy(tf.maximum(step - self.slow_start_step, 0.0))
    if not self.slow_start_step:
      return rate
    start = self.slow_start_learning_rate
    if self.slow_start_burnin_type == 'linear':
      climb = self.base_learning_rate - start
      start += climb * step / self.slow_start_step
    return tf.where(step < self.slow_start_step, start, rate)

  def get_config(self) -> dict[str, Any]:
    """The arguments of the constructor."""
    return dataclasses.asdict(self)


def _piecewise(boundaries, values):
  if not boundaries or len(values or ()) != len(boundaries) + 1:
    raise ValueError(
      f"learning_policy 'multi_steps' needs boundaries (now {boundaries}) and "
      f'one more of boundary_learning_rates (now {values}).'
    )
  return keras.optimizers.schedules.PiecewiseConstantDecay(
    list(boundaries), list(values)
  )
