import os
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf

from deeplab_contrast import common
from deeplab_contrast.core import resize
from deeplab_contrast.core.losses import pixel_contrast
from deeplab_contrast.tasks import contrastive, softmax
from deeplab_contrast.training import (
  best,
  checkpoints,
  contents,
  trainer,
)
from deeplab_contrast.training import weights as weights_lib
from deeplab_contrast.utils import errors, metrics, run_files
from tests import tiny

STRATEGY = tf.distribute.get_strategy()


def fit(model_dir, steps=4, task=None, network=None, stream=None, **kwargs):
  task = task or softmax.Softmax()
  network = network or tiny.network(task)
  evaluate = kwargs.pop('evaluate', None)
  stream = stream or tiny.make_stream(isinstance(task, contrastive.Contrastive))
  result = tiny.make_trainer(steps, **kwargs).fit(
    network,
    task,
    stream,
    STRATEGY,
    str(model_dir),
    evaluate,
    lambda positions: [f'image{p}' for p in positions],
  )
  return network, result


@pytest.mark.parametrize('task', [softmax.Softmax(), contrastive.Contrastive()])
def test_loss_falls(tmp_path, task):
  fit(
    tmp_path,
    steps=30,
    task=task,
    learning_rate=0.1,
    save_every=100,
    stream=tiny.make_stream(
      isinstance(task, contrastive.Contrastive), period=4
    ),
  )
  losses = [line['loss'] for line in metrics.read(tmp_path)]
  assert len(losses) == 30
  assert np.mean(losses[-3:]) < 0.9 * np.mean(losses[:3])


def test_a_broken_run_ends_bit_identical(tmp_path):
  whole, _ = fit(tmp_path / 'whole', steps=5)
  with pytest.raises(tf.errors.OpError, match='power went off'):
    fit(tmp_path / 'broken', steps=5, stream=tiny.make_stream(fail_at=6))
  assert not (tmp_path / 'broken' / 'DONE').exists()
  resumed, _ = fit(
    tmp_path / 'broken',
    steps=5,
    network=tiny.network(softmax.Softmax(), seed=99),
  )
  expected = tiny.weights(whole)
  for path, value in tiny.weights(resumed).items():
    np.testing.assert_array_equal(value, expected[path], err_msg=path)
  clocks = ('images_per_second', 'data_wait')
  first, second = (
    [
      {k: v for k, v in line.items() if k not in clocks}
      for line in metrics.read(tmp_path / name)
    ]
    for name in ('whole', 'broken')
  )
  assert first == second


def test_one_step_by_hand(tmp_path):
  """SGD with momentum and weight decay, against autodiff and NumPy."""
  task = softmax.Softmax()
  network = tiny.network(task, dropout_rate=0.0)
  examples = [tiny.example(i) for i in range(2)]
  batch = {k: tf.stack([e[k] for e in examples]) for k in examples[0]}
  before = tiny.weights(network)
  with tf.GradientTape() as tape:
    logits = network(batch[common.IMAGE], training=True)
    labels = batch[common.LABEL]
    logits = resize.bilinear(logits, labels.shape[1:3])
    valid = labels != common.IGNORE_LABEL
    loss = tf.reduce_mean(
      tf.nn.sparse_softmax_cross_entropy_with_logits(
        labels[valid], logits[valid]
      )
    )
    loss += (
      0.5
      * 0.01
      * sum(tf.reduce_sum(k.value**2) for k in network.decayed_kernels())
    )
  variables = network.trainable_variables
  gradients = tape.gradient(loss, [v.value for v in variables])
  again = tiny.network(task, dropout_rate=0.0)
  fit(tmp_path, steps=1, network=again, weight_decay=0.01)
  for variable, gradient in zip(variables, gradients, strict=True):
    rate = 0.1 if variable.name == 'bias' else 0.05
    expected = before[variable.path] - rate * gradient.numpy()
    actual = tiny.weights(again)[variable.path]
    np.testing.assert_allclose(actual, expected, atol=1e-6, rtol=1e-4)
  logged = metrics.read(tmp_path)[0]
  assert logged['loss'] == pytest.approx(float(loss), rel=1e-5)
  assert logged['gradient_norm'] == pytest.approx(
    float(tf.linalg.global_norm(gradients)), rel=1e-4
  )


@pytest.mark.slow
def test_last_layers_learn_faster(tmp_path):
  """Ten times, and their biases twice that: the update of the first step."""
  updates = []
  for i, multiplier in enumerate((1.0, 10.0)):
    network = tiny.network(softmax.Softmax(), dropout_rate=0.0)
    before = tiny.weights(network)
    fit(
      tmp_path / str(i),
      steps=1,
      network=network,
      weight_decay=0.0,
      last_layer_gradient_multiplier=multiplier,
      last_layers_contain_logits_only=True,
    )
    after = tiny.weights(network)
    updates.append({k: after[k] - before[k] for k in before})
  trained = {v.path for v in network.trainable_variables}
  for path, update in updates[0].items():
    factor = 10 if path in trained and '/logits/' in path else 1
    np.testing.assert_allclose(
      updates[1][path], factor * update, rtol=1e-3, atol=1e-7, err_msg=path
    )


@pytest.mark.slow
def test_accumulated_gradients_are_those_of_the_whole_batch(tmp_path):
  """Two steps of two images, accumulated, are one step of four."""
  ends = []
  for size, accumulate in ((4, None), (2, 2)):
    # Frozen: statistics of a batch would depend on its size.
    network = tiny.network(
      softmax.Softmax(), dropout_rate=0.0, fine_tune_batch_norm=False
    )
    optimizer = keras.optimizers.SGD(
      0.1, momentum=0.9, gradient_accumulation_steps=accumulate
    )
    steps = 4 // size
    result = trainer.Trainer(optimizer, steps, size, log_every=1)
    result.fit(
      network,
      _MeanOverImages(),
      tiny.make_stream(),
      STRATEGY,
      str(tmp_path / str(size)),
    )
    ends.append(tiny.weights(network))
  for path, value in ends[0].items():
    np.testing.assert_allclose(ends[1][path], value, atol=1e-6, err_msg=path)


class _MeanOverImages(softmax.Softmax):
  """Counts images, the same number in every batch, rather than pixels."""

  def losses(self, model, batch, training, step):
    total, _ = super().losses(model, batch, training, step)['softmax']
    count = tf.cast(tf.shape(batch[common.LABEL])[0], tf.float32)
    return {'softmax': common.Weighted(total / 1000.0, count)}


def test_averaged_weights_are_evaluated_saved_and_resumed(tmp_path):
  judged, model_dir = [], str(tmp_path)

  def run(steps, network):
    optimizer = keras.optimizers.SGD(0.1)
    settings = {'save_every': 1, 'log_every': 1, 'eval_first': True}
    trainer.Trainer(optimizer, steps, 2, average_decay=0.6, **settings).fit(
      network,
      softmax.Softmax(),
      tiny.make_stream(),
      STRATEGY,
      model_dir,
      lambda _: judged.append(tiny.weights(network)) or {},
    )
    return tiny.weights(network)

  fresh = tiny.weights(tiny.network(softmax.Softmax(), seed=1))
  weights = [run(n, tiny.network(softmax.Softmax(), seed=n)) for n in (1, 2, 3)]
  # Before the first step they are the initial weights.
  for name, value in judged.pop(0).items():
    np.testing.assert_array_equal(value, fresh[name], err_msg=name)
  ends = 'logits/semantic/kernel', 'BatchNorm/moving_mean'
  for path in (next(p for p in fresh if p.endswith(end)) for end in ends):
    average = 0.0
    for trained, seen, decay in zip(
      weights, judged, (0, 0.5, 0.6), strict=True
    ):
      average = decay * average + (1 - decay) * trained[path]
      np.testing.assert_allclose(seen[path], average, rtol=1e-5, atol=1e-7)
    assert not np.allclose(trained[path], average)
  restored = tiny.network(softmax.Softmax(), seed=9)
  started = tiny.network(softmax.Softmax(), seed=8)
  checkpoints.restore_model(model_dir, restored)
  checkpoints.WarmStart(model_dir, ('trunk', 'head'))(started)
  _, read, _ = weights_lib.read(model_dir, restored)
  for name, value in judged[-1].items():
    for found in (tiny.weights(restored), tiny.weights(started)):
      np.testing.assert_array_equal(found[name], value, err_msg=name)
    np.testing.assert_array_equal(read[contents.name_of(name)], value)
  checkpoints.restore_model(model_dir, restored, averaged=False)
  for name, value in weights[-1].items():
    np.testing.assert_array_equal(tiny.weights(restored)[name], value, name)


def test_not_finite_stops_at_the_step_and_saves_nothing_after(tmp_path):
  with pytest.raises(errors.NumericalError, match='Step 3 .*image5') as e:
    fit(tmp_path, steps=6, stream=tiny.make_stream(spoil_at=5), log_every=6)
  assert e.value.exit_code == 4
  paths = checkpoints.list_checkpoints(str(tmp_path / 'checkpoints'))
  assert [checkpoints.step_of(p) for p in paths] == [2, 1]


def test_a_stop_signal_saves_and_the_run_resumes(tmp_path):
  def evaluate(poll):
    os.kill(os.getpid(), signal.SIGTERM)
    poll()

  with pytest.raises(errors.Preempted) as e:
    fit(tmp_path, steps=4, save_every=100, eval_every=2, evaluate=evaluate)
  assert e.value.exit_code == 143
  assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_learning_rate_and_scores_are_logged(tmp_path):
  scores = {'miou': 0.5, 'matrix': np.eye(2)}
  _, result = fit(tmp_path, steps=4, eval_every=2, evaluate=lambda _: scores)
  assert result == scores
  lines = metrics.read(tmp_path)
  rates = [x['learning_rate'] for x in lines if x['split'] == 'train']
  expected = [0.05 * (1 + np.cos(np.pi * k / 4)) / 2 for k in range(4)]
  np.testing.assert_allclose(rates, expected, rtol=1e-5)
  judged = [x for x in lines if x['split'] == 'val']
  assert judged == [{'step': s, 'split': 'val', 'miou': 0.5} for s in (2, 4)]


def test_scores_are_logged_under_the_name_of_their_split(tmp_path, capsys):
  task = softmax.Softmax()
  tiny.make_trainer(1, eval_first=True).fit(
    tiny.network(task),
    task,
    tiny.make_stream(),
    STRATEGY,
    str(tmp_path),
    lambda _: {'knn_miou': 0.5},
    split='embedding',
  )
  first, _, last = metrics.read(tmp_path)
  for step, line in ((0, first), (1, last)):
    assert line == {'step': step, 'split': 'embedding', 'knn_miou': 0.5}
  assert 'step 1  embedding  knn_miou 0.5000' in capsys.readouterr().out


def test_the_best_checkpoint_survives_restarts(tmp_path):
  mious, kept = iter([0.3, 0.6, 0.6, 0.5, 0.7]), []

  def evaluate(poll):
    found = best.read(str(tmp_path))
    kept.append(found and (found['step'], found['score']))
    return {'miou': next(mious), 'judged_by': {'split': 'val'}}

  # Saved at the end only, but for the best.
  settings = {'save_every': 9, 'keep': 1, 'evaluate': evaluate}
  with pytest.raises(tf.errors.OpError, match='power went off'):
    fit(
      tmp_path,
      steps=8,
      eval_every=2,
      stream=tiny.make_stream(fail_at=11),
      **settings,
    )
  fit(tmp_path, steps=8, eval_every=2, **settings)
  # 2 and 4; from 4 on again: 4, 6 and 8.
  assert kept == [None, (2, 0.3), (4, 0.6), (4, 0.6), (4, 0.6)]
  path = best.path_of(str(tmp_path))
  assert path == checkpoints.path_in(str(tmp_path / run_files.BEST), 8)
  network = tiny.network(softmax.Softmax(), seed=5)
  restored = checkpoints.restore_model(str(tmp_path), network, path=path)
  assert restored == (path, 8)


def test_batches_without_views_are_refused(tmp_path):
  with pytest.raises(errors.ConfigError, match='needs .*views.*TwoViews'):
    fit(tmp_path, task=contrastive.Contrastive(), stream=tiny.make_stream())


def test_bad_settings_are_named():
  with pytest.raises(ValueError, match="steps is 'many'"):
    trainer.Trainer(None, 'many')
  with pytest.raises(ValueError, match='batch_size is -1'):
    tiny.make_trainer(batch_size=-1)


@pytest.mark.slow
@pytest.mark.parametrize(
  # The small temperature of contrast amplifies rounding from step to step.
  ('task', 'later'),
  [('softmax', 1e-5), ('contrastive', 1e-3)],
)
def test_two_replicas_equal_one(two_replicas, tmp_path, task, later):
  code = f"""
    import sys
    import tensorflow as tf
    from deeplab_contrast.tasks import contrastive, softmax
    from tests import tiny
    task = {task}.{task.capitalize()}()
    for name, strategy in (('one', tf.distribute.get_strategy()), ('two', two)):
      with strategy.scope():
        network = tiny.network(task, dropout_rate=0.0)
        trainer = tiny.make_trainer(2, learning_rate=0.01, batch_size=4)
      trainer.fit(network, task, tiny.make_stream({task == 'contrastive'}),
                  strategy, f'{{sys.argv[1]}}/{{name}}')
    """
  two_replicas(code, tmp_path)
  one, two = (metrics.read(tmp_path / r) for r in ('one', 'two'))
  for a, b, tolerance in zip(one, two, (1e-5, later), strict=True):
    for name in (task, 'loss'):
      np.testing.assert_allclose(a[name], b[name], rtol=tolerance)
  norms = [metrics[0]['gradient_norm'] for metrics in (one, two)]
  np.testing.assert_allclose(*norms, rtol=1e-3)


@pytest.mark.slow
def test_step_compiles_under_xla(tmp_path):
  """Cross entropy is compiled in tests/tasks/consistency_test."""
  task = contrastive.Contrastive(pixel_contrast.CrossImage())
  numbers = []
  for jit in (False, True):
    network = tiny.network(task, dropout_rate=0.0)
    folder = tmp_path / str(jit)
    fit(folder, steps=2, task=task, network=network, jit_compile=jit)
    numbers.append([x['loss'] for x in metrics.read(folder)])
  first, second = zip(*numbers, strict=True)
  np.testing.assert_allclose(*first, rtol=1e-5)
  # After an update, of which compiled gradients differ in their last digits.
  np.testing.assert_allclose(*second, rtol=1e-3)


def test_one_view_trains_on_images(tmp_path):
  task = contrastive.Contrastive(views=1)
  fit(tmp_path, steps=2, task=task, stream=tiny.make_stream())
  assert len(metrics.read(tmp_path)) == 2


def test_another_number_of_views_is_refused():
  with pytest.raises(ValueError, match='views is 3'):
    contrastive.Contrastive(views=3)
