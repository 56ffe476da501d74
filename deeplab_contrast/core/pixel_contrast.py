"""Contrastive losses between pixels whose labels are known.

Notation of the paper: f_p is the unit-length feature of pixel p of image I, and
fhat_q that of pixel q of Ihat, the distorted twin of I, which has the same
label map y. s_pq = f_p . fhat_q / temperature. Ignored pixels take no part.
"""

import dataclasses

import tensorflow as tf

from deeplab_contrast import common

# Labels fit into a byte, so that classes can be counted without being told how
# many there are.
_MAX_LABELS = 256


@dataclasses.dataclass(frozen=True)
class WithinImage:
  """The paper's within-image loss (eq. 1; the single-image variant of v2).

      L(I) = -1/N sum_{p in I} 1/N_{y_p} sum_{q in Ihat, y_q = y_p}
                 log(exp(s_pq) / sum_{k in Ihat} exp(s_pk))

  The denominator runs over all pixels of Ihat, positives and negatives; the
  same place in Ihat is a positive. One direction, I to Ihat.

  Attributes:
    temperature: how sharply neighbours are told apart; 0.07 in the paper.
  """

  temperature: float = 0.07

  def __post_init__(self):
    """Refuses a temperature that cannot divide."""
    if not self.temperature > 0:
      raise ValueError(f'temperature is {self.temperature}; it must be > 0.')

  def __call__(self, anchors, contrast, labels):
    """Computes the loss, per image and then summed over images.

    Args:
      anchors: float [batch, height, width, channels], unit length: f.
      contrast: the same shape: fhat.
      labels: int [batch, height, width], ids in [0, 255) or `IGNORE_LABEL`.

    Returns:
      `Weighted`: the sum of the losses of the images, and how many images had
      at least one pixel that counts. An image without one adds nothing.
    """
    pixels, channels = tf.reduce_prod(tf.shape(labels)[1:]), anchors.shape[-1]
    flat = lambda x: tf.reshape(  # noqa: E731
      tf.cast(x, tf.float32), [-1, pixels, channels]
    )
    return within_image(
      flat(anchors),
      flat(contrast),
      tf.reshape(labels, [-1, pixels]),
      self.temperature,
    )


def within_image(anchors, contrast, labels, temperature):
  """Eq. 1 on flat pixels; see `WithinImage`.

  In the equal form L_p = logsumexp_k(s_pk) - f_p . mean_{y_q = y_p}(fhat_q) /
  temperature only the first term needs all pairs: one [pixels, pixels] matrix
  for each image, and no mask of positives.

  Args:
    anchors: float32 [batch, pixels, channels].
    contrast: float32 [batch, pixels, channels].
    labels: int [batch, pixels].
    temperature: float.

  Returns:
    `Weighted`, see `WithinImage`.
  """
  valid = tf.cast(labels != common.IGNORE_LABEL, tf.float32)
  scores = tf.matmul(anchors, contrast, transpose_b=True) / temperature
  # Large enough to vanish from the sum, small enough to stay finite.
  scores += (valid[:, tf.newaxis, :] - 1.0) * 1e9
  spread = tf.reduce_logsumexp(scores, axis=-1)
  same = _class_means(contrast, labels)
  pull = tf.reduce_sum(anchors * same, axis=-1) / temperature
  per_image = tf.reduce_sum(valid * (spread - pull), axis=-1)
  num_valid = tf.reduce_sum(valid, axis=-1)
  losses = tf.math.divide_no_nan(per_image, num_valid)
  num_images = tf.reduce_sum(tf.cast(num_valid > 0, tf.float32))
  return common.Weighted(tf.reduce_sum(losses), num_images)


def _class_means(features, labels):
  """For every pixel the mean feature of the pixels of its class."""
  one_hot = tf.one_hot(labels, _MAX_LABELS, dtype=tf.float32)
  sums = tf.matmul(one_hot, features, transpose_a=True)
  counts = tf.reduce_sum(one_hot, axis=1)[..., tf.newaxis]
  return tf.matmul(one_hot, tf.math.divide_no_nan(sums, counts))
