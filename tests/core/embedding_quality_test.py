"""Against double loops, plain gradient descent, and hand-made clusters."""

import collections
import itertools

import numpy as np
import pytest

from deeplab_contrast.core import embedding_quality as quality

NAN = float('nan')
CLASSES = 4


def data(pixels, channels=6, seed=0, spread=1.0):
  """Features that depend on their labels, some of which are void."""
  rng = np.random.default_rng(seed)
  labels = rng.choice([*range(CLASSES), 255, -1], pixels)
  # The same centres for every seed.
  centres = np.random.default_rng(99).normal(size=(CLASSES + 2, channels))
  features = centres[labels % 6] + spread * rng.normal(size=(pixels, channels))
  return features.astype(np.float32), labels.astype(np.int32)


def clusters(pixels_of_each, cosine):
  """Three unit directions, each pair with this cosine."""
  corners = np.linalg.cholesky(
    np.full([3, 3], cosine) + np.eye(3) * (1 - cosine)
  )
  labels = np.repeat(np.arange(3), pixels_of_each)
  lengths = np.random.default_rng(0).uniform(1, 2, [len(labels), 1])
  return (corners[labels] * lengths).astype(np.float32), labels


def miou_by_hand(labels, predictions):
  """Over classes that occur in the truth or the prediction."""
  ious = []
  for c in set(labels) | set(predictions):
    hits = sum(t == p == c for t, p in zip(labels, predictions, strict=True))
    union = sum(c in pair for pair in zip(labels, predictions, strict=True))
    ious.append(hits / union)
  return np.mean(ious)


def counted(features, labels, present=range(CLASSES)):
  keep = np.isin(labels, list(present))
  return features[keep].astype(float), labels[keep].tolist()


def test_similarities_by_a_double_loop():
  features, labels = data(60)
  features[3] = 0.0  # Has no direction, so is not similar to any.
  rows, classes = counted(features, labels)
  pairs = collections.defaultdict(list)
  for i, j in itertools.permutations(range(len(rows)), 2):
    lengths = np.sqrt((rows[i] ** 2).sum() * (rows[j] ** 2).sum())
    cosine = (rows[i] * rows[j]).sum() / lengths if lengths else 0.0
    pairs[classes[i] == classes[j]].append(cosine)
  within, between = quality.class_similarities(features, labels, CLASSES)
  assert within == pytest.approx(np.mean(pairs[True]), abs=1e-12)
  assert between == pytest.approx(np.mean(pairs[False]), abs=1e-12)


@pytest.mark.parametrize('neighbours', [1, 4, 10, 1000])
def test_neighbours_by_brute_force(neighbours):
  fit, fit_labels = data(70)
  features, labels = data(50, seed=1)
  # Equally similar to two fit pixels: the first one is nearer.
  fit[20], features[5] = fit[10], fit[10]
  rows, classes = counted(fit, fit_labels)
  judged, truth = counted(features, labels)
  predictions = []
  for row in judged:
    cosines = [
      np.dot(row, other) / (np.linalg.norm(row) * np.linalg.norm(other))
      for other in rows
    ]
    order = sorted(range(len(rows)), key=lambda i: -cosines[i])[:neighbours]
    votes = {
      c: (len(own), sum(own))
      for c in range(CLASSES)
      if (own := [cosines[i] for i in order if classes[i] == c])
    }
    predictions.append(max(votes, key=votes.get))
  expected = miou_by_hand(truth, predictions)
  found = quality.knn_miou(
    fit, fit_labels, features, labels, CLASSES, neighbours
  )
  assert 0.2 < found < 1 or neighbours == 1000
  assert found == pytest.approx(expected, abs=1e-12)


def objective(weights, inputs, classes, penalty):
  """The objective of the probe, and its gradient."""
  logits = inputs @ weights
  logits -= logits.max(1, keepdims=True)
  chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
  pixels = np.arange(len(classes))
  value = -np.log(chances[pixels, classes]).mean()
  chances[pixels, classes] -= 1
  shrunk = np.vstack([weights[:-1], np.zeros_like(weights[-1:])])
  value += penalty / 2 * (shrunk**2).sum()
  return value, inputs.T @ chances / len(classes) + penalty * shrunk


def test_probe_by_plain_gradient_descent():
  fit, fit_labels = data(150, spread=2.0)
  features, labels = data(80, seed=1, spread=2.0)
  rows, classes = counted(fit, fit_labels)
  judged, truth = counted(features, labels)
  mean, spread = rows.mean(0), rows.std(0)
  rows, judged = (
    np.hstack([(x - mean) / spread, np.ones([len(x), 1])])
    for x in (rows, judged)
  )
  weights = np.zeros([7, CLASSES])
  for _ in range(2000):
    best, gradient = objective(weights, rows, classes, 1e-2)
    weights -= 0.7 * gradient
  assert np.abs(gradient).max() < 1e-8
  ours = quality._fit_probe(rows, np.eye(CLASSES)[classes], 100, 1e-2)
  assert objective(ours, rows, classes, 1e-2)[0] == pytest.approx(best, 1e-9)
  expected = miou_by_hand(truth, (judged @ weights).argmax(1).tolist())
  found = quality.probe_miou(
    fit, fit_labels, features, labels, CLASSES, penalty=1e-2
  )
  assert 0.2 < found < 0.9
  assert found == pytest.approx(expected, abs=1e-12)


def test_probe_ends_near_the_optimum_where_channels_are_alike():
  """Like features that have nearly collapsed to one direction."""
  rng = np.random.default_rng(0)
  classes = rng.integers(0, 3, 300)
  inputs = rng.normal(size=(300, 1)) + 0.01 * rng.normal(size=(300, 40))
  inputs[:, 0] += 0.02 * classes
  inputs = (inputs - inputs.mean(0)) / inputs.std(0)
  inputs = np.hstack([inputs, np.ones([300, 1])])
  short, long = (
    objective(
      quality._fit_probe(inputs, np.eye(3)[classes], count, 1e-3),
      inputs,
      classes,
      1e-3,
    )[0]
    for count in (100, 1000)
  )
  assert short == pytest.approx(long, rel=1e-3)


@pytest.mark.parametrize('cosine', [-0.4, 0.0, 0.7])
def test_perfect_clusters(cosine):
  fit, judged = clusters(20, cosine), clusters(7, cosine)
  assert quality.class_similarities(*fit, 3) == pytest.approx((1.0, cosine))
  assert quality.knn_miou(*fit, *judged, 3) == 1.0
  assert quality.probe_miou(*fit, *judged, 3) == 1.0


def test_random_features_are_near_chance():
  rng = np.random.default_rng(0)
  features, labels = rng.normal(size=(3000, 8)), rng.integers(0, 3, 3000)
  parts = features[:1500], labels[:1500], features[1500:], labels[1500:]
  within, between = quality.class_similarities(features, labels, 3)
  assert abs(within - between) < 0.01
  # A third of the pixels is right: a third of 2 n / 3 pixels in the union is.
  for found in (quality.knn_miou(*parts, 3), quality.probe_miou(*parts, 3)):
    assert found == pytest.approx(1 / 5, abs=0.04)


def _both(fit, fit_labels, features, labels, num_classes=CLASSES):
  arguments = fit, fit_labels, features, labels, num_classes
  return quality.knn_miou(*arguments), quality.probe_miou(*arguments)


def test_classes_without_a_fit_pixel_are_left_out():
  fit, judged = clusters(20, 0.0), clusters(7, 0.0)
  known = fit[1] != 2
  assert _both(fit[0][known], fit[1][known], *judged) == (1.0, 1.0)
  # A class of no evaluated pixel counts only if it is predicted.
  seen = judged[1] != 2
  assert _both(*fit, judged[0][seen], judged[1][seen]) == (1.0, 1.0)


def test_one_class_only():
  features, labels = data(30)
  labels[:] = 2
  within, between = quality.class_similarities(features, labels, CLASSES)
  assert 0 < within < 1 and np.isnan(between)
  assert _both(features, labels, features[:9], labels[:9]) == (1.0, 1.0)


def test_fewer_pixels_than_neighbours():
  fit, labels = np.eye(3)[[0, 1]], np.array([0, 1])
  assert quality.knn_miou(fit[:1], labels[:1], fit[:1], labels[:1], 3) == 1.0
  assert quality.knn_miou(fit, labels, fit, labels, 3, neighbours=9) == 1.0
  assert quality.probe_miou(fit, labels, fit, labels, 3) == 1.0


@pytest.mark.parametrize('empty', ['fit', 'judged', 'both'])
def test_nothing_to_count_is_nan(empty):
  features, labels = data(30)
  void = np.full_like(labels, 255)
  fit_labels = void if empty in ('fit', 'both') else labels
  judged_labels = void if empty in ('judged', 'both') else labels
  found = _both(features, fit_labels, features, judged_labels)
  np.testing.assert_equal(found, (NAN, NAN))
  np.testing.assert_equal(
    quality.class_similarities(features, void, CLASSES), (NAN, NAN)
  )
  np.testing.assert_equal(
    _both(features, labels, features[:0], labels[:0])[0], NAN
  )


def test_features_without_a_direction_are_finite():
  features, labels = data(40)
  features[:] = 0.0
  assert quality.class_similarities(features, labels, CLASSES) == (0.0, 0.0)
  assert all(map(np.isfinite, _both(features, labels, features, labels)))


def test_a_constant_channel_has_no_effect():
  """Scaled to unit deviation, its rounding errors would have one."""
  fit, judged = clusters(20, 0.0), clusters(7, 0.0)
  noise = np.random.default_rng(0).uniform(0.1, 0.1 + 1e-8, [60, 1])
  features = np.hstack([fit[0], noise.astype(np.float32)])
  odd = np.hstack([judged[0], np.full([21, 1], 1e3, np.float32)])
  assert quality.probe_miou(features, fit[1], odd, judged[1], 3) == 1.0


@pytest.mark.parametrize('bad', [np.nan, np.inf])
def test_features_that_are_not_finite_are_nan(bad):
  features, labels = data(40)
  features[np.flatnonzero(labels == 1)[0], 2] = bad
  found = _both(features, labels, features, labels)
  np.testing.assert_equal(found, (NAN, NAN))
  similarities = quality.class_similarities(features, labels, CLASSES)
  np.testing.assert_equal(similarities, (NAN, NAN))
  found = _both(data(40)[0], labels, features, labels)
  np.testing.assert_equal(found, (NAN, NAN))
  # It does not matter for an ignored pixel.
  labels[labels == 1] = 255
  assert all(map(np.isfinite, _both(features, labels, features, labels)))
