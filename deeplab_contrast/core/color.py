"""Stateless colour distortion of one image: the labels stay where they are.

Throughout, `image` is float32 [height, width, 3] in 0..255 and so is every
result; `seed` is int32 [2]: the same seed draws the same numbers.

SimCLR defines the steps for values in [0, 1]. Each of them commutes with a
common factor on all channels, so here they run on 0..255 as it is, clipped to
[0, 255] where SimCLR clips to [0, 1]: the same numbers, two passes fewer.
"""

import tensorflow as tf


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
  return tf.image.adjust_saturation(image, factor)


def adjust_hue(image, turns):
  """Turns the hue of HSV; `turns` in [-1, 1], 1 being the whole wheel."""
  return tf.image.adjust_hue(image, turns)


def grayscale(image):
  """Gives all three channels the luma of the pixel."""
  return tf.image.grayscale_to_rgb(tf.image.rgb_to_grayscale(image))


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
  steps = (adjust_brightness, adjust_contrast, adjust_saturation, adjust_hue)
  for position in range(4):
    # The image as a default argument: each branch keeps that of its position.
    branches = [
      lambda i=i, step=step, image=image: step(image, amounts[i])
      for i, step in enumerate(steps)
    ]
    image = tf.switch_case(order[position], branches)
  return image


def draw_jitter(strength, seed):
  """Draws the `amounts` and the `order` of `jitter`.

  Factors come from [max(0, 1 - 0.8 strength), 1 + 0.8 strength], turns from
  [-0.2 strength, 0.2 strength], uniformly; all 24 orders are equally likely.

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
  seeds = tf.random.split(seed, 3)
  chances = tf.random.stateless_uniform([2], seeds[0])
  image = tf.cond(
    chances[0] < jitter_probability,
    lambda: jitter(image, *draw_jitter(strength, seeds[1])),
    lambda: image,
  )
  return tf.cond(
    chances[1] < gray_probability, lambda: grayscale(image), lambda: image
  )


def random_brightness_contrast(image, brightness, contrast, seed):
  """Changes brightness, then contrast, each by a factor drawn uniformly.

  Args:
    image: float32 [height, width, 3], 0 to 255.
    brightness: float b, at least 0; the factor lies in [max(0, 1-b), 1+b].
    contrast: float, the same for the contrast.
    seed: int32 [2].

  Returns:
    float32 [height, width, 3], 0 to 255, clipped after each change.
  """
  spans = (brightness, contrast)
  low = [max(0.0, 1.0 - span) for span in spans]
  factors = _uniform(low, [1.0 + span for span in spans], seed)
  return adjust_contrast(adjust_brightness(image, factors[0]), factors[1])


def _uniform(low, high, seed):
  """Draws one float32 for each pair of bounds."""
  low, high = tf.constant(low), tf.constant(high)
  return low + (high - low) * tf.random.stateless_uniform(low.shape, seed)
