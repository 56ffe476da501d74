"""Encoded images and label maps to uint8: the one decoder.

Training, evaluation, preparation and prediction all decode here, so that they
see the same pixels of a file. It runs eagerly and in graphs.
"""

import io
from collections.abc import Mapping
from typing import Any

import tensorflow as tf
from PIL import Image

from deeplab_contrast import common


def image(encoded: tf.Tensor | bytes) -> tf.Tensor:
  """Decodes jpeg, png, bmp or gif (its first picture).

  Args:
    encoded: string [].

  Returns:
    uint8 [height, width, 3], as stored: EXIF orientation is not applied.

  Raises:
    InvalidArgumentError: the bytes are not an image, or are damaged.
  """
  # decode_image has no dct_method. TensorFlow's default method differs from
  # Pillow and OpenCV by 1.3 of 255 on average, the accurate one not at all, at
  # the same speed. Mixing the two changes up to 3.5 % of the predicted labels.
  return tf.cond(
    tf.io.is_jpeg(encoded),
    lambda: tf.io.decode_jpeg(
      encoded, channels=3, dct_method='INTEGER_ACCURATE'
    ),
    lambda: tf.io.decode_image(encoded, channels=3, expand_animations=False),
  )


def image_size(encoded: bytes) -> tuple[int, int]:
  """(height, width) of an encoded image, bytes, from its header alone."""
  with Image.open(io.BytesIO(encoded)) as opened:
    return opened.height, opened.width


def label(example: Mapping[str, Any], size: tf.Tensor) -> tf.Tensor:
  """Decodes the LABEL of an example, a png of one channel.

  Args:
    example: dict with LABEL, string [], possibly empty; and ID, if known.
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
