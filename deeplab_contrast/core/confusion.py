"""The confusion matrix and the metrics computed from it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf


def confusion_matrix(
  labels: tf.Tensor, predictions: tf.Tensor, num_classes: int
) -> tf.Tensor:
  """Counts pixels by true and predicted class; compiles under XLA.

  Args:
    labels: int, any shape; values outside [0, num_classes) are ignored.
    predictions: int of the same shape, in [0, num_classes).
    num_classes: int.

  Returns:
    int64 [num_classes, num_classes]: rows are truth, columns predictions.
  """
  labels = tf.cast(tf.reshape(labels, [-1]), tf.int32)
  predictions = tf.cast(tf.reshape(predictions, [-1]), tf.int32)
  known = (labels >= 0) & (labels < num_classes)
  size = num_classes**2
  # Ignored pixels fall into one cell past the end.
  cells = tf.where(known, labels * num_classes + predictions, size)
  counts = tf.math.bincount(cells, minlength=size + 1, maxlength=size + 1)
  counts = tf.cast(counts[:-1], tf.int64)
  return tf.reshape(counts, [num_classes, num_classes])


def scores(matrix: np.ndarray) -> dict[str, Any]:
  """Intersection over union and accuracy from a confusion matrix.

  A class that is neither in the truth nor predicted has no IoU (NaN) and is
  left out of the mean. A class that is predicted but not in the truth has IoU
  0, which counts in the mean, and no accuracy.

  Args:
    matrix: int64 array [classes, classes], rows are truth.

  Returns:
    dict: `miou`, `pixel_accuracy`, `mean_accuracy` (over the classes in the
    truth) and `frequency_weighted_iou` (weighted by their pixels), floats in
    [0, 1], NaN if nothing was counted; `iou` and `accuracy` (the share of a
    class's pixels that are correct), float64 [classes]; `pixels` (int).
  """
  matrix = np.asarray(matrix, np.int64)
  hits = np.diag(matrix)
  truth = matrix.sum(1)
  total = int(matrix.sum())
  iou = _quotient(hits, truth + matrix.sum(0) - hits)
  accuracy = _quotient(hits, truth)
  nan = float('nan')
  return {
    'miou': float(np.nanmean(iou)) if total else nan,
    'pixel_accuracy': float(hits.sum() / total) if total else nan,
    'mean_accuracy': float(np.nanmean(accuracy)) if total else nan,
    'frequency_weighted_iou': (
      float(np.nansum(iou * truth) / total) if total else nan
    ),
    'iou': iou,
    'accuracy': accuracy,
    'pixels': total,
  }


def merged(
  matrix: np.ndarray, groups: Sequence[str]
) -> tuple[dict[str, int], np.ndarray]:
  """The confusion matrix of groups of classes.

  Args:
    matrix: int64 array [classes, classes].
    groups: the name of each class's group.

  Returns:
    {name: index} in order of first occurrence, and int64 [groups, groups].
  """
  index = {name: i for i, name in enumerate(dict.fromkeys(groups))}
  places = np.array([index[name] for name in groups])
  result = np.zeros([len(index)] * 2, np.int64)
  np.add.at(result, (places[:, np.newaxis], places), matrix)
  return index, result


def near_outlines(labels: tf.Tensor, width: int, num_classes: int) -> tf.Tensor:
  """Which pixels are near a pixel of a different class.

  Pixels without a class (void, padding) form no outline and are never near one.

  Args:
    labels: int [batch, height, width].
    width: int, the largest distance in pixels along each side, diagonals
      included.
    num_classes: int; any other value is not a class.

  Returns:
    bool [batch, height, width].
  """
  known = (labels >= 0) & (labels < num_classes)
  # Pixels without a class are below all others when searching for the highest,
  # and above all others when searching for the lowest.
  ids = tf.cast(labels, tf.float32)
  highest = _highest(tf.where(known, ids, -1.0), width)
  lowest = -_highest(tf.where(known, -ids, -float(num_classes)), width)
  return known & ((highest != ids) | (lowest != ids))


def _highest(values, reach):
  """The highest value around each pixel of [batch, height, width]."""
  side = 2 * reach + 1
  values = values[..., tf.newaxis]
  # One direction after the other: side + side instead of side x side.
  values = tf.nn.max_pool2d(values, (side, 1), 1, 'SAME')
  return tf.nn.max_pool2d(values, (1, side), 1, 'SAME')[..., 0]


def _quotient(hits, pixels):
  """float64, NaN where there are no pixels."""
  with np.errstate(invalid='ignore', divide='ignore'):
    return np.where(pixels > 0, hits / pixels, np.nan)
