import keras
import numpy as np
import pytest
import tensorflow as tf

from deeplab_contrast import common
from deeplab_contrast.core import resize
from deeplab_contrast.core.losses import pixel_contrast
from deeplab_contrast.tasks import consistency, softmax
from deeplab_contrast.training import checkpoints, trainer
from deeplab_contrast.utils import errors, metrics
from tests import tiny

STRATEGY = tf.distribute.get_strategy()
STEP = tf.constant(0, tf.int64)


# For networks of `opinionated`.
THRESHOLD = 0.4


def make_task(**settings):
  settings = {'threshold': THRESHOLD, **settings}
  return consistency.Consistency(softmax.Softmax(), **settings)


def batch_of(count, strong=1):
  """A batch of the tiny stream with as many unlabelled examples."""

  def stack(examples):
    return {k: tf.stack([e[k] for e in examples]) for k in examples[0]}

  unlabelled = [tiny.unlabelled_example(i, strong=strong) for i in range(count)]
  return {
    **stack([tiny.example(i) for i in range(count)]),
    common.UNLABELLED: stack(unlabelled),
  }


def opinionated(task, seed=0):
  """A network whose confidences differ, unlike those of an untrained one."""
  network = tiny.network(task, seed, dropout_rate=0.0)
  kernel = network.head.branches[0].kernel
  kernel.assign(kernel * 50.0)
  return network


def of_several_opinions(task):
  """One that also predicts several classes; too wild to be trained."""
  network = tiny.network(task, dropout_rate=0.0)
  head = network.head.branches[0]
  head.kernel.assign(head.kernel * 200.0)
  logits = network(batch_of(2)[common.IMAGE], training=False)
  head.bias.assign(-tf.reduce_mean(logits, axis=(0, 1, 2)))
  return network


def begun(task, strong=1):
  """The task's network, and losses with the network as its own teacher."""
  network = of_several_opinions(task)
  task.begin(network, lambda images: network(images, training=False))
  batch = batch_of(2, strong)
  return network, batch, task.losses(network, batch, True, STEP)


def upsampled(network, images, training=False):
  logits = resize.bilinear(network(images, training=training), (33, 33))
  return tf.nn.softmax(logits).numpy().astype(np.float64)


@pytest.mark.parametrize('strong', [1, 2])
def test_the_loss_by_hand(strong):
  """Pseudo-labels, CutMix and the mean over all valid pixels, in NumPy."""
  network, batch, found = begun(make_task(weight=0.7, ramp_steps=4), strong)
  given = {k: v.numpy() for k, v in batch[common.UNLABELLED].items()}
  valid, mix = given[common.VALID], given[common.MIX]
  taught = upsampled(network, given[common.VIEWS][:, 0])
  sure = valid & (taught.max(-1) >= THRESHOLD)
  assert 0.05 < sure.mean() < 0.95
  images, labels, counted = [], [], []
  for view in range(strong):
    for i in (0, 1):
      inside = mix[i, view]

      def cut(values, i=i, inside=inside):
        place = inside[..., None] if values[0].ndim == 3 else inside
        return np.where(place, values[1 - i], values[i])

      images.append(cut(given[common.VIEWS][:, 1 + view]))
      labels.append(cut(np.where(sure, taught.argmax(-1), 255)))
      counted.append(cut(valid))
  labels = np.array(labels)
  predicted = upsampled(network, np.array(images), training=True)
  chosen = np.take_along_axis(
    predicted, np.where(labels == 255, 0, labels)[..., None], -1
  )[..., 0]
  term = found['consistency']
  total = -np.log(chosen[labels != 255]).sum()
  assert float(term.total) == pytest.approx(total, rel=1e-4)
  assert float(term.count) == np.sum(counted)
  assert float(term.weight) == 0.0  # Step 0 of the ramp.
  hidden, guess = given[common.LABEL], taught.argmax(-1)
  known = sure & (hidden != 255)
  for name, of, among in (
    ('confident', sure, valid),
    ('teacher_accuracy', known & (guess == hidden), known),
  ):
    for got, mask in zip(found[name], (of, among), strict=False):
      expected = [(mask & (guess == c)).sum() for c in range(tiny.CLASSES)]
      assert got.numpy().tolist() == expected
      assert sum(expected) == mask.sum() > 0


def test_the_ramp_and_thresholds_per_class():
  task = make_task(weight=0.5, ramp_steps=4, threshold=(0.0, 1.1, 0.0))
  network, batch, _ = begun(task)
  found = task.losses(network, batch, True, tf.constant(2, tf.int64))
  assert float(found['consistency'].weight) == 0.25
  given = batch[common.UNLABELLED]
  taught = upsampled(network, given[common.VIEWS][:, 0])
  sure = given[common.VALID].numpy() & (taught.argmax(-1) != 1)
  assert tf.reduce_sum(found['confident'].total) == sure.sum() > 0
  assert found['confident'].total[1] == 0 < found['confident'].count[1]
  with pytest.raises(ValueError, match='3 numbers for 4 classes'):
    task.make_head(4)


def test_the_threshold_moves_towards_the_mean_confidence():
  task = make_task(threshold=0.9, threshold_momentum=0.75)
  network = tiny.network(task)
  state = task.begin(network, lambda images: network(images, training=False))
  batch = batch_of(2)
  task.losses(network, batch, True, STEP)
  given = batch[common.UNLABELLED]
  taught = upsampled(network, given[common.VIEWS][:, 0]).max(-1)
  mean = taught[given[common.VALID].numpy()].mean()
  expected = 0.75 * 0.9 + 0.25 * mean
  assert float(state['threshold']) == pytest.approx(expected, rel=1e-5)


def test_joint_training_contrasts_the_labelled_pixels():
  loss = pixel_contrast.WithinImage()
  task = consistency.Consistency(
    softmax.Softmax(), weight=0.0, contrast=loss, contrast_start=3
  )
  network = tiny.network(task, dropout_rate=0.0)
  batch = {k: v for k, v in batch_of(2).items() if k != common.UNLABELLED}
  assert not task.needs_teacher
  task.begin(network, None)
  found = task.losses(network, batch, False, STEP)
  assert sorted(found) == ['contrast', 'softmax']
  features = network.trunk(batch[common.IMAGE], training=False)
  embeddings = network.projection(features)
  labels = resize.labels_nearest(
    batch[common.LABEL], resize.spatial_size(embeddings)
  )
  expected = loss(embeddings, embeddings, labels)
  assert float(found['contrast'].total) == pytest.approx(float(expected.total))
  assert float(found['contrast'].weight) == 0.0
  later = task.losses(network, batch, False, tf.constant(3, tf.int64))
  assert float(later['contrast'].weight) == pytest.approx(0.1)


def fit(model_dir, task, steps=4, seed=0, average_decay=0.9, **stream):
  network = opinionated(task, seed)
  settings = {'average_decay': average_decay, 'log_every': 1}
  schedule = keras.optimizers.schedules.CosineDecay(0.05, steps)
  trainer.Trainer(
    keras.optimizers.SGD(schedule, momentum=0.9),
    steps,
    2,
    save_every=1,
    jit_compile=stream.pop('jit_compile', False),
    **settings,
  ).fit(
    network,
    task,
    tiny.with_unlabelled(tiny.make_stream(**stream)),
    STRATEGY,
    str(model_dir),
  )
  return network


def full_task():
  return make_task(
    channel_dropout=0.5,
    ramp_steps=2,
    threshold_momentum=0.9,
    contrast=pixel_contrast.WithinImage(),
  )


def test_a_broken_run_ends_bit_identical(tmp_path):
  """Teacher and threshold included."""
  whole = fit(tmp_path / 'whole', full_task())
  with pytest.raises(tf.errors.OpError, match='power went off'):
    fit(tmp_path / 'broken', full_task(), fail_at=5)
  resumed = fit(tmp_path / 'broken', full_task(), seed=9)
  for path, value in tiny.weights(whole).items():
    np.testing.assert_array_equal(tiny.weights(resumed)[path], value, path)
  saved = [
    tf.train.load_checkpoint(checkpoints.path_of(str(tmp_path / name), 4))
    for name in ('whole', 'broken')
  ]
  keys = saved[0].get_variable_to_shape_map()
  assert 'task/threshold/.ATTRIBUTES/VARIABLE_VALUE' in keys
  assert any(k.startswith('average/') for k in keys)
  for key in keys.keys() - {'_CHECKPOINTABLE_OBJECT_GRAPH'}:
    np.testing.assert_array_equal(
      *(each.get_tensor(key) for each in saved), err_msg=key
    )


def test_strong_views_do_not_move_the_statistics(tmp_path):
  """After one step they are those of plain cross entropy, on equal weights."""

  def statistics(network):
    return {k: v for k, v in tiny.weights(network).items() if '/moving_' in k}

  alone = tiny.network(softmax.Softmax(), dropout_rate=0.0)
  for example in [batch_of(2)]:
    alone(example[common.IMAGE], training=True)
  for moves, is_equal in (('labelled', True), ('all', False)):
    task = make_task(moves_statistics=moves)
    network, _, _ = begun(task)
    pairs = zip(
      statistics(network).values(), statistics(alone).values(), strict=True
    )
    assert is_equal == all(np.allclose(a, b, atol=1e-6) for a, b in pairs)


@pytest.mark.slow
def test_the_step_compiles_under_xla(tmp_path):
  plain = fit(tmp_path / 'plain', full_task(), steps=2)
  compiled = fit(tmp_path / 'xla', full_task(), steps=2, jit_compile=True)
  del plain, compiled
  logs = [metrics.read(tmp_path / name) for name in ('plain', 'xla')]
  for key in ('softmax', 'consistency', 'contrast', 'confident'):
    (first, second), (other, last) = ([x[key] for x in log] for log in logs)
    assert first == pytest.approx(other, rel=1e-3, abs=1e-4), key
    # After an update, confidences near the threshold may cross it.
    assert second == pytest.approx(last, rel=0.05), key


def test_a_teacher_is_needed(tmp_path):
  with pytest.raises(errors.ConfigError, match='average_decay'):
    fit(tmp_path, make_task(), average_decay=None)


def test_bad_settings_are_named():
  for settings, message in (
    ({'weight': 0.0}, 'leaves cross entropy'),
    ({'weight': -1.0}, 'none may be negative'),
    ({'channel_dropout': 1.5}, 'channel_dropout is 1.5'),
    ({'moves_statistics': 'none'}, "moves_statistics is 'none'"),
  ):
    with pytest.raises(ValueError, match=message):
      make_task(**settings)


@pytest.mark.slow
def test_two_replicas_equal_one(two_replicas, tmp_path):
  """Teacher, moving threshold and bank included."""
  code = """
    import sys
    import tensorflow as tf
    from deeplab_contrast.core.losses import feature_bank
    from tests import tiny
    from tests.tasks import consistency_test
    for name, strategy in (('one', tf.distribute.get_strategy()), ('two', two)):
      with strategy.scope():
        task = consistency_test.make_task(
          channel_dropout=0.5,
          threshold_momentum=0.9,
          contrast=feature_bank.FeatureBank(size=16),
        )
        network = consistency_test.opinionated(task)
        trainer = tiny.make_trainer(
          3, learning_rate=0.01, batch_size=4, average_decay=0.9
        )
      trainer.fit(network, task, tiny.with_unlabelled(tiny.make_stream()),
                  strategy, f'{sys.argv[1]}/{name}')
    """
  two_replicas(code, tmp_path)
  one, two = (metrics.read(tmp_path / r) for r in ('one', 'two'))
  # Batch statistics amplify rounding from step to step.
  for a, b, tolerance in zip(one, two, (1e-5, 1e-3, 1e-3), strict=True):
    names = ('softmax', 'consistency', 'contrast', 'confident', 'loss')
    seen = [n for n in a if '/' in n and a[n] is not None]
    assert seen == [n for n in b if '/' in n and b[n] is not None] != []
    for name in (*names, *seen):
      assert a[name] == pytest.approx(b[name], rel=tolerance, abs=1e-6), name
  for name in ('task/bank_count', 'task/threshold', 'task/bank'):
    key = f'{name}/.ATTRIBUTES/VARIABLE_VALUE'
    values = [
      tf.train.load_checkpoint(
        checkpoints.path_of(str(tmp_path / r), 3)
      ).get_tensor(key)
      for r in ('one', 'two')
    ]
    np.testing.assert_allclose(*values, atol=1e-3, err_msg=name)
