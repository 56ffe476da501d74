"""Gaussian blur of one image, as in SimCLR."""

import tensorflow as tf

# Beyond six standard deviations, weights are below float32's precision.
_REACH = 6


def gaussian_blur(
  image: tf.Tensor,
  sigma: tf.Tensor,
  radius: int | tf.Tensor,
  largest_sigma: float,
) -> tf.Tensor:
  """Convolves with a Gaussian of 2 * radius + 1 taps along both axes.

  Outside the image there are zeros, as in SimCLR: the image gets darker within
  about two sigma of its border.

  Args:
    image: float32 [height, width, 3].
    sigma: float32 [], the standard deviation in pixels, above 0.
    radius: int or int32 [], of the kernel.
    largest_sigma: float, upper bound of `sigma`; taps that are then zero to
      float32's precision are left out.

  Returns:
    float32 [height, width, 3].
  """
  reach = tf.minimum(radius, int(_REACH * largest_sigma + 1))
  distances = tf.cast(tf.range(-reach, reach + 1), tf.float32)
  weights = tf.exp(-(distances**2) / (2.0 * sigma**2))
  weights = tf.tile((weights / tf.reduce_sum(weights))[:, tf.newaxis], [1, 3])
  blurred = image[tf.newaxis]
  for axes in (0, 1):
    kernel = tf.expand_dims(weights, axes)[..., tf.newaxis]
    blurred = tf.nn.depthwise_conv2d(blurred, kernel, [1, 1, 1, 1], 'SAME')
  return tf.ensure_shape(blurred[0], image.shape)


def random_blur(
  image: tf.Tensor,
  probability: float,
  sigmas: tuple[float, float],
  kernel: float,
  seed: tf.Tensor,
) -> tf.Tensor:
  """Blurs some images, each with its own sigma.

  Args:
    image: float32 [height, width, 3], 0 to 255.
    probability: float, how often to blur; 0.5 in SimCLR.
    sigmas: (lowest, highest), floats, in pixels; (0.1, 2.0) in SimCLR.
    kernel: float, the width of the kernel as a fraction of the image's height;
      0.1 in SimCLR.
    seed: int32 [2].

  Returns:
    float32 [height, width, 3], 0 to 255.
  """
  seeds = tf.random.split(seed)
  sigma = tf.random.stateless_uniform([], seeds[0], *sigmas)
  height = tf.cast(tf.shape(image)[0], tf.float32)
  radius = tf.cast(height * kernel + 1e-4, tf.int32) // 2
  return tf.cond(
    tf.random.stateless_uniform([], seeds[1]) < probability,
    lambda: gaussian_blur(image, sigma, radius, sigmas[1]),
    lambda: image,
  )
