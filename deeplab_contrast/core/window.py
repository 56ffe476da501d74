"""Scale, pad, crop and flip at once: only the pixels of the crop are computed.

The same pixels as by the single steps of `geometry`, up to rounding: pixel i
of the scaled image lies at i * (size - 1) / (scaled - 1) of the source, between
two pixels weighted by its distances. (TensorFlow's align_corners.)
"""

from typing import NamedTuple

import tensorflow as tf

from deeplab_contrast.core import compiled


class Axis(NamedTuple):
  """Where the rows (or columns) of a crop come from in the source.

  Attributes:
    low: int32 [count], the pixel at or before the place.
    high: int32 [count], the one after it, or the last one.
    weight: float32 [count], of `high`, in [0, 1).
    is_inside: bool [count], False where the scaled image has ended.
  """

  low: tf.Tensor
  high: tf.Tensor
  weight: tf.Tensor
  is_inside: tf.Tensor


def axis(size, scaled, start, count, is_mirrored=False):
  """The rows or columns start, start + 1, ... of an image that was scaled.

  Args:
    size: int32 [], of the source.
    scaled: int32 [], of the scaled image.
    start: int32 [], the first one.
    count: int, how many.
    is_mirrored: bool [], whether to take them backwards.

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


def sample(image, label, rows, columns, pixel, ignore):
  """Computes the pixels of a crop.

  Args:
    image: uint8 or float32 [height, width, 3].
    label: uint8 or int32 [height, width].
    rows: `Axis`.
    columns: `Axis`.
    pixel: image values outside the image: one float, or one for each channel.
    ignore: int, label values there.

  Returns:
    float32 [rows, columns, 3] (bilinear) and int32 [rows, columns] (nearest).
  """
  size = rows.low.shape[0], columns.low.shape[0]
  is_compiled = compiled.pays(*size)
  first = tf.reduce_min(rows.low)
  last = tf.reduce_max(tf.where(rows.is_inside, rows.high, 0))
  last = tf.maximum(last, first) + 1
  rows = rows._replace(low=rows.low - first, high=rows.high - first)
  arguments = (
    _flat(image[first:last], is_compiled),
    _flat(label[first:last], is_compiled),
    tf.shape(label)[1],
    tuple(rows),
    tuple(columns),
    tf.broadcast_to(tf.constant(pixel, tf.float32), [3]),
    tf.constant(ignore, tf.int32),
  )
  image, label = compiled.call(_sample, is_compiled, *arguments)
  return tf.ensure_shape(image, (*size, 3)), tf.ensure_shape(label, size)


def labels(label, rows, columns, ignore):
  """Computes the labels of a crop alone; see `sample`."""
  flat = tf.reshape(label, [-1])
  return _labels(flat, tf.shape(label)[1], rows, columns, ignore)


def _flat(values, is_padded):
  """In one dimension; padded, of few sizes: XLA compiles for each of them."""
  flat = tf.reshape(values, [-1])
  if not is_padded:
    return flat
  sizes = tf.constant([2**i for i in range(12, 31)])
  size = tf.gather(sizes, tf.searchsorted(sizes, tf.size(flat)[tf.newaxis])[0])
  return tf.pad(flat, [[0, size - tf.size(flat)]])


def _sample(image, label, width, rows, columns, pixel, ignore):
  rows, columns = Axis(*rows), Axis(*columns)
  is_inside = rows.is_inside[:, tf.newaxis] & columns.is_inside

  def at(row, column):
    index = (row * width)[:, tf.newaxis] + column
    index = 3 * index[..., tf.newaxis] + tf.range(3)
    return tf.cast(tf.gather(image, index), tf.float32)

  weight = columns.weight[:, tf.newaxis]
  top = _lerp(at(rows.low, columns.low), at(rows.low, columns.high), weight)
  end = _lerp(at(rows.high, columns.low), at(rows.high, columns.high), weight)
  pixels = _lerp(top, end, rows.weight[:, tf.newaxis, tf.newaxis])
  ids = _labels(label, width, rows, columns, ignore)
  return tf.where(is_inside[..., tf.newaxis], pixels, pixel), ids


def _labels(label, width, rows, columns, ignore):
  index = (_nearest(rows) * width)[:, tf.newaxis] + _nearest(columns)
  is_inside = rows.is_inside[:, tf.newaxis] & columns.is_inside
  ids = tf.cast(tf.gather(label, index), tf.int32)
  return tf.where(is_inside, ids, ignore)


def _lerp(low, high, weight):
  return low + (high - low) * weight


def _nearest(places):
  return tf.where(places.weight >= 0.5, places.high, places.low)
