import csv

import numpy as np
import pytest
import tensorflow as tf

from deeplab_contrast.training import schedules
from tests import original

_FLOATS = (
  'base_learning_rate',
  'learning_rate_decay_factor',
  'learning_power',
  'slow_start_learning_rate',
  'decay_steps',
  'end_learning_rate',
)
_INTS = (
  'learning_rate_decay_step',
  'training_number_of_steps',
  'slow_start_step',
)


@pytest.mark.skipif(
  not original.GOLDEN.is_dir(), reason='shared/golden is absent'
)
def test_golden_learning_rates():
  with open(original.GOLDEN / 'learning_rate.csv') as f:
    rows = list(csv.DictReader(f))
  assert len(rows) > 200
  for row in rows:
    rate = schedules.ModelLearningRate(
      learning_policy=row['policy'],
      slow_start_burnin_type=row['slow_start_burnin_type'],
      **{k: float(row[k]) for k in _FLOATS},
      **{k: int(float(row[k])) for k in _INTS},
    )(int(row['global_step']))
    # 1 - step / steps cancels in float32, so near the end of a decay the last
    # bit of the quotient decides; a step decay must be exact.
    is_step = row['policy'] == 'step'
    np.testing.assert_allclose(
      rate,
      float(row['learning_rate']),
      rtol=2e-6,
      atol=0 if is_step else 3e-7 * float(row['base_learning_rate']),
      err_msg=str(row),
    )


def test_poly_by_hand():
  rate = schedules.ModelLearningRate(100, base_learning_rate=0.5)
  steps = np.array([0, 1, 37, 99, 100, 200])
  expected = 0.5 * (1 - np.minimum(steps, 100) / 100) ** 0.9
  np.testing.assert_allclose([rate(s) for s in steps], expected, rtol=1e-5)


def test_slow_start_climbs_and_then_the_policy_begins():
  rate = schedules.ModelLearningRate(
    110,
    'cosine',
    0.5,
    slow_start_step=10,
    slow_start_learning_rate=0.1,
    slow_start_burnin_type='linear',
  )
  rates = [float(rate(s)) for s in (0, 5, 10, 60, 110)]
  np.testing.assert_allclose(rates, [0.1, 0.3, 0.5, 0.25, 0.0], atol=1e-6)
  constant = schedules.ModelLearningRate(110, slow_start_step=10)
  assert float(constant(9)) == pytest.approx(1e-4)


def test_steps_between_boundaries():
  rate = schedules.ModelLearningRate(
    9, 'multi_steps', boundaries=(2, 4), boundary_learning_rates=(3.0, 2.0, 1.0)
  )
  assert [float(rate(s)) for s in (0, 2, 3, 5)] == [3.0, 3.0, 2.0, 1.0]


def test_in_a_graph():
  rate = schedules.ModelLearningRate(100, slow_start_step=3)
  compiled = tf.function(rate, jit_compile=True)
  for step in (0, 5, 50):
    np.testing.assert_allclose(
      compiled(tf.constant(step, tf.int64)), rate(step), rtol=1e-5
    )


def test_rebuilt_from_its_config():
  rate = schedules.ModelLearningRate(100, 'step', learning_rate_decay_step=7)
  again = schedules.ModelLearningRate.from_config(rate.get_config())
  assert float(again(50)) == float(rate(50))


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    ({'learning_policy': 'polly'}, 'polly'),
    ({'slow_start_burnin_type': 'fast'}, 'fast'),
    ({'slow_start_step': 100}, 'leaves nothing'),
    ({'learning_policy': 'multi_steps'}, 'needs boundaries'),
  ],
)
def test_bad_arguments_are_named(arguments, message):
  with pytest.raises(ValueError, match=message):
    schedules.ModelLearningRate(100, **arguments)
