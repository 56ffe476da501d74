import numpy as np
import tensorflow as tf

from deeplab_contrast import common
from deeplab_contrast.core import softmax_loss


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
