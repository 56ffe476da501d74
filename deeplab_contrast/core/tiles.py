"""Predicts large images by overlapping tiles, in the memory of a row of tiles.

Tiles start at multiples of GRID, so that a network's feature maps (strides up
to 32) align with those of the whole image. The outer quarter of an overlap is
not used, since there the network sees the border of the tile instead of the
image; over the half in between, one tile fades into the next.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from deeplab_contrast import common

GRID = 32


class Axis(NamedTuple):
  """The positions of tiles along one side of an image.

  Attributes:
    size: int, or int32 [], pixels of the side.
    length: int, or int32 [], pixels of every tile.
    starts: int32 [tiles], multiples of GRID; the last tile may reach up to
      GRID - 1 pixels beyond the image.
    weights: float32 [tiles, length], of each pixel of a tile; they add up to 1
      for every pixel of the image.
  """

  size: int | tf.Tensor
  length: int | tf.Tensor
  starts: tf.Tensor
  weights: tf.Tensor


def axis(size: int | tf.Tensor, tile_size: int, overlap: int) -> Axis:
  """Places tiles along a side; a single tile of its size if that is enough.

  Args:
    size: int, or int32 [], of the side.
    tile_size: int, k * GRID + 1.
    overlap: int, the least overlap of neighbours, in [0, tile_size - GRID].

  Returns:
    An `Axis`.
  """
  smaller = min if isinstance(size, int) else tf.minimum
  length = smaller(size, tile_size)
  step = (tile_size - overlap) // GRID * GRID
  # The last tile ends with the image, rounded up to the grid.
  last = tf.maximum(-(-(size - tile_size) // GRID) * GRID, 0)
  starts = tf.minimum(tf.range(-(-last // step) + 1) * step, last)
  return Axis(size, length, starts, _weights(starts, length, tile_size - step))


def blend(
  predict: Callable[[tf.Tensor], tf.Tensor],
  images: tf.Tensor,
  rows: Axis,
  columns: Axis,
  channels: int,
  labels: bool = False,
) -> tf.Tensor:
  """Predicts tile by tile and blends.

  Besides the result it holds one row of tiles in memory: tile height x image
  width x channels floats for each image, and some copies of them.

  Args:
    predict: maps float32 [batch, tile height, tile width, 3] to float32
      [batch, tile height, tile width, channels].
    images: [batch, height, width, 3], any numeric type.
    rows: `Axis` of the height.
    columns: `Axis` of the width.
    channels: int.
    labels: returns the channel with the highest value instead of the values.

  Returns:
    float32 [batch, height, width, channels], or int32 [batch, height, width].
  """
  count = tf.shape(rows.starts)[0]
  ends = tf.concat([rows.starts[1:], [rows.size]], 0)

  def one_row(i, kept, done):
    kept = _add_row(predict, images, rows, columns, i, kept)
    # Pixels that the next row of tiles does not reach are final.
    fresh = ends[i] - rows.starts[i]
    done = done.write(i, _finished(kept[: columns.size, :fresh], labels))
    rest = tf.pad(kept[:, fresh:], [[0, 0], [0, fresh], [0, 0], [0, 0]])
    return i + 1, tf.ensure_shape(rest, kept.shape), done

  width = columns.starts[-1] + columns.length
  # The width comes first, so that a tile is added to whole slices, in place.
  kept = tf.zeros([width, rows.length, tf.shape(images)[0], channels])
  done = tf.TensorArray(
    tf.int32 if labels else tf.float32, count, infer_shape=False
  )
  _, _, done = tf.while_loop(
    lambda i, *_: i < count, one_row, (0, kept, done), parallel_iterations=1
  )
  result = tf.transpose(done.concat(), [2, 0, 1] if labels else [2, 0, 1, 3])
  return tf.ensure_shape(
    result, [*images.shape[:3], *([] if labels else [channels])]
  )


def _add_row(predict, images, rows, columns, i, kept):
  """Adds the predictions of the tiles of row i to [width, rows, batch, c]."""

  def one_tile(j, kept):
    tile = _cut(images, rows, columns, i, j)
    # Two sides at once: [columns, rows, batch, channels].
    values = tf.transpose(predict(tile), [2, 1, 0, 3])
    values *= rows.weights[i][:, tf.newaxis, tf.newaxis]
    values *= columns.weights[j][:, tf.newaxis, tf.newaxis, tf.newaxis]
    places = columns.starts[j] + tf.range(columns.length)
    kept = tf.tensor_scatter_nd_add(kept, places[:, tf.newaxis], values)
    return j + 1, kept

  count = tf.shape(columns.starts)[0]
  return tf.while_loop(
    lambda j, _: j < count, one_tile, (0, kept), parallel_iterations=1
  )[1]


def _cut(images, rows, columns, i, j):
  """The tile in row i and column j, float32; padded beyond the image."""
  top, left = rows.starts[i], columns.starts[j]
  tile = images[:, top : top + rows.length, left : left + columns.length]
  tile = tf.cast(tile, tf.float32)
  missing = [
    [0, rows.length - tf.shape(tile)[1]],
    [0, columns.length - tf.shape(tile)[2]],
  ]
  tile = tf.pad(
    tile, [[0, 0], *missing, [0, 0]], constant_values=common.MEAN_PIXEL
  )
  sides = [x if isinstance(x, int) else None for x in (rows[1], columns[1])]
  return tf.ensure_shape(tile, [images.shape[0], *sides, 3])


def _finished(values, labels):
  """Rows first: [rows, width, batch, ...] of [width, rows, batch, c]."""
  if not labels:
    return tf.transpose(values, [1, 0, 2, 3])
  return tf.transpose(tf.argmax(values, -1, tf.int32), [1, 0, 2])


def _weights(starts, length, overlap):
  """float32 [tiles, length]; see `Axis`."""
  number = tf.range(tf.shape(starts)[0])[:, tf.newaxis]
  ramp = _ramp(tf.range(length), overlap)
  # The borders of the image are not blended.
  weights = tf.where(number > 0, ramp, 1.0)
  weights *= tf.where(number < tf.shape(starts)[0] - 1, ramp[::-1], 1.0)
  places = starts[:, tf.newaxis] + tf.range(length)
  total = tf.math.unsorted_segment_sum(
    weights, places, tf.reduce_max(places) + 1
  )
  return weights / tf.gather(total, places)


def _ramp(distance, overlap):
  """Rises smoothly from 0 to 1 over an overlap; adds up to 1 with its mirror.

  Args:
    distance: int32 [...], pixels from the end of the tile.
    overlap: int, in pixels.

  Returns:
    float32 [...].
  """
  place = (tf.cast(distance, tf.float32) + 0.5) / float(overlap)
  x = tf.clip_by_value(2.0 * place - 0.5, 0.0, 1.0)
  return x * x * (3.0 - 2.0 * x)
