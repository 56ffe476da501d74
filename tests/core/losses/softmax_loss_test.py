import csv

import numpy as np
import pytest
import tensorflow as tf

from deeplab_contrast import common
from deeplab_contrast.core.losses import softmax_loss
from deeplab_contrast.tasks import softmax
from tests import original


def test_sum_and_count_over_pixels_that_count():
  rng = np.random.default_rng(0)
  logits = rng.normal(size=(2, 3, 4, 5))
  labels = rng.integers(0, 5, (2, 3, 4))
  labels[rng.random(labels.shape) < 0.3] = common.IGNORE_LABEL
  expected, count = 0.0, 0
  for place in np.ndindex(*labels.shape):
    if labels[place] != common.IGNORE_LABEL:
      z = logits[place]
      expected += np.log(np.exp(z).sum()) - z[labels[place]]
      count += 1
  loss = softmax_loss.pixel_cross_entropy(
    tf.constant(logits, tf.float32), tf.constant(labels)
  )
  np.testing.assert_allclose(loss.total, expected, rtol=1e-5)
  assert float(loss.count) == count


def test_all_ignored_gives_zero_and_zero_gradient():
  logits = tf.random.stateless_normal([1, 2, 2, 3], seed=[0, 0])
  labels = tf.fill([1, 2, 2], common.IGNORE_LABEL)
  with tf.GradientTape() as tape:
    tape.watch(logits)
    loss = softmax_loss.pixel_cross_entropy(logits, labels)
  assert (float(loss.total), float(loss.count)) == (0.0, 0.0)
  np.testing.assert_array_equal(tape.gradient(loss.total, logits), 0.0)


@pytest.mark.parametrize('jit', [False, True])
def test_hardest_pixels_of_all(jit):
  rng = np.random.default_rng(1)
  logits = tf.constant(rng.normal(size=(2, 4, 5, 3)), tf.float32)
  labels = rng.integers(0, 3, (2, 4, 5))
  labels[:, 0] = common.IGNORE_LABEL
  weights = (0.5, 2.0, 1.0)

  @tf.function(jit_compile=jit)
  def mine(share):
    loss = softmax_loss.pixel_cross_entropy(logits, labels, weights, share)
    return loss.total, loss.count

  z = logits.numpy().astype(np.float64)
  entropy = np.log(np.exp(z).sum(-1)) - np.take_along_axis(
    z, np.where(labels == common.IGNORE_LABEL, 0, labels)[..., None], -1
  ).squeeze(-1)
  ignored = labels == common.IGNORE_LABEL
  entropy *= np.where(
    ignored, 0, np.take(weights, np.where(ignored, 0, labels))
  )
  largest = np.sort(entropy.ravel())[::-1]
  for share, kept in ((0.25, 10), (0.99, 39)):
    total, count = mine(tf.constant(share))
    np.testing.assert_allclose(total, largest[:kept].sum(), rtol=1e-5)
    assert count == min(kept, 30)


def test_the_share_falls_to_its_final_value():
  assert softmax_loss.mined_share(1.0, 100, 7) == 1.0
  assert softmax_loss.mined_share(0.25, 0, 7) == 0.25
  shares = [softmax_loss.mined_share(0.2, 10, s) for s in (0, 5, 10, 99)]
  np.testing.assert_allclose(shares, [1.0, 0.6, 0.2, 0.2], rtol=1e-6)


@pytest.mark.skipif(
  not original.GOLDEN.is_dir(), reason='shared/golden is absent'
)
def test_golden_losses():
  """All pixels, hard pixels, mining over steps, class weights; gradients."""
  stored = np.load(original.GOLDEN / 'losses.npz')
  logits, labels = tf.constant(stored['logits']), stored['labels'][..., 0]
  with open(original.GOLDEN / 'losses.csv') as f:
    rows = list(csv.DictReader(f))
  assert len(rows) > 20
  for row in rows:
    weights = [float(w) for w in row['loss_weight'].split()]
    share = float(row['top_k_percent_pixels'])
    task = softmax.Softmax(
      upsample_logits=row['upsample_logits'] == 'True',
      label_weights=weights if len(weights) > 1 else None,
      top_k_percent_pixels=share,
      hard_example_mining_step=int(row['hard_example_mining_step']),
    )
    with tf.GradientTape() as tape:
      tape.watch(logits)
      ((total, count),) = task.losses(
        _Constant(logits),
        {common.IMAGE: None, common.LABEL: tf.constant(labels, tf.int32)},
        training=True,
        step=int(row['global_step']),
      ).values()
      loss = total / count
    gradient = tape.gradient(loss, logits)
    np.testing.assert_allclose(loss, float(row['loss']), rtol=2e-6)
    np.testing.assert_allclose(
      tf.norm(gradient), float(row['grad_l2_norm_wrt_logits']), rtol=2e-5
    )
    key = (
      f'grad_up{int(task.upsample_logits)}_w{int(len(weights) > 1)}'
      f'_topk{share:g}'
    )
    if row['hard_example_mining_step'] == '0' and key in stored:
      np.testing.assert_allclose(gradient, stored[key], atol=1e-7)


class _Constant:
  """A model that returns the given logits."""

  image_pyramid = (1.0,)

  def __init__(self, logits):
    self._logits = logits

  def __call__(self, images, training):
    del images, training
    return self._logits


def test_balancing_weights_by_hand():
  # The third class counts only the image that shows it.
  pixels = np.array([[40, 20, 40, 0], [60, 30, 0, 0]])
  frequencies = np.array([100 / 190, 50 / 190, 40 / 100])
  weights = softmax_loss.balancing_weights(pixels, 0.5)
  expected = [*np.sqrt(0.4 / frequencies), 1.0]
  np.testing.assert_allclose(weights, expected)
  rare = np.array([[10**9, 1, 10**6]])
  assert softmax_loss.balancing_weights(rare) == (0.1, 10.0, 1.0)
  assert softmax_loss.balancing_weights(rare, 0.0) == (1.0, 1.0, 1.0)
  assert softmax_loss.balancing_weights(np.zeros([2, 2], int)) == (1.0, 1.0)


def test_class_balance_is_counted_once_labels_are_seen():
  task = softmax.Softmax(class_balance=0.5)
  pixels = np.array([[90, 10]])
  task.see_classes(lambda: pixels)
  assert task.label_weights == softmax_loss.balancing_weights(pixels, 0.5)
  plain = softmax.Softmax()
  plain.see_classes(None)  # Does not count.
  assert plain.label_weights is None
  with pytest.raises(ValueError, match='beside label_weights'):
    softmax.Softmax(class_balance=0.5, label_weights=(1.0, 2.0))
