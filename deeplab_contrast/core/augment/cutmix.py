"""CutMix: a box of one image is replaced by the same box of another."""

import tensorflow as tf


def random_box(
  size: tuple[int, int],
  probability: float,
  area: tuple[float, float],
  aspect: tuple[float, float],
  seed: tf.Tensor,
) -> tf.Tensor:
  """Draws a box.

  Args:
    size: (height, width) of the image.
    probability: of there being a box.
    area: (smallest, largest) share of the image; drawn uniformly.
    aspect: (smallest, largest) height / width; drawn uniformly. Boxes higher or
      wider than the image are cut to it.
    seed: int32 [2].

  Returns:
    bool [height, width], true inside the box.
  """
  height, width = size
  draws = tf.random.stateless_uniform([5], seed)
  pixels = _between(draws[0], area) * float(height * width)
  ratio = _between(draws[1], aspect)
  is_drawn = draws[4] < probability
  rows = _inside(height, tf.sqrt(pixels * ratio), draws[2])
  columns = _inside(width, tf.sqrt(pixels / ratio), draws[3])
  return is_drawn & rows[:, tf.newaxis] & columns


def paste(values: tf.Tensor, box: tf.Tensor) -> tf.Tensor:
  """Replaces boxes by those of the partner: first and second, and so on.

  Args:
    values: [batch, height, width] or [batch, height, width, channels].
    box: bool [batch, height, width], what to replace.

  Returns:
    Like `values`. Of an odd number of images the last one has no partner.
  """
  count = values.shape[0]
  partners = [i ^ 1 if i ^ 1 < count else i for i in range(count)]
  if values.shape.rank == 4:
    box = box[..., tf.newaxis]
  return tf.where(box, tf.gather(values, partners), values)


def _between(draw, span):
  return span[0] + draw * (span[1] - span[0])


def _inside(size, length, draw):
  """Bool [size]: which places are in an interval at a random place."""
  length = tf.clip_by_value(tf.cast(length, tf.int32), 1, size)
  room = tf.cast(size - length + 1, tf.float32)
  start = tf.minimum(tf.cast(draw * room, tf.int32), size - length)
  places = tf.range(size)
  return (places >= start) & (places < start + length)
