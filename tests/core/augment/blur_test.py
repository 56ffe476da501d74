import numpy as np
import pytest

from deeplab_contrast.core.augment import blur
from tests.both_ways import both_ways, draws


def by_hand(image, sigma, radius):
  """Loops over taps, with zeros outside."""
  taps = np.arange(-radius, radius + 1)
  weights = np.exp(-(taps**2) / (2 * sigma**2))
  weights /= weights.sum()
  for axis in (0, 1):
    edges = [(0, 0)] * 3
    edges[axis] = (radius, radius)
    padded = np.pad(image, edges)
    count = image.shape[axis]
    image = sum(
      w * np.take(padded, range(k, k + count), axis)
      for k, w in enumerate(weights)
    )
  return image


def noise(height=30, width=21):
  rng = np.random.default_rng(1)
  return rng.uniform(0, 255, (height, width, 3)).astype(np.float32)


@pytest.mark.parametrize('sigma, radius', [(0.1, 3), (0.7, 2), (2.0, 25)])
def test_blur_equals_numpy(sigma, radius):
  image = noise()
  op = lambda e: blur.gaussian_blur(e['i'], sigma, radius, 2.0)  # noqa: E731
  for result in both_ways(op, {'i': image}):
    expected = by_hand(image.astype(float), sigma, radius)
    np.testing.assert_allclose(result, expected, atol=2e-3)


def test_blur_has_the_given_probability_and_many_sigmas():
  image = noise(20, 4)
  results = draws(
    lambda seed: blur.random_blur(image, 0.5, (0.1, 2.0), 0.1, seed), 300
  )
  same = abs(results - image).max(axis=(1, 2, 3)) < 1e-3
  assert 0.4 < same.mean() < 0.65  # 0.5, and the smallest sigmas.
  assert len(np.unique(results[~same][:, 9, 1, 0])) > 100
  assert results.min() >= 0 and results.max() <= 255.001


def test_the_kernel_is_a_tenth_of_the_height():
  image = np.zeros((60, 9, 3), np.float32)
  image[30, 4] = 255
  results = draws(
    lambda seed: blur.random_blur(image, 1.0, (2.0, 2.0), 0.1, seed), 2
  )
  rows = np.nonzero(results[0][:, 4, 0])[0]
  assert list(rows) == list(range(27, 34))  # Radius 60 / 10 / 2.


def test_an_image_of_one_pixel_stays():
  image = np.full((1, 1, 3), 9, np.float32)
  for result in both_ways(
    lambda e: blur.random_blur(e['i'], 1.0, (0.1, 2.0), 0.1, [1, 2]),
    {'i': image},
  ):
    np.testing.assert_allclose(result, image)
