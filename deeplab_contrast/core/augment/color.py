"""Stateless colour distortion of one image: the labels stay where they are.

Throughout, `image` is float32 [height, width, 3] in 0..255 and so is every
result; `seed` is int32 [2]: the same seed draws the same numbers.

SimCLR defines the steps for values in [0, 1]. Each of them commutes with a
common factor on all channels, so here they run on 0..255 as it is, clipped to
[0, 255] where SimCLR clips to [0, 1]: the same numbers, two passes fewer.
"""

import tensorflow as tf

from deeplab_contrast.core.augment import compiled, hsv
from deeplab_contrast.core.augment import jitter as fused_jitter


def adjust_brightness(image, factor):
  """Multiplies all values by `factor`, at least 0 (SimCLR's second version)."""
  return tf.minimum(image * factor, 255.0)


def adjust_contrast(image, factor):
  """Multiplies the distance of all values to their channel's mean."""
  return tf.clip_by_value(tf.image.adjust_contrast(image, factor), 0.0, 255.0)


def adjust_saturation(image, factor):
  """Multiplies the saturation of HSV, up to pure colours at most."""
  # Not clipped, nor is the hue: the largest channel of a pixel remains, and
  # the smallest stays above 0.
  return hsv.channels(hsv.adjusted(*tf.unstack(image, axis=-1), factor, 0.0))


def adjust_hue(image, turns):
  """Turns the hue of HSV; `turns` in [-1, 1], 1 being the whole wheel."""
  red_green_blue = tf.unstack(image, axis=-1)
  return hsv.channels(hsv.adjusted(*red_green_blue, 1.0, 6.0 * turns))


def grayscale(image):
  """Gives all three channels the luma of the pixel."""
  return compiled.call(_luma, compiled.pays(*image.shape[:2]), image)


def jitter(image, amounts, order):
  """Changes brightness, contrast, saturation and hue, one after the other.

  Args:
    image: float32 [height, width, 3], 0 to 255.
    amounts: float32 [4], the factors of brightness, contrast and saturation
      and the turns of the hue.
    order: int32 [4], a permutation: which of the amounts comes first, ...

  Returns:
    float32 [height, width, 3], 0 to 255, clipped after every step.
  """
  return fused_jitter.jitter(image, amounts, order)


def draw_jitter(strength, seed):
  """Draws the `amounts` and the `order` of `jitter`.

  Factors come from [max(0, 1 - 0.8 strength), 1 + 0.8 strength], turns from
  [-0.2 strength, 0.2 strength], uniformly; all 24 orders are equally likely.
  (SimCLR cuts off at 0 only for brightness: above strength 1.25 its contrast
  and saturation refuse to work.)

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
  image, strength, jitter_probability, gray_probability, seed
):
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


def random_brightness_contrast(image, brightness, contrast, seed):
  """Changes brightness, then contrast, each by a factor drawn uniformly.

  Args:
    image: float32 [height, width, 3], 0 to 255.
    brightness: float b, at least 0: the factor lies in [max(0, 1-b), 1+b]; or
      its (lowest, highest) value.
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


def factor_range(span):
  """The (lowest, highest) factor that a number or a pair stands for."""
  if isinstance(span, (tuple, list)):
    return tuple(map(float, span))
  return max(0.0, 1.0 - span), 1.0 + span


def _brightness_contrast(image, factors):
  bright = adjust_brightness(image, factors[0])
  mean = fused_jitter.channel_means(bright)
  changed = bright * factors[1] + (1.0 - factors[1]) * mean
  return tf.clip_by_value(changed, 0.0, 255.0)


def _luma(image):
  red, green, blue = tf.unstack(image, axis=-1)
  luma = 0.2989 * red + 0.587 * green + 0.114 * blue
  return tf.broadcast_to(luma[..., tf.newaxis], tf.shape(image))


def _uniform(low, high, seed):
  """Draws one float32 for each pair of bounds."""
  low, high = tf.constant(low), tf.constant(high)
  return low + (high - low) * tf.random.stateless_uniform(low.shape, seed)
