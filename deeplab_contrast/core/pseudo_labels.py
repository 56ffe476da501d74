"""Which predictions are confident enough to be labels (semi-supervision)."""

import tensorflow as tf

from deeplab_contrast.common import IGNORE_LABEL


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
