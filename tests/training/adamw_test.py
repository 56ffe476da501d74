"""AdamW: a rate for each variable; only kernels decay."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from deeplab_contrast.tasks import softmax
from deeplab_contrast.training import adamw, trainer
from tests import tiny

STRATEGY = tf.distribute.get_strategy()


def by_hand(start, gradients, rates, factor, decay, betas=(0.9, 0.999)):
  """The algorithm in float64, with the epsilon of Keras."""
  value, mean, square = np.float64(start), 0.0, 0.0
  for i, (g, rate) in enumerate(zip(gradients, rates, strict=True), start=1):
    mean = betas[0] * mean + (1 - betas[0]) * g
    square = betas[1] * square + (1 - betas[1]) * g**2
    scale = np.sqrt(1 - betas[1] ** i) / (1 - betas[0] ** i)
    step = scale * mean / (np.sqrt(square) + 1e-8)
    value = value - rate * factor * (step + decay * value)
  return value


def variables():
  rng = np.random.default_rng(0)
  shapes = {'kernel': (3, 3, 2, 4), 'bias': (4,), 'gamma': (4,), 'far': (2, 4)}
  return [
    keras.Variable(rng.normal(size=shape).astype(np.float32), name=name)
    for name, shape in shapes.items()
  ]


def gradients_of(variables_, steps=3):
  rng = np.random.default_rng(1)
  return [
    [rng.normal(size=v.shape).astype(np.float32) for v in variables_]
    for _ in range(steps)
  ]


def test_it_is_the_algorithm_with_factors():
  given = variables()
  starts = [np.array(v) for v in given]
  schedule = keras.optimizers.schedules.PolynomialDecay(0.1, 4)
  optimizer = adamw.AdamW(schedule, weight_decay=0.5)
  optimizer.build(given)
  factors = [1.0, 2.0, 1.0, 10.0]
  assert adamw.gradient_factors(optimizer, given, factors) == [1.0] * 4
  all_gradients = gradients_of(given)
  for gradients in all_gradients:
    optimizer.apply([tf.constant(g) for g in gradients])
  rates = [float(schedule(i)) for i in range(3)]
  for i, (variable, start) in enumerate(zip(given, starts, strict=True)):
    decay = 0.5 if variable.name in ('kernel', 'far') else 0.0
    own = [g[i] for g in all_gradients]
    expected = by_hand(start, own, rates, factors[i], decay)
    np.testing.assert_allclose(variable, expected, rtol=1e-4, atol=1e-5)


def test_other_optimizers_keep_factors_of_gradients():
  sgd = keras.optimizers.SGD(0.1)
  assert adamw.gradient_factors(sgd, variables(), [1, 2, 3, 4]) == [1, 2, 3, 4]


def test_settings_that_would_do_nothing_are_refused():
  ours, theirs = adamw.AdamW(0.1), keras.optimizers.AdamW(0.1)
  with pytest.raises(ValueError, match='weight_decay is 4e-05, .* set it to'):
    trainer.Trainer(ours, 2)
  with pytest.raises(ValueError, match='has no effect with AdamW'):
    trainer.Trainer(theirs, 2, last_layer_gradient_multiplier=10.0)
  trainer.Trainer(theirs, 2)


def train(folder, steps):
  """Trains a tiny network; returns (it, weights before, weights after)."""
  network = tiny.network(softmax.Softmax(), dropout_rate=0.0)
  before = tiny.weights(network)
  result = trainer.Trainer(
    adamw.AdamW(1e-3, weight_decay=0.0),
    steps,
    2,
    0.0,
    last_layer_gradient_multiplier=10.0,
    save_every=1,
    log_every=1,
  )
  stream = tiny.make_stream()
  result.fit(network, softmax.Softmax(), stream, STRATEGY, str(folder))
  return network, before, tiny.weights(network)


def test_last_layers_learn_faster_and_runs_resume(tmp_path):
  network, before, after = train(tmp_path / 'whole', 1)
  *_, end = train(tmp_path / 'whole', 2)  # Resumes.
  *_, whole = train(tmp_path / 'once', 2)
  for path, value in end.items():
    np.testing.assert_array_equal(value, whole[path], err_msg=path)
  # The first update of Adam is the rate, unless gradients are tiny.
  whole_rate = []
  for variable in network.trainable_variables:
    path = variable.path
    rate = 1e-3 if '/resnet_v1_18/' in path else 1e-2
    rate *= 2 if path.endswith('bias') else 1
    moved = np.abs(after[path] - before[path]).max()
    assert moved < 1.01 * rate, path
    whole_rate.append(moved > 0.99 * rate)
  assert np.mean(whole_rate) > 0.9


@pytest.mark.slow
def test_two_replicas_equal_one(two_replicas):
  two_replicas(
    """
    import numpy as np
    import tensorflow as tf
    from deeplab_contrast.training import adamw
    from tests.training import adamw_test as this

    def make():
      given = this.variables()
      optimizer = adamw.AdamW(0.1, weight_decay=0.5)
      optimizer.build(given)
      optimizer.set_factors(given, [1.0, 2.0, 1.0, 10.0])
      return given, optimizer

    with two.scope():
      shared, of_shared = make()
    alone, of_alone = make()

    @tf.function
    def step(gradients):
      two.run(lambda: of_shared.apply([g / 2 for g in gradients]))

    for gradients in this.gradients_of(alone):
      gradients = [tf.constant(g) for g in gradients]
      of_alone.apply(gradients)
      step(gradients)
    for one, two in zip(alone, shared, strict=True):
      for replica in two.value.values:
        np.testing.assert_allclose(replica, one, rtol=1e-5, atol=1e-6)
    """
  )
