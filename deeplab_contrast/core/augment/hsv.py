"""Changes hue and saturation of HSV, without a conversion to HSV and back.

A pixel is described by its largest channel `value`, its smallest channel `low`,
their difference `span`, and its hue in sixths of the colour wheel. Saturation
scales the span down from the value; the hue determines where between `low` and
`value` each channel is. The two commute, and neither changes the value.
"""

from collections.abc import Sequence

import tensorflow as tf

# The positions of red, green and blue on the colour wheel, in sixths.
PLACES = (0.0, 4.0, 2.0)


def adjusted(
  red: tf.Tensor,
  green: tf.Tensor,
  blue: tf.Tensor,
  saturation: tf.Tensor,
  sixths: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
  """The `low`, `span` and `hue` of pixels after changing saturation and hue.

  Args:
    red: float32 of any shape, at least 0; the same for `green` and `blue`.
    green: see red.
    blue: see red.
    saturation: float32 [], the factor; pure colours stay pure.
    sixths: float32 [], added to the hue; in [-6, 6].

  Returns:
    Three float32 of that shape, the arguments of `channel`.
  """
  value = tf.maximum(red, tf.maximum(green, blue))
  span = value - tf.minimum(red, tf.minimum(green, blue))
  is_red, is_green = red >= value, green >= value
  difference = tf.where(
    is_red, green - blue, tf.where(is_green, blue - red, red - green)
  )
  sector = tf.where(is_red, 0.0, tf.where(is_green, 2.0, 4.0))
  hue = difference / tf.maximum(span, 1e-9) + sector + sixths
  span = tf.minimum(span * saturation, value)
  return value - span, span, hue


def channel(
  low: tf.Tensor, span: tf.Tensor, hue: tf.Tensor, place: float | tf.Tensor
) -> tf.Tensor:
  """One channel of such pixels; `place` is one of PLACES, or broadcasts."""
  distance = hue + place
  distance -= 6.0 * tf.floor(distance * (1 / 6))
  return low + span * tf.clip_by_value(tf.abs(distance - 3.0) - 1.0, 0.0, 1.0)


def channels(pixels: Sequence[tf.Tensor]) -> tf.Tensor:
  """All channels of such pixels at once.

  Args:
    pixels: three float32 [...]: low, span, hue.

  Returns:
    float32 [..., 3].
  """
  low, span, hue = (x[..., tf.newaxis] for x in pixels)
  return channel(low, span, hue, tf.constant(PLACES))
