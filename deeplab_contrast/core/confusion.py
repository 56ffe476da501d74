"""The confusion matrix and the numbers that follow from it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf


def confusion_matrix(
  labels: tf.Tensor, predictions: tf.Tensor, num_classes: int
) -> tf.Tensor:
  """Counts pixels by true and predicted class; compiles under XLA.

  Args:
    labels: int, any shape; values outside [0, num_classes) are left out.
    predictions: int of the same shape, in [0, num_classes).
    num_classes: int.

  Returns:
    int64 [num_classes, num_classes]: rows are truth, columns predictions.
  """
  labels = tf.cast(tf.reshape(labels, [-1]), tf.int32)
  predictions = tf.cast(tf.reshape(predictions, [-1]), tf.int32)
  known = (labels >= 0) & (labels < num_classes)
  size = num_classes**2
  # What does not count falls into one cell past the end.
  cells = tf.where(known, labels * num_classes + predictions, size)
  counts = tf.math.bincount(cells, minlength=size + 1, maxlength=size + 1)
  counts = tf.cast(counts[:-1], tf.int64)
  return tf.reshape(counts, [num_classes, num_classes])


def scores(matrix: np.ndarray) -> dict[str, Any]:
  """Intersection over union and accuracy from a confusion matrix.

  A class that neither occurs in the truth nor is predicted has no IoU (NaN) and
  takes no part in the mean. A class that is absent from the truth but predicted
  has IoU 0 and does; it has no accuracy.

  Args:
    matrix: int64 array [classes, classes], rows are truth.

  Returns:
    dict: `miou`, `pixel_accuracy`, `mean_accuracy` (over the classes of the
    truth) and `frequency_weighted_iou` (weighted by their pixels), floats in
    [0, 1], NaN when nothing was counted; `iou` and `accuracy` (found among the
    pixels of a class), float64 [classes]; `pixels` (int).
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
    groups: the name of the group of each class.

  Returns:
    {name: index} in the order in which the names first occur, and int64
    [groups, groups].
  """
  index = {name: i for i, name in enumerate(dict.fromkeys(groups))}
  places = np.array([index[name] for name in groups])
  result = np.zeros([len(index)] * 2, np.int64)
  np.add.at(result, (places[:, np.newaxis], places), matrix)
  return index, result


def near_outlines(labels: tf.Tensor, width: int, num_classes: int) -> tf.Tensor:
  """Which pixels have one of another class near by.

  What is no class (void, padding) makes no outline and is never near one.

  Args:
    labels: int [batch, height, width].
    width: int, how near: so many pixels up, down or across, diagonals included.
    num_classes: int; other values are no class.

  Returns:
    bool [batch, height, width].
  """
  known = (labels >= 0) & (labels < num_classes)
  # Of no class: lower than all in the search for the highest, and vice versa.
  ids = tf.cast(labels, tf.float32)
  highest = _highest(tf.where(known, ids, -1.0), width)
  lowest = -_highest(tf.where(known, -ids, -float(num_classes)), width)
  return known & ((highest != ids) | (lowest != ids))


def _highest(values, reach):
  """The highest value around each pixel of [batch, height, width]."""
  side = 2 * reach + 1
  values = values[..., tf.newaxis]
  # One direction after the other: side + side in place of side x side.
  values = tf.nn.max_pool2d(values, (side, 1), 1, 'SAME')
  return tf.nn.max_pool2d(values, (1, side), 1, 'SAME')[..., 0]


def _quotient(hits, pixels):
  """float64, NaN where there are no pixels."""
  with np.errstate(invalid='ignore', divide='ignore'):
    return np.where(pixels > 0, hits / pixels, np.nan)
