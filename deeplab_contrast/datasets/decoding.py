"""Decodes images and label maps to bytes of pixels and ids."""

import tensorflow as tf

from deeplab_contrast import common


def image(encoded):
  """Decodes jpeg, png, bmp or gif (its first picture).

  Args:
    encoded: string [].

  Returns:
    uint8 [height, width, 3].
  """
  # decode_image has no dct_method, and TensorFlow's default one differs from
  # Pillow and OpenCV by 1.3 of 255 on average; the accurate one by nothing, at
  # the same speed.
  return tf.cond(
    tf.io.is_jpeg(encoded),
    lambda: tf.io.decode_jpeg(
      encoded, channels=3, dct_method='INTEGER_ACCURATE'
    ),
    lambda: tf.io.decode_image(encoded, channels=3, expand_animations=False),
  )


def label(example, size):
  """Decodes the LABEL of an example, a png of one channel.

  Args:
    example: dict with LABEL, string [], maybe empty; and ID if it has one.
    size: int32 [2], of its image.

  Returns:
    uint8 [height, width]; IGNORE_LABEL everywhere if LABEL is empty.
  """
  return tf.cond(
    tf.equal(example[common.LABEL], b''),
    lambda: tf.fill(size, tf.constant(common.IGNORE_LABEL, tf.uint8)),
    lambda: _label(example, size),
  )


def _label(example, size):
  # Without channels=1 a palette or colour png keeps its three channels and is
  # refused; with it, it would silently become luminance (class 1 becomes 38).
  ids = tf.io.decode_png(example[common.LABEL])
  ids = tf.ensure_shape(ids, [None, None, 1])[..., 0]
  tf.debugging.Assert(
    tf.reduce_all(tf.equal(tf.shape(ids), size)),
    [
      'Label and image differ in size (id, label, image):',
      example.get(common.ID, ''),
      tf.shape(ids),
      size,
    ],
  )
  return ids
