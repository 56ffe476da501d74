import keras
import numpy as np
import pytest
import tensorflow as tf

from deeplab_contrast.training import fused


def trained(optimizer):
  """A weight after three steps, and the momentum."""
  weight = keras.Variable([1.0, -2.0, 3.0])
  optimizer.build([weight])
  step = tf.function(lambda: optimizer.apply([tf.sin(weight.value)]))
  for _ in range(3):
    step()
  assert int(optimizer.iterations) == 3
  return np.array(weight), np.array(optimizer.momentums[0])


@pytest.mark.parametrize('nesterov', [False, True])
def test_the_update_is_that_of_keras(nesterov):
  schedule = keras.optimizers.schedules.CosineDecay(0.1, 5)
  ours, theirs = (
    keras.optimizers.SGD(schedule, 0.9, nesterov, clipvalue=0.9)
    for _ in range(2)
  )
  fused.fuse(ours)
  for a, b in zip(trained(ours), trained(theirs), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-6)


def test_other_optimizers_stay_as_they_are():
  class Mine(keras.optimizers.SGD):
    """May have its own update."""

  for optimizer in (
    Mine(0.1, 0.9),
    keras.optimizers.SGD(0.1),
    keras.optimizers.AdamW(0.1),
  ):
    fused.fuse(optimizer)
    assert 'update_step' not in vars(optimizer)
