"""Stateless colour distortion of one image; labels do not change.

Throughout, `image` is float32 [height, width, 3] in 0..255 and so is every
result; `seed` is int32 [2]: the same seed draws the same numbers.

SimCLR defines the steps for values in [0, 1]. Each of them commutes with a
common factor on all channels, so here they run directly on 0..255, clipped to
[0, 255] where SimCLR clips to [0, 1]: the same numbers, two passes fewer.

Run one by one, the four steps of the jitter take about twelve passes over
memory. Here they take fewer:

- Contrast needs the means of what comes before it, so it divides the other
  steps into two segments: one pass for each, and one for the means.
- Within a segment saturation and hue commute. Unless brightness comes between
  them they are one "turn" in HSV, so a segment has zero, one or two turns.
"""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from deeplab_contrast.core.augment import compiled, hsv

_BRIGHTNESS, _CONTRAST, _SATURATION, _HUE = range(4)

# Rows are added up in this many blocks at once: sums of short columns are slow.
_BLOCKS = 8


class _Segment(NamedTuple):
  """The steps before or after the contrast.

  Attributes:
    count: int32 [], how many turns there are.
    turns: float32 [2, 2], the saturation and the sixths of hue of each.
    bright: float32 [2], the brightness before and after the first turn; 1 for
      none.
  """

  count: tf.Tensor
  turns: tf.Tensor
  bright: tf.Tensor


def grayscale(image: tf.Tensor) -> tf.Tensor:
  """Sets all three channels to the luma of the pixel."""
  return compiled.call(_luma, compiled.pays(*image.shape[:2]), image)


def jitter(image: tf.Tensor, amounts: tf.Tensor, order: tf.Tensor) -> tf.Tensor:
  """Changes brightness, contrast, saturation and hue in the given order.

  Args:
    image: float32 [height, width, 3], 0 to 255.
    amounts: float32 [4], the factors of brightness, contrast and saturation
      and the turns of the hue.
    order: int32 [4], a permutation: the index of the amount that is applied
      first, and so on.

  Returns:
    float32 [height, width, 3], 0 to 255, clipped after every step.
  """
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
  mean = compiled.call(_channel_means, is_compiled, image)
  factor = amounts[_CONTRAST]
  contrast = tf.stack([tf.fill([3], factor), (1.0 - factor) * mean])
  return tf.ensure_shape(_run(image, contrast, after, is_compiled), shape)


def draw_jitter(
  strength: float, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
  """Draws the `amounts` and the `order` of `jitter`.

  Factors are uniform in [max(0, 1 - 0.8 strength), 1 + 0.8 strength], turns in
  [-0.2 strength, 0.2 strength]; all 24 orders are equally likely.
  (SimCLR limits only brightness to at least 0: above strength 1.25 its contrast
  and saturation fail.)

  Args:
    strength: float, SimCLR's colour jitter strength; its default is 1.
    seed: int32 [2].

  Returns:
    float32 [4] and int32 [4].
  """
  seeds = tf.random.split(seed)
  span, turns = 0.8 * strength, 0.2 * strength
  low = [max(0.0, 1.0 - span)] * 3 + [-turns]
  high = [1.0 + span] * 3 + [turns]
  order = tf.random.experimental.stateless_shuffle(tf.range(4), seeds[1])
  return _uniform(low, high, seeds[0]), order


def random_distortion(
  image: tf.Tensor,
  strength: float,
  jitter_probability: float,
  gray_probability: float,
  seed: tf.Tensor,
) -> tf.Tensor:
  """Distorts colours as SimCLR does: jitter in random order, then gray.

  Args:
    image: float32 [height, width, 3], 0 to 255.
    strength: float, from 0 (jitter changes nothing) to 2.5 (any hue).
    jitter_probability: float, how often to jitter; 0.8 in SimCLR.
    gray_probability: float, how often to drop the colour; 0.2 in SimCLR.
    seed: int32 [2].

  Returns:
    float32 [height, width, 3], 0 to 255.
  """
  shape = image.shape
  seeds = tf.random.split(seed, 3)
  chances = tf.random.stateless_uniform([2], seeds[0])
  image = tf.cond(
    chances[0] < jitter_probability,
    lambda: jitter(image, *draw_jitter(strength, seeds[1])),
    lambda: image,
  )
  image = tf.cond(
    chances[1] < gray_probability, lambda: grayscale(image), lambda: image
  )
  return tf.ensure_shape(image, shape)


def random_brightness_contrast(
  image: tf.Tensor,
  brightness: float | Sequence[float],
  contrast: float | Sequence[float],
  seed: tf.Tensor,
) -> tf.Tensor:
  """Changes brightness, then contrast, each by a factor drawn uniformly.

  Args:
    image: float32 [height, width, 3], 0 to 255.
    brightness: float b, at least 0: the factor is in [max(0, 1-b), 1+b]; or its
      (lowest, highest) value.
    contrast: the same for the contrast.
    seed: int32 [2].

  Returns:
    float32 [height, width, 3], 0 to 255, clipped after each change.
  """
  low, high = zip(factor_range(brightness), factor_range(contrast), strict=True)
  factors = _uniform(low, high, seed)
  is_compiled = compiled.pays(*image.shape[:2])
  changed = compiled.call(_brightness_contrast, is_compiled, image, factors)
  return tf.ensure_shape(changed, image.shape)


def factor_range(span: float | Sequence[float]) -> tuple[float, float]:
  """The (lowest, highest) factor given by a number or a pair."""
  if isinstance(span, (int, float)):
    return max(0.0, 1.0 - span), 1.0 + span
  low, high = span
  return float(low), float(high)


def _brightness_contrast(image, factors):
  bright = tf.minimum(image * factors[0], 255.0)
  mean = _channel_means(bright)
  changed = bright * factors[1] + (1.0 - factors[1]) * mean
  return tf.clip_by_value(changed, 0.0, 255.0)


def _luma(image):
  red, green, blue = tf.unstack(image, axis=-1)
  luma = 0.2989 * red + 0.587 * green + 0.114 * blue
  return tf.broadcast_to(luma[..., tf.newaxis], tf.shape(image))


def _uniform(low, high, seed):
  """Draws a float32 for each pair of bounds."""
  low, high = tf.constant(low), tf.constant(high)
  return low + (high - low) * tf.random.stateless_uniform(low.shape, seed)


def _channel_means(image):
  """The mean of each channel of float32 [height, width, 3]: float32 [3]."""
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
  """Applies contrast, given as factors and offsets [2, 3], then the segment."""
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
  # With two turns, the brightness is between them.
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
