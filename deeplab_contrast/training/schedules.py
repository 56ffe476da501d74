"""Learning rates of the original (get_model_learning_rate, train_utils.py)."""

import keras
import tensorflow as tf

_POLICIES = ('poly', 'step', 'cosine', 'multi_steps')
_BURN_INS = ('none', 'linear')


class ModelLearningRate(keras.optimizers.schedules.LearningRateSchedule):
  """A policy, after a slow start, with the original's names and defaults.

  During the first `slow_start_step` steps the rate is
  `slow_start_learning_rate`, or climbs from there to the base; the policy
  counts its steps from the end of the slow start.

  Args:
    training_number_of_steps: of the whole training.
    learning_policy: 'poly': base * (1 - step / decay_steps)^power; 'step': a
      factor at every so many steps; 'cosine': half a wave down to 0;
      'multi_steps': constant between boundaries.
    base_learning_rate: at the end of the slow start.
    learning_rate_decay_step: of 'step', how often.
    learning_rate_decay_factor: of 'step', the factor.
    learning_power: of 'poly'.
    slow_start_step: how long the slow start is.
    slow_start_learning_rate: the rate meanwhile.
    slow_start_burnin_type: 'none', or 'linear' to climb to the base.
    decay_steps: of 'poly'; 0 means all steps after the slow start.
    end_learning_rate: of 'poly'.
    boundaries: of 'multi_steps', ascending steps.
    boundary_learning_rates: of 'multi_steps', one more than boundaries.

  Raises:
    ValueError: on an unknown policy or burn-in, or missing boundaries.
  """

  def __init__(
    self,
    training_number_of_steps,
    learning_policy='poly',
    base_learning_rate=1e-4,
    learning_rate_decay_step=2000,
    learning_rate_decay_factor=0.1,
    learning_power=0.9,
    slow_start_step=0,
    slow_start_learning_rate=1e-4,
    slow_start_burnin_type='none',
    decay_steps=0.0,
    end_learning_rate=0.0,
    boundaries=None,
    boundary_learning_rates=None,
  ):
    self._config = {k: v for k, v in locals().items() if k[0] != '_'}
    self._config.pop('self')
    if learning_policy not in _POLICIES:
      raise ValueError(
        f'learning_policy is {learning_policy!r}; known: {_POLICIES}.'
      )
    if slow_start_burnin_type not in _BURN_INS:
      raise ValueError(
        f'slow_start_burnin_type is {slow_start_burnin_type!r}; known: '
        f'{_BURN_INS}.'
      )
    self._slow_start = slow_start_step
    rest = training_number_of_steps - slow_start_step
    if rest < 1:
      raise ValueError(
        f'slow_start_step {slow_start_step} leaves nothing of the '
        f'{training_number_of_steps} steps.'
      )
    schedules = keras.optimizers.schedules
    if learning_policy == 'poly':
      self._policy = schedules.PolynomialDecay(
        base_learning_rate,
        decay_steps or rest,
        end_learning_rate,
        learning_power,
      )
    elif learning_policy == 'step':
      self._policy = schedules.ExponentialDecay(
        base_learning_rate,
        learning_rate_decay_step,
        learning_rate_decay_factor,
        staircase=True,
      )
    elif learning_policy == 'cosine':
      self._policy = schedules.CosineDecay(base_learning_rate, rest)
    else:
      self._policy = _piecewise(boundaries, boundary_learning_rates)

  def __call__(self, step):
    """The rate of a step: float32 [] for an int or an int tensor []."""
    step = tf.cast(step, tf.float32)
    rate = self._policy(tf.maximum(step - self._slow_start, 0.0))
    if not self._slow_start:
      return rate
    start = self._config['slow_start_learning_rate']
    if self._config['slow_start_burnin_type'] == 'linear':
      climb = self._config['base_learning_rate'] - start
      start += climb * step / self._slow_start
    return tf.where(step < self._slow_start, start, rate)

  def get_config(self):
    """The arguments of the constructor."""
    return dict(self._config)


def _piecewise(boundaries, values):
  if not boundaries or len(values or ()) != len(boundaries) + 1:
    raise ValueError(
      f"learning_policy 'multi_steps' needs boundaries (now {boundaries}) and "
      f'one more of boundary_learning_rates (now {values}).'
    )
  return keras.optimizers.schedules.PiecewiseConstantDecay(
    list(boundaries), list(values)
  )
