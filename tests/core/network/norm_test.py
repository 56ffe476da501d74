import keras
import numpy as np
import pytest
import tensorflow as tf

from deeplab_contrast.core.network import norm


def reference(x, momentum, epsilon):
  """The original's batch norm, in float64."""
  x = x.astype(np.float64)
  n = x[..., 0].size
  mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
  outputs = (x - mean) / np.sqrt(variance + epsilon)
  unbiased = variance * n / (n - 1)
  return outputs, (1 - momentum) * mean, momentum + (1 - momentum) * unbiased


@pytest.mark.parametrize('dtype', ['float32', 'bfloat16'])
def test_matches_reference(dtype):
  x = np.random.default_rng(0).normal(3, 2, (2, 3, 5, 4)).astype(np.float32)
  x = tf.cast(tf.cast(x, dtype), 'float32').numpy()
  keras.mixed_precision.set_global_policy(
    'mixed_bfloat16' if dtype == 'bfloat16' else dtype
  )
  layer = norm.BatchNorm(momentum=0.9, epsilon=1e-3)
  keras.mixed_precision.set_global_policy('float32')
  y = layer(tf.cast(x, dtype), training=True)
  outputs, mean, variance = reference(x, 0.9, 1e-3)
  assert y.dtype == dtype
  tolerance = 1e-5 if dtype == 'float32' else 5e-2
  np.testing.assert_allclose(tf.cast(y, 'float32'), outputs, atol=tolerance)
  np.testing.assert_allclose(layer.moving_mean, mean, rtol=1e-5)
  np.testing.assert_allclose(layer.moving_variance, variance, rtol=1e-5)
  assert layer.moving_variance.dtype == 'float32'


def test_inference_uses_moving_statistics():
  layer = norm.BatchNorm()
  x = tf.fill([1, 2, 2, 3], 7.0)
  np.testing.assert_allclose(layer(x), x / np.sqrt(1 + 1e-5), rtol=1e-6)


@pytest.mark.parametrize('momentum', [-0.1, 2])
def test_a_momentum_outside_0_to_1_is_refused(momentum):
  with pytest.raises(ValueError, match=f'momentum is {momentum}'):
    norm.BatchNorm(momentum)


def test_frozen_layer_ignores_training():
  layer = norm.BatchNorm()
  x = tf.random.stateless_normal([2, 3, 3, 2], seed=[1, 2])
  layer(x)
  layer.trainable = False
  np.testing.assert_array_equal(layer(x, training=True), layer(x))
  np.testing.assert_array_equal(layer.moving_mean, [0, 0])


def test_two_replicas_equal_one(two_replicas):
  """Outputs, gradients and moving statistics, for unequal halves."""
  two_replicas(
    """
    import numpy as np, tensorflow as tf
    from deeplab_contrast.core.network import norm
    x = np.random.default_rng(0).normal(5, 2, (4, 3, 3, 2)).astype('float32')
    x[2:] *= 3
    weights = np.random.default_rng(1).normal(size=x.shape).astype('float32')

    def gradient_of(layer, x, weights):
      x = tf.convert_to_tensor(x)
      with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, training=True)
        loss = tf.reduce_sum(y * weights)
      return y, tape.gradient(loss, x)

    one = norm.BatchNorm(0.9)
    one.build(x.shape)
    expected = gradient_of(one, x, weights)
    with two.scope():
      shared = norm.BatchNorm(0.9)
      shared.build(x.shape)
    halves = [two.experimental_distribute_values_from_function(
        lambda c, v=v: tf.constant(np.split(v, 2)[c.replica_id_in_sync_group]))
        for v in (x, weights)]
    run = tf.function(lambda a, b: two.run(
        lambda a, b: gradient_of(shared, a, b), (a, b)))
    results = run(*halves)
    for result, value in zip(results, expected):
      joined = np.concatenate(
          [v.numpy() for v in two.experimental_local_results(result)])
      np.testing.assert_allclose(joined, value, atol=2e-5)
    for a, b in ((one.moving_mean, shared.moving_mean),
                 (one.moving_variance, shared.moving_variance)):
      for copy in two.experimental_local_results(b.value):
        np.testing.assert_allclose(copy.numpy(), a.numpy(), rtol=1e-5)
    """
  )
