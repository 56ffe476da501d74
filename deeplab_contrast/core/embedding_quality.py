"""Metrics of how well the features of pixels separate classes.

All take features [pixels, channels] (any float type, arrays or tensors;
computed in float64) and labels [pixels] (int; values outside [0, num_classes)
are ignored). Everything here is deterministic. NaN stands for an undefined
result: no pixels to count, or features that are not finite.
"""

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from deeplab_contrast.core import confusion

# Pixels evaluated at a time: bounds the memory for similarities.
_BLOCK = 1024

# A channel whose standard deviation is within float32's rounding is constant.
_FLAT = 1e-6


def class_similarities(
  features: ArrayLike, labels: ArrayLike, num_classes: int
) -> tuple[float, float]:
  """Mean cosine similarity within classes and between classes.

  With u_i = f_i / |f_i| (0 for a feature of length 0) and labels y_i:

    within  = mean of u_i . u_j over all pairs i != j with y_i == y_j
    between = mean of u_i . u_j over all pairs with y_i != y_j

  Sums over classes S_c = sum of u_i with y_i == c give both means in linear
  time: the sum over pairs of one class is |S_c|^2 - sum |u_i|^2.

  Args:
    features: float [pixels, channels].
    labels: int [pixels].
    num_classes: int.

  Returns:
    (within, between), floats in [-1, 1]; NaN without any such pair.
  """
  features, labels = _known(features, labels, num_classes)
  if not np.isfinite(features).all():
    return float('nan'), float('nan')
  units = _units(features)
  members = _one_hot(labels, num_classes)
  counts = members.sum(axis=0)
  of_class = np.square(members.T @ units).sum()
  within = _ratio(
    of_class - np.square(units).sum(), (counts * (counts - 1)).sum()
  )
  between = _ratio(
    np.square(units.sum(axis=0)).sum() - of_class,
    counts.sum() ** 2 - np.square(counts).sum(),
  )
  return within, between


def knn_miou(
  fit_features: ArrayLike,
  fit_labels: ArrayLike,
  features: ArrayLike,
  labels: ArrayLike,
  num_classes: int,
  neighbours: int = 10,
) -> float:
  """Mean IoU of a k-nearest-neighbour classification by cosine similarity.

  A pixel gets the most frequent class among its `neighbours` most similar fit
  pixels. If classes are equally frequent, the one with the greater sum of
  similarities wins; of equally similar pixels, the first one is nearest.

  Args:
    fit_features: float [fit pixels, channels].
    fit_labels: int [fit pixels].
    features: float [pixels, channels], of the pixels to evaluate.
    labels: int [pixels]. No features can find a class without a fit pixel, so
      pixels of such classes are left out.
    num_classes: int.
    neighbours: int; all fit pixels if there are fewer.

  Returns:
    A float in [0, 1], see `confusion.scores`; NaN if either set of pixels is
    empty.
  """

  def classify(fit_features, fit_labels, features):
    units = _units(fit_features).T
    blocks = [
      _vote(_units(features[i : i + _BLOCK]) @ units, fit_labels, neighbours)
      for i in range(0, len(features), _BLOCK)
    ]
    return np.concatenate(blocks)

  fit = _known(fit_features, fit_labels, num_classes)
  return _miou(classify, fit, features, labels, num_classes)


def probe_miou(
  fit_features: ArrayLike,
  fit_labels: ArrayLike,
  features: ArrayLike,
  labels: ArrayLike,
  num_classes: int,
  iterations: int = 100,
  penalty: float = 1e-3,
) -> float:
  """Mean IoU of a linear probe: multinomial logistic regression.

  With channels x standardised by the mean and standard deviation of the fit
  pixels, the probe is the minimum over W, b of

    mean over fit pixels of -log softmax(W x + b)[y] + penalty / 2 * |W|^2

  found by full-batch steps from W = b = 0, see `_fit_probe`.

  Args:
    fit_features: float [fit pixels, channels].
    fit_labels: int [fit pixels].
    features: float [pixels, channels], of the pixels to evaluate.
    labels: int [pixels]; see `knn_miou`.
    num_classes: int.
    iterations: int, number of steps.
    penalty: float > 0.

  Returns:
    A float in [0, 1]; NaN if either set of pixels is empty.
  """

  def classify(fit_features, fit_labels, features):
    mean, spread = fit_features.mean(axis=0), fit_features.std(axis=0)
    flat = spread <= _FLAT * np.abs(mean)
    factor = np.where(flat, 0.0, 1.0 / np.where(flat, 1.0, spread))
    inputs, evaluated = (
      np.pad((x - mean) * factor, ((0, 0), (0, 1)), constant_values=1.0)
      for x in (fit_features, features)
    )
    classes, targets = np.unique(fit_labels, return_inverse=True)
    targets = _one_hot(targets, len(classes))
    weights = _fit_probe(inputs, targets, iterations, penalty)
    return classes[(evaluated @ weights).argmax(axis=1)]

  fit = _known(fit_features, fit_labels, num_classes)
  return _miou(classify, fit, features, labels, num_classes)


def _fit_probe(inputs, targets, iterations, penalty):
  """Minimises the penalised cross entropy; the last channel is the bias.

  The second derivative of the cross entropy is nowhere more than
  0.5 * mean(x x^T) for each class (Boehning, Annals of the Institute of
  Statistical Mathematics 44, 1992). Steps by the inverse of that bound need
  no step size and cannot overshoot; Nesterov's momentum, restarted whenever it
  points uphill, makes them fast.

  Args:
    inputs: float64 [pixels, channels], the last channel all 1.
    targets: float64 [pixels, classes], one-hot.
    iterations: int.
    penalty: float.

  Returns:
    Weights, float64 [channels, classes].
  """
  penalties = np.full([inputs.shape[1], 1], penalty)
  penalties[-1] = 0.0
  bound = 0.5 * inputs.T @ inputs / len(inputs) + np.diag(penalties[:, 0])
  weights = ahead = tf.zeros([inputs.shape[1], targets.shape[1]], tf.float64)
  # Not in NumPy, whose threads spin while waiting for each other: on busy cores
  # small products like these took ten times as long.
  inverse, penalties, targets = map(
    tf.constant, (np.linalg.inv(bound), penalties, targets)
  )
  inputs, share = tf.constant(inputs), tf.constant(inputs.T / len(inputs))
  age = 0
  for _ in range(iterations):
    wrong = tf.nn.softmax(inputs @ ahead) - targets
    gradient = share @ wrong + penalties * ahead
    before, weights = weights, ahead - inverse @ gradient
    move = weights - before
    age = 0 if tf.reduce_sum(gradient * move) > 0 else age + 1
    ahead = weights + age / (age + 3) * move
  return weights.numpy()


def _miou(classify, fit, features, labels, num_classes):
  """Mean IoU of `classify(fit features, fit labels, features)`."""
  features, labels = _known(features, labels, num_classes)
  can_be_found = np.isin(labels, fit[1])
  features, labels = features[can_be_found], labels[can_be_found]
  if not len(labels):
    return float('nan')
  if not (np.isfinite(fit[0]).all() and np.isfinite(features).all()):
    return float('nan')
  predictions = classify(*fit, features)
  matrix = confusion.confusion_matrix(labels, predictions, num_classes)
  return confusion.scores(matrix.numpy())['miou']


def _vote(similarities, labels, neighbours):
  """The class for each row of similarities to fit pixels with `labels`."""
  nearest = np.argsort(-similarities, axis=1, kind='stable')[:, :neighbours]
  count = nearest.shape[1]
  votes = np.zeros([len(similarities), labels.max() + 1])
  rows = np.arange(len(similarities))
  for column in nearest.T:
    # The sum of similarities, at most `count`, only breaks ties.
    share = similarities[rows, column] / (2 * count + 1)
    votes[rows, labels[column]] += 1 + share
  return votes.argmax(axis=1)


def _known(features, labels, num_classes):
  """Pixels that have a class: features float64, labels int64."""
  labels = np.asarray(labels).astype(np.int64)
  features = np.asarray(features).astype(np.float64)
  known = (labels >= 0) & (labels < num_classes)
  return features[known], labels[known]


def _units(features):
  lengths = np.linalg.norm(features, axis=1, keepdims=True)
  return features / np.where(lengths > 0, lengths, 1.0)


def _one_hot(labels, num_classes):
  return (labels[:, np.newaxis] == np.arange(num_classes)).astype(np.float64)


def _ratio(total, count):
  return float(total / count) if count else float('nan')
