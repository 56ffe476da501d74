"""Which predictions are confident enough to be labels (semi-supervision)."""

import numpy as np
import tensorflow as tf

from deeplab_contrast.common import IGNORE_LABEL

# A threshold that no probability reaches.
NEVER = 2.0
# Probabilities are counted in this many equal steps.
_STEPS = 10_000


def confident(
  probabilities: tf.Tensor, thresholds: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
  """The most probable class, if it is probable enough.

  The paper's rule: a hard label where the highest probability reaches the
  threshold of its class, no label elsewhere.

  Args:
    probabilities: float [..., classes], summing to 1.
    thresholds: float32 [classes], the least probability of each class.

  Returns:
    labels: int32 [...], class ids or IGNORE_LABEL.
    classes: int32 [...], the most probable class everywhere.
    confidence: float32 [...], its probability.
  """
  probabilities = tf.cast(probabilities, tf.float32)
  classes = tf.argmax(probabilities, axis=-1, output_type=tf.int32)
  confidence = tf.reduce_max(probabilities, axis=-1)
  is_sure = confidence >= tf.gather(thresholds, classes)
  labels = tf.where(is_sure, classes, IGNORE_LABEL)
  return labels, classes, confidence


def histograms(
  classes: np.ndarray, confidence: np.ndarray, num_classes: int
) -> np.ndarray:
  """Counts pixels by class and probability.

  Args:
    classes: int, any shape, the most probable class.
    confidence: float32 of the same shape, its probability.
    num_classes: int.

  Returns:
    int64 [num_classes, steps]: step i holds those from i / 10,000 on.
  """
  places = np.searchsorted(_lowest(), np.ravel(confidence), 'right') - 1
  size = _STEPS + 1
  cells = np.ravel(classes).astype(np.int64) * size + places
  counts = np.bincount(cells, minlength=num_classes * size)
  return counts.reshape(num_classes, size)


def of_precision(
  right: np.ndarray, labelled: np.ndarray, precision: float
) -> np.ndarray:
  """The lowest threshold of each class that reaches a precision.

  Args:
    right: int64 [classes, steps], `histograms` of the pixels whose most
      probable class is right.
    labelled: likewise, of all pixels whose true class is known.
    precision: the share of those at or above the threshold that must be right.

  Returns:
    float32 [classes]; NEVER if no threshold reaches it, NaN for a class that
    no labelled pixel is predicted as.
  """
  correct, total = _from_above(right), _from_above(labelled)
  is_enough = (total > 0) & (correct >= precision * total)
  found = _lowest()[is_enough.argmax(1)]
  found = np.where(is_enough.any(1), found, np.float32(NEVER))
  return np.where(total[:, 0] > 0, found, np.float32('nan'))


def of_share(counts: np.ndarray, share: float) -> np.ndarray:
  """The threshold of each class that keeps a share of its pixels.

  Class-balanced self-training (Zou et al., 2018).

  Args:
    counts: int64 [classes, steps], `histograms` of all pixels.
    share: 0 to 1, of the pixels of each class; a little more is kept where many
      pixels are equally confident.

  Returns:
    float32 [classes]; NaN for a class without pixels.
  """
  kept = _from_above(counts)
  total = kept[:, :1]
  # Of the thresholds that keep enough, the last one is the highest.
  highest = (kept >= share * total).sum(1) - 1
  return np.where(total[:, 0] > 0, _lowest()[highest], np.float32('nan'))


def _lowest():
  """float32 [steps], the lowest probability of each step."""
  return np.arange(_STEPS + 1, dtype=np.float32) / np.float32(_STEPS)


def _from_above(counts):
  """How many pixels each threshold keeps."""
  return counts[:, ::-1].cumsum(1)[:, ::-1]
