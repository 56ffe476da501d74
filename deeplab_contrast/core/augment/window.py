"""Scales, pads, crops and flips at once, computing only the crop's pixels.

The result equals the single steps of `geometry`, up to rounding: pixel i of the
scaled image is at i * (size - 1) / (scaled - 1) of the source, between two
pixels weighted by its distances to them. (TensorFlow's align_corners.)
"""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from deeplab_contrast.core.augment import compiled


class Axis(NamedTuple):
  """The positions in the source of the rows (or columns) of a crop.

  Attributes:
    low: int32 [count], the pixel at or before the position.
    high: int32 [count], the pixel after it, or the last one.
    weight: float32 [count], of `high`, in [0, 1).
    is_inside: bool [count], False beyond the end of the scaled image.
  """

  low: tf.Tensor
  high: tf.Tensor
  weight: tf.Tensor
  is_inside: tf.Tensor


def axis(
  size: tf.Tensor,
  scaled: tf.Tensor,
  start: tf.Tensor,
  count: int,
  is_mirrored: bool | tf.Tensor = False,
) -> Axis:
  """The rows or columns start, start + 1, ... of a scaled image.

  Args:
    size: int32 [], of the source.
    scaled: int32 [], of the scaled image.
    start: int32 [], the first one.
    count: int, how many.
    is_mirrored: bool [], whether to reverse them.

  Returns:
    An `Axis`.
  """
  places = start + tf.range(count)
  places = tf.where(is_mirrored, places[::-1], places)
  step = tf.cast(size - 1, tf.float32)
  step /= tf.cast(tf.maximum(scaled - 1, 1), tf.float32)
  exact = tf.cast(places, tf.float32) * step
  low = tf.minimum(tf.cast(exact, tf.int32), size - 1)
  high = tf.minimum(low + 1, size - 1)
  return Axis(low, high, exact - tf.cast(low, tf.float32), places < scaled)


def sample(
  image: tf.Tensor,
  label: tf.Tensor,
  rows: Axis,
  columns: Axis,
  pixel: float | Sequence[float],
  ignore: int,
) -> tuple[tf.Tensor, tf.Tensor]:
  """Computes the pixels of a crop.

  Args:
    image: uint8 or float32 [height, width, 3].
    label: uint8 or int32 [height, width].
    rows: `Axis`.
    columns: `Axis`.
    pixel: image values outside the image: one float, or one for each channel.
    ignore: int, label value outside the image.

  Returns:
    float32 [rows, columns, 3] (bilinear) and int32 [rows, columns] (nearest).
  """
  size = rows.low.shape[0], columns.low.shape[0]
  is_compiled = compiled.pays(*size)
  # Only the rows that are needed; cutting columns would be another copy.
  top, end, rows = _shifted(rows)
  arguments = (
    _canvas(image[top:end], is_compiled),
    _canvas(label[top:end], is_compiled),
    tuple(rows),
    tuple(columns),
    tf.broadcast_to(tf.constant(pixel, tf.float32), [3]),
    tf.constant(ignore, tf.int32),
  )
  image, label = compiled.call(_sample, is_compiled, *arguments)
  return tf.ensure_shape(image, (*size, 3)), tf.ensure_shape(label, size)


def labels(
  label: tf.Tensor, rows: Axis, columns: Axis, ignore: int
) -> tf.Tensor:
  """Computes the labels of a crop alone; see `sample`."""
  return _labels(label, rows, columns, ignore)


def _shifted(places):
  """The (first, last + 1) source pixel of an axis, and the axis from there."""
  first = tf.reduce_min(places.low)
  last = tf.reduce_max(tf.where(places.is_inside, places.high, first))
  # Pixels outside are overwritten: they may point to any existing pixel.
  low, high = (tf.minimum(x, last) - first for x in places[:2])
  return first, last + 1, places._replace(low=low, high=high)


def _canvas(values, is_padded):
  """Pads sides to powers of 2, since XLA compiles again for every size."""
  if not is_padded:
    return values
  sizes = tf.constant([2**i for i in range(6, 31)])
  height, width = tf.unstack(tf.shape(values)[:2])
  rows, columns = tf.unstack(
    tf.gather(sizes, tf.searchsorted(sizes, [height, width]))
  )
  # In two dimensions: tf.pad of three ones takes ten times as long.
  channels = values.shape[2] if len(values.shape) == 3 else 1
  flat = tf.reshape(values, [height, width * channels])
  edges = [[0, rows - height], [0, (columns - width) * channels]]
  return tf.reshape(tf.pad(flat, edges), [rows, columns, *values.shape[2:]])


def _sample(image, label, rows, columns, pixel, ignore):
  rows, columns = Axis(*rows), Axis(*columns)
  image = tf.cast(image, tf.float32)
  pixels = _lerp(
    tf.gather(image, rows.low),
    tf.gather(image, rows.high),
    rows.weight[:, tf.newaxis, tf.newaxis],
  )
  pixels = _lerp(
    tf.gather(pixels, columns.low, axis=1),
    tf.gather(pixels, columns.high, axis=1),
    columns.weight[:, tf.newaxis],
  )
  # A product, since tf.where takes half as long again here.
  is_inside = _inside(rows, columns)[..., tf.newaxis]
  pixels = pixel + (pixels - pixel) * tf.cast(is_inside, tf.float32)
  return pixels, _labels(label, rows, columns, ignore)


def _labels(label, rows, columns, ignore):
  ids = tf.gather(label, _nearest(rows))
  ids = tf.gather(ids, _nearest(columns), axis=1)
  return tf.where(_inside(rows, columns), tf.cast(ids, tf.int32), ignore)


def _inside(rows, columns):
  return rows.is_inside[:, tf.newaxis] & columns.is_inside


def _lerp(low, high, weight):
  return low + (high - low) * weight


def _nearest(places):
  return tf.where(places.weight >= 0.5, places.high, places.low)
