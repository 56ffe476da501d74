"""Scale, pad, crop and flip an image and its label alike, statelessly.

Throughout, `image` is float32 [height, width, 3], `label` is int32
[height, width] and `seed` is int32 [2]: the same seed draws the same numbers.
(The original: deeplab/core/preprocess_utils.py.)
"""

import tensorflow as tf

from deeplab_contrast.core import resize


def random_scale_factor(minimum, maximum, step, seed):
  """Draws a scale uniformly: 0.5 to 2.0 by 0.25 has seven equal chances.

  Args:
    minimum: float, the smallest factor, above 0.
    maximum: float, the largest factor.
    step: float, the distance of neighbouring factors; 0 draws from the whole
      range instead.
    seed: int32 [2].

  Returns:
    float32 [].
  """
  if step == 0:
    return tf.random.stateless_uniform([], seed, minimum, maximum)
  # 1e-6: (1.2 - 0.6) / 0.2 is just below 3 in floating point.
  count = int((maximum - minimum) / step + 1e-6) + 1
  index = tf.random.stateless_uniform([], seed, 0, count, tf.int32)
  return tf.linspace(float(minimum), float(maximum), count)[index]


def scale(image, label, factor):
  """Resizes to int(side * factor), at least one pixel, corners aligned.

  Args:
    image: float32 [height, width, 3].
    label: int32 [height, width].
    factor: float or float32 [].

  Returns:
    The image (bilinear) and the label (nearest) at the new size.
  """
  size = tf.cast(tf.shape(label), tf.float32) * factor
  size = tf.maximum(tf.cast(size, tf.int32), 1)
  return (
    resize.bilinear(image[tf.newaxis], size)[0],
    resize.labels_nearest(label[tf.newaxis], size)[0],
  )


def pad_to(image, label, height, width, pixel, ignore):
  """Extends to at least height x width, at the bottom and at the right.

  An image that is already large enough along a side keeps that side.

  Args:
    image: float32 [h, w, 3].
    label: int32 [h, w].
    height: int, the least number of rows.
    width: int, the least number of columns.
    pixel: the new image values: one float, or one for each channel.
    ignore: int, the new label values.

  Returns:
    float32 [max(h, height), max(w, width), 3] and the label of that size.
  """
  bottom = tf.maximum(0, height - tf.shape(label)[0])
  right = tf.maximum(0, width - tf.shape(label)[1])
  return (
    _extend(image, bottom, right, tf.constant(pixel, image.dtype)),
    _extend(label, bottom, right, tf.constant(ignore, label.dtype)),
  )


def random_crop(image, label, height, width, seed):
  """Cuts one height x width window, every place having the same chance.

  Args:
    image: float32 [h, w, 3].
    label: int32 [h, w].
    height: int, at most h.
    width: int, at most w.
    seed: int32 [2].

  Returns:
    float32 [height, width, 3] and int32 [height, width], of static shape.

  Raises:
    InvalidArgumentError: the image is smaller than the window.
  """
  room = tf.shape(label) - [height, width]
  fits = tf.debugging.assert_non_negative(
    room, f'An image is smaller than the {height} x {width} crop: pad it first.'
  )
  # So that this sentence comes first, not that of an op further down.
  with tf.control_dependencies([fits]):
    room = tf.identity(room)
  seeds = tf.random.split(seed)
  top, left = (
    tf.random.stateless_uniform([], seeds[axis], 0, room[axis] + 1, tf.int32)
    for axis in range(2)
  )
  return (
    tf.slice(image, [top, left, 0], [height, width, 3]),
    tf.slice(label, [top, left], [height, width]),
  )


def random_flip(image, label, probability, seed):
  """Mirrors left and right, or leaves both as they are.

  Args:
    image: float32 [height, width, 3].
    label: int32 [height, width].
    probability: float, how often to mirror.
    seed: int32 [2].

  Returns:
    The image and the label, of the same shapes.
  """
  return tf.cond(
    tf.random.stateless_uniform([], seed) < probability,
    lambda: (tf.reverse(image, [1]), tf.reverse(label, [1])),
    lambda: (image, label),
  )


def _extend(values, bottom, right, fill):
  # tf.pad would be one pass, but knows no value per channel; and subtracting
  # the value, padding zeros and adding it again rounds the pixels.
  rest = values.shape[2:]
  side = tf.broadcast_to(fill, [tf.shape(values)[0], right, *rest])
  values = tf.concat([values, side], axis=1)
  floor = tf.broadcast_to(fill, [bottom, tf.shape(values)[1], *rest])
  return tf.concat([values, floor], axis=0)
