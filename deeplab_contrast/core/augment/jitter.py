"""Brightness, contrast, saturation and hue in any order, in few passes.

Taken one by one, the four steps are some twelve passes over memory. But:

- Contrast needs the means of what comes before it, so it parts the others in
  two segments: a pass for each, and one for the means.
- Within a segment saturation and hue commute. Unless brightness comes between
  them they are one "turn", so a segment has none, one or two of those.
"""

from typing import NamedTuple

import tensorflow as tf

from deeplab_contrast.core.augment import compiled, hsv

_BRIGHTNESS, _CONTRAST, _SATURATION, _HUE = range(4)

# Rows are added in so many blocks at once: sums of short columns are slow.
_BLOCKS = 8


class _Segment(NamedTuple):
  """What comes before or after the contrast.

  Attributes:
    count: int32 [], how many turns there are.
    turns: float32 [2, 2], the saturation and the sixths of hue of each.
    bright: float32 [2], the brightness before and after the first turn; 1 where
      there is none.
  """

  count: tf.Tensor
  turns: tf.Tensor
  bright: tf.Tensor


def jitter(image, amounts, order):
  """See `color.jitter`."""
  places = tf.math.invert_permutation(order)
  is_before = places < places[_CONTRAST]
  before = _segment(places, amounts, is_before)
  after = _segment(places, amounts, places > places[_CONTRAST])
  is_compiled = compiled.pays(*image.shape[:2])
  shape = image.shape
  nothing = tf.constant([[1.0] * 3, [0.0] * 3])
  image = tf.cond(
    tf.reduce_any(is_before),
    lambda: _run(image, nothing, before, is_compiled),
    lambda: image,
  )
  image = tf.ensure_shape(image, shape)
  mean = compiled.call(channel_means, is_compiled, image)
  factor = amounts[_CONTRAST]
  contrast = tf.stack([tf.fill([3], factor), (1.0 - factor) * mean])
  return tf.ensure_shape(_run(image, contrast, after, is_compiled), shape)


def channel_means(image):
  """The means of float32 [height, width, 3], float32 [3]."""
  height, width = image.shape[:2]
  if None in (height, width) or height < _BLOCKS:
    return tf.reduce_mean(image, axis=(0, 1))
  rows = tf.reshape(image, [height, width * 3])
  block = height // _BLOCKS
  blocks = [rows[i * block : (i + 1) * block] for i in range(_BLOCKS)]
  sums = tf.reduce_sum(tf.add_n(blocks), axis=0)
  sums += tf.reduce_sum(rows[_BLOCKS * block :], axis=0)
  sums = tf.reduce_sum(tf.reshape(sums, [width, 3]), axis=0)
  return sums / (height * width)


def _segment(places, amounts, is_in):
  bright, saturated, turned = (
    places[i] for i in (_BRIGHTNESS, _SATURATION, _HUE)
  )
  is_between = (bright - saturated) * (bright - turned) < 0
  both, one = is_in[_SATURATION] & is_in[_HUE], is_in[_SATURATION] | is_in[_HUE]
  count = tf.where(both & is_between, 2, tf.where(one, 1, 0))
  saturation = tf.where(is_in[_SATURATION], amounts[_SATURATION], 1.0)
  sixths = tf.where(is_in[_HUE], 6.0 * amounts[_HUE], 0.0)
  turns = tf.where(
    count < 2,
    [[saturation, sixths], [1.0, 0.0]],
    tf.where(
      saturated < turned,
      [[saturation, 0.0], [1.0, sixths]],
      [[1.0, sixths], [saturation, 0.0]],
    ),
  )
  is_late = (is_in[_SATURATION] & (saturated < bright)) | (
    is_in[_HUE] & (turned < bright)
  )
  is_here = is_in[_BRIGHTNESS] & (is_late == [False, True])
  return _Segment(
    count, turns, tf.where(is_here, amounts[_BRIGHTNESS], [1.0, 1.0])
  )


def _run(image, contrast, segment, is_compiled):
  """Contrast, given as factors and offsets [2, 3], then the segment."""
  arguments = image, contrast, segment.turns, segment.bright
  return tf.switch_case(
    segment.count,
    [
      lambda: compiled.call(_no_turn, is_compiled, *arguments),
      lambda: compiled.call(_one_turn, is_compiled, *arguments),
      lambda: compiled.call(_two_turns, is_compiled, *arguments),
    ],
  )


def _no_turn(image, contrast, turns, bright):
  del turns
  return tf.minimum(_affine(image, *tf.unstack(contrast)) * bright[0], 255.0)


def _one_turn(image, contrast, turns, bright):
  planes = _planes(image, contrast)
  planes = [tf.minimum(plane * bright[0], 255.0) for plane in planes]
  pixels = hsv.adjusted(*planes, *tf.unstack(turns[0]))
  return tf.minimum(hsv.channels(pixels) * bright[1], 255.0)


def _two_turns(image, contrast, turns, bright):
  # With two turns, the brightness lies between them.
  pixels = hsv.adjusted(*_planes(image, contrast), *tf.unstack(turns[0]))
  planes = [
    tf.minimum(hsv.channel(*pixels, place) * bright[1], 255.0)
    for place in hsv.PLACES
  ]
  return hsv.channels(hsv.adjusted(*planes, *tf.unstack(turns[1])))


def _planes(image, contrast):
  return [
    _affine(plane, contrast[0, i], contrast[1, i])
    for i, plane in enumerate(tf.unstack(image, axis=-1))
  ]


def _affine(values, factor, offset):
  return tf.clip_by_value(values * factor + offset, 0.0, 255.0)
