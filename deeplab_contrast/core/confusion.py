"""The confusion matrix and the numbers that follow from it."""

import numpy as np
import tensorflow as tf


def confusion_matrix(labels, predictions, num_classes):
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


def scores(matrix):
  """Intersection over union and accuracy from a confusion matrix.

  A class that neither occurs in the truth nor is predicted has no IoU (NaN) and
  takes no part in the mean. A class that is absent from the truth but predicted
  has IoU 0 and does.

  Args:
    matrix: int64 array [classes, classes], rows are truth.

  Returns:
    dict: `miou` and `pixel_accuracy` (floats in [0, 1], NaN when nothing was
    counted), `iou` (float64 [classes]), `pixels` (int).
  """
  matrix = np.asarray(matrix, np.int64)
  hits = np.diag(matrix).astype(np.float64)
  union = matrix.sum(0) + matrix.sum(1) - np.diag(matrix)
  total = int(matrix.sum())
  with np.errstate(invalid='ignore', divide='ignore'):
    iou = np.where(union > 0, hits / union, np.nan)
  return {
    'miou': float(np.nanmean(iou)) if total else float('nan'),
    'pixel_accuracy': float(hits.sum() / total) if total else float('nan'),
    'iou': iou,
    'pixels': total,
  }
