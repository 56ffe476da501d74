import numpy as np
import pytest
import tensorflow as tf

from deeplab_contrast.core import confusion


@pytest.mark.parametrize('jit', [False, True])
def test_counts_every_known_pixel(jit):
  rng = np.random.default_rng(0)
  truth = rng.choice([0, 1, 2, 3, 255, -1], (4, 9))
  guess = rng.integers(0, 4, (4, 9))
  expected = np.zeros((4, 4), int)
  for t, p in zip(truth.flat, guess.flat, strict=True):
    if 0 <= t < 4:
      expected[t, p] += 1
  count = tf.function(confusion.confusion_matrix, jit_compile=jit)
  matrix = count(tf.constant(truth), tf.constant(guess), 4)
  assert matrix.dtype == tf.int64
  np.testing.assert_array_equal(matrix, expected)


def test_scores_by_hand():
  scores = confusion.scores([[3, 1, 0], [2, 4, 0], [0, 0, 0]])
  np.testing.assert_allclose(scores['iou'][:2], [3 / 6, 4 / 7])
  assert np.isnan(scores['iou'][2])
  assert scores['miou'] == pytest.approx((3 / 6 + 4 / 7) / 2)
  assert scores['pixel_accuracy'] == pytest.approx(0.7)
  assert scores['pixels'] == 10


def test_class_predicted_but_absent_counts_as_zero():
  scores = confusion.scores([[3, 1], [0, 0]])
  assert scores['iou'][1] == 0.0
  assert scores['miou'] == pytest.approx(3 / 8)


def test_nothing_counted_is_nan():
  assert np.isnan(confusion.scores(np.zeros((2, 2)))['miou'])


def test_counts_beyond_32_bits():
  big = 2**40
  assert confusion.scores([[big, big], [0, big]])['miou'] == 0.5
