"""Scales, pads, crops and flips an image with its label, statelessly.

Throughout, `image` is float32 [height, width, 3], `label` is int32
[height, width] and `seed` is int32 [2]: the same seed draws the same numbers.
(The original: deeplab/core/preprocess_utils.py.)
"""

from collections.abc import Sequence

import tensorflow as tf

from deeplab_contrast.common import IGNORE_LABEL
from deeplab_contrast.core import resize


def random_scale_factor(
  minimum: float, maximum: float, step: float, seed: tf.Tensor
) -> tf.Tensor:
  """Draws a scale uniformly: 0.5 to 2.0 by 0.25 has seven equal chances.

  Args:
    minimum: float, the smallest factor, above 0.
    maximum: float, the largest factor.
    step: float, the difference of neighbouring factors; 0 draws from the whole
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


def scale(
  image: tf.Tensor, label: tf.Tensor, factor: float | tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
  """Resizes to int(side * factor), at least one pixel, corners aligned.

  Args:
    image: float32 [height, width, 3].
    label: int32 [height, width].
    factor: float or float32 [].

  Returns:
    The image (bilinear) and the label (nearest) at the new size.
  """
  return _resize(image, label, scaled_size(tf.shape(label), factor))


def scaled_size(size: tf.Tensor, factor: float | tf.Tensor) -> tf.Tensor:
  """The sides, int32 [2], of an image of int32 [2] `size` after `scale`."""
  return tf.maximum(tf.cast(tf.cast(size, tf.float32) * factor, tf.int32), 1)


def resize_to_range(
  image: tf.Tensor,
  label: tf.Tensor,
  min_size: int,
  max_size: int | None,
  factor: int | None,
) -> tuple[tf.Tensor, tf.Tensor]:
  """Resizes so that the sides are in a range, keeping their ratio.

  Args:
    image: float32 [height, width, 3].
    label: int32 [height, width].
    min_size: int, see `range_size`.
    max_size: int or None.
    factor: int or None.

  Returns:
    The image (bilinear) and the label (nearest) at the new size.
  """
  size = range_size(tf.shape(label), min_size, max_size, factor)
  return _resize(image, label, size)


def range_size(
  size: tf.Tensor,
  min_size: int,
  max_size: int | None = None,
  factor: int | None = None,
) -> tf.Tensor:
  """The size of an image after the original's `resize_to_range`.

  The shorter side becomes `min_size`, unless the longer side would then exceed
  `max_size`: in that case the longer side becomes `max_size`. Sides are rounded
  down to whole pixels, at least one, and then up to the next k * factor + 1;
  `max_size` is first rounded down to such a number.

  Args:
    size: int32 [2], height and width.
    min_size: int.
    max_size: int; None for no limit.
    factor: int; None keeps the sides.

  Returns:
    int32 [2].
  """
  sides = tf.cast(size, tf.float32)
  new = tf.floor(sides * (min_size / tf.reduce_min(sides)))
  if max_size is not None:
    if factor is not None:
      max_size -= (max_size - 1) % factor
    small = tf.floor(sides * (max_size / tf.reduce_max(sides)))
    new = tf.where(tf.reduce_max(new) > max_size, small, new)
  new = tf.maximum(tf.cast(new, tf.int32), 1)
  if factor is not None:
    new = resize.fitting_size(new, factor)
  return new


def pad_to(
  image: tf.Tensor,
  label: tf.Tensor,
  height: int,
  width: int,
  pixel: float | Sequence[float],
  ignore: int,
) -> tuple[tf.Tensor, tf.Tensor]:
  """Pads to at least height x width, at the bottom and at the right.

  A side that is already large enough does not change.

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


def random_crop(
  image: tf.Tensor,
  label: tf.Tensor,
  height: int,
  width: int,
  seed: tf.Tensor,
  class_uniform: float = 0.0,
) -> tuple[tf.Tensor, tf.Tensor]:
  """Crops a height x width window, each position being equally likely.

  Args:
    image: float32 [h, w, 3].
    label: int32 [h, w].
    height: int, at most h.
    width: int, at most w.
    seed: int32 [2].
    class_uniform: float, how often to crop around a class instead; see
      `class_uniform_offset`.

  Returns:
    float32 [height, width, 3] and int32 [height, width], of static shape.

  Raises:
    InvalidArgumentError: the image is smaller than the window.
  """
  top, left = crop_offset(tf.shape(label), height, width, seed)
  if class_uniform:
    top, left = tf.cond(
      goes_to_a_class(class_uniform, seed),
      lambda: class_uniform_offset(label, height, width, seed),
      lambda: (top, left),
    )
  return (
    tf.slice(image, [top, left, 0], [height, width, 3]),
    tf.slice(label, [top, left], [height, width]),
  )


def crop_offset(
  size: tf.Tensor, height: int, width: int, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
  """The top and the left, int32 [], of a random window; see `random_crop`."""
  room = size - [height, width]
  fits = tf.debugging.assert_non_negative(
    room, f'An image is smaller than the {height} x {width} crop; pad it first.'
  )
  # So that this message appears, not that of a later op.
  with tf.control_dependencies([fits]):
    room = tf.identity(room)
  seeds = tf.random.split(seed)
  return tuple(
    tf.random.stateless_uniform([], seeds[axis], 0, room[axis] + 1, tf.int32)
    for axis in range(2)
  )


def goes_to_a_class(probability: float, seed: tf.Tensor) -> tf.Tensor:
  """Draws whether a crop is class-uniform, bool []."""
  return tf.random.stateless_uniform([], _own_seed(seed, 2)) < probability


def class_uniform_offset(
  label: tf.Tensor, height: int, width: int, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
  """The top and the left of a window around a pixel of a drawn class.

  All classes in the image are equally likely, and so are all pixels of a class:
  the chosen pixel is in the middle of the window, as far as the borders allow,
  and always inside. An image without any valid pixel gets a random window.

  Args:
    label: int32 [h, w], ids from 0 to 254; other values are not drawn.
    height: int, at most h.
    width: int, at most w.
    seed: int32 [2].

  Returns:
    Two int32 [].
  """
  flat = tf.reshape(label, [-1])
  counts = tf.math.bincount(flat, minlength=256, maxlength=256)
  present = tf.where(counts[:IGNORE_LABEL] > 0)[:, 0]

  def around():
    chosen = _pick(present, _own_seed(seed, 3))
    pixels = tf.where(flat == tf.cast(chosen, flat.dtype))[:, 0]
    pixel = tf.cast(_pick(pixels, _own_seed(seed, 4)), tf.int32)
    size = tf.shape(label)
    middle = tf.stack([pixel // size[1], pixel % size[1]])
    window = tf.constant([height, width])
    offset = tf.clip_by_value(middle - window // 2, 0, size - window)
    return offset[0], offset[1]

  return tf.cond(
    tf.size(present) > 0,
    around,
    lambda: crop_offset(tf.shape(label), height, width, seed),
  )


def random_flip(
  image: tf.Tensor, label: tf.Tensor, probability: float, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
  """Mirrors image and label from left to right, or changes neither.

  Args:
    image: float32 [height, width, 3].
    label: int32 [height, width].
    probability: float, how often to mirror.
    seed: int32 [2].

  Returns:
    The image and the label, of the same shapes.
  """
  return tf.cond(
    is_flipped(probability, seed),
    lambda: (tf.reverse(image, [1]), tf.reverse(label, [1])),
    lambda: (image, label),
  )


def is_flipped(probability: float, seed: tf.Tensor) -> tf.Tensor:
  """Draws whether to mirror, bool []."""
  return tf.random.stateless_uniform([], seed) < probability


def _resize(image, label, size):
  return (
    resize.bilinear(image[tf.newaxis], size)[0],
    resize.labels_nearest(label[tf.newaxis], size)[0],
  )


def _own_seed(seed, number):
  """A different seed; 0 and 1 would be those of `crop_offset`'s split."""
  return tf.random.experimental.stateless_fold_in(seed, number)


def _pick(values, seed):
  """One of [n] values, n > 0, all equally likely."""
  index = tf.random.stateless_uniform([], seed, 0, tf.size(values), tf.int32)
  return values[index]


def _extend(values, bottom, right, fill):
  # tf.pad would be one pass, but cannot pad with a value per channel; and
  # subtracting the value, padding zeros and adding it again rounds the pixels.
  rest = values.shape[2:]
  side = tf.broadcast_to(fill, [tf.shape(values)[0], right, *rest])
  values = tf.concat([values, side], axis=1)
  floor = tf.broadcast_to(fill, [bottom, tf.shape(values)[1], *rest])
  return tf.concat([values, floor], axis=0)
