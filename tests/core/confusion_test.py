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


def scores_by_hand(truth, guess, classes):
  """Every score by its definition, pixel by pixel."""
  pairs = [(t, g) for t, g in zip(truth, guess, strict=True) if t < classes]
  iou, found, share = {}, {}, {}
  for c in range(classes):
    both = sum(t == c and g == c for t, g in pairs)
    either = sum(c in (t, g) for t, g in pairs)
    of_class = sum(t == c for t, _ in pairs)
    share[c] = of_class / len(pairs)
    if either:
      iou[c] = both / either
    if of_class:
      found[c] = both / of_class
  return {
    'miou': sum(iou.values()) / len(iou),
    'pixel_accuracy': sum(t == g for t, g in pairs) / len(pairs),
    'mean_accuracy': sum(found.values()) / len(found),
    'frequency_weighted_iou': sum(share[c] * iou.get(c, 0) for c in share),
    'iou': [iou.get(c, np.nan) for c in range(classes)],
    'accuracy': [found.get(c, np.nan) for c in range(classes)],
    'pixels': len(pairs),
  }


@pytest.mark.parametrize('seed', range(4))
def test_scores_equal_their_definitions(seed):
  rng = np.random.default_rng(seed)
  # Class 4 does not occur, class 3 is only predicted.
  truth = rng.choice([0, 1, 2, 255], 60)
  guess = rng.choice([0, 1, 2, 3], 60)
  matrix = confusion.confusion_matrix(truth, guess, 5).numpy()
  found = confusion.scores(matrix)
  expected = scores_by_hand(truth.tolist(), guess.tolist(), 5)
  assert set(found) == set(expected)
  for name, value in expected.items():
    np.testing.assert_allclose(found[name], value, rtol=1e-12, err_msg=name)
  assert np.isnan(found['iou'][4]) and np.isnan(found['accuracy'][3])


def test_groups_are_scored_as_if_they_were_the_labels():
  rng = np.random.default_rng(1)
  groups = ('ground', 'sky', 'ground', 'thing')
  truth, guess = rng.integers(0, 4, (2, 200))
  index, merged = confusion.merged(
    confusion.confusion_matrix(truth, guess, 4).numpy(), groups
  )
  assert index == {'ground': 0, 'sky': 1, 'thing': 2}
  of_groups = np.array([index[name] for name in groups])
  expected = confusion.confusion_matrix(of_groups[truth], of_groups[guess], 3)
  np.testing.assert_array_equal(merged, expected)


@pytest.mark.parametrize('width', [1, 2, 4])
def test_near_outlines_by_hand(width):
  rng = np.random.default_rng(width)
  labels = np.zeros((2, 14, 17), int)
  for value in (1, 2, 255, 3, 255):
    for image in labels:
      top, left = rng.integers(0, 10, 2)
      image[top : top + 4, left : left + 5] = value
  labels[:, -2:] = 255  # Padding.
  expected = np.zeros(labels.shape, bool)
  for b, y, x in np.ndindex(labels.shape):
    window = labels[
      b,
      max(y - width, 0) : y + width + 1,
      max(x - width, 0) : x + width + 1,
    ]
    others = (window != 255) & (window != labels[b, y, x])
    expected[b, y, x] = labels[b, y, x] != 255 and others.any()
  found = confusion.near_outlines(tf.constant(labels), width, 4)
  np.testing.assert_array_equal(found, expected)
  assert 0 < expected.mean() < 1


def test_class_predicted_but_absent_counts_as_zero():
  scores = confusion.scores([[3, 1], [0, 0]])
  assert scores['iou'][1] == 0.0
  assert scores['miou'] == pytest.approx(3 / 8)


def test_nothing_counted_is_nan():
  assert np.isnan(confusion.scores(np.zeros((2, 2)))['miou'])


def test_counts_beyond_32_bits():
  big = 2**40
  assert confusion.scores([[big, big], [0, big]])['miou'] == 0.5
