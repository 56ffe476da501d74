import colorsys
import itertools

import numpy as np
import pytest
import tensorflow as tf

from deeplab_contrast.core.augment import color, compiled
from tests.both_ways import both_ways, draws

SEED = np.array([3, 4], np.int32)


def colors(height=9, width=8):
  """Random pixels, and pure, gray, black and white ones: edge cases of HSV."""
  rng = np.random.default_rng(5)
  image = rng.uniform(0, 255, (height, width, 3)).astype(np.float32)
  corners = list(itertools.product([0, 255], repeat=3))
  image[0, :8] = corners
  image[1] = image[1, :, :1]
  return image


def by_pixel(function, image):
  """Applies an (r, g, b) -> (r, g, b) function on [0, 1] to an image."""
  pixels = [function(*pixel) for pixel in image.reshape(-1, 3).astype(float)]
  return np.array(pixels).reshape(image.shape)


def brightness_by_hand(image, factor):
  return np.clip(image * factor, 0, 1)


def contrast_by_hand(image, factor):
  mean = image.mean(axis=(0, 1))
  return np.clip(mean + (image - mean) * factor, 0, 1)


def saturation_by_hand(image, factor):
  def change(*rgb):
    h, s, v = colorsys.rgb_to_hsv(*rgb)
    return colorsys.hsv_to_rgb(h, min(1, s * factor), v)

  return by_pixel(change, image)


def hue_by_hand(image, turns):
  def change(*rgb):
    h, s, v = colorsys.rgb_to_hsv(*rgb)
    return colorsys.hsv_to_rgb((h + turns) % 1, s, v)

  return by_pixel(change, image)


def gray_by_hand(image):
  luma = image @ [0.2989, 0.587, 0.114]
  return np.stack([luma] * 3, axis=-1)


BY_HAND = (
  brightness_by_hand,
  contrast_by_hand,
  saturation_by_hand,
  hue_by_hand,
)


def assert_equals_unit(image, unit_image):
  """Compares an image of 0..255 with its reference in [0, 1]."""
  assert image.dtype == np.float32
  assert image.min() >= 0 and image.max() <= 255
  np.testing.assert_allclose(image / 255, unit_image, atol=1e-5)


def test_gray_equals_numpy():
  image = colors()
  for result in both_ways(lambda e: color.grayscale(e['i']), {'i': image}):
    assert_equals_unit(result, gray_by_hand(image / 255))


def jitter_by_hand(unit_image, amounts, order):
  for step in order:
    unit_image = BY_HAND[step](unit_image, amounts[step])
  return unit_image


@pytest.mark.parametrize(
  'amounts', [(1.6, 1.5, 0.4, 0.15), (0.3, 1.8, 1.7, 0), (1, 0, 0, -0.5)]
)
def test_jitter_equals_numpy_in_all_orders(amounts):
  image = colors()
  orders = np.int32(list(itertools.permutations(range(4))))
  results = tf.data.Dataset.from_tensor_slices(orders).map(
    lambda order: color.jitter(image, tf.constant(amounts), order)
  )
  for order, result in zip(orders, results, strict=True):
    expected = jitter_by_hand(image / 255, amounts, order)
    assert_equals_unit(result.numpy(), expected)


def test_compiled_colours_are_those_of_small_images():
  side = 257
  assert side**2 >= compiled.LEAST_PIXELS
  image = np.tile(colors(), (29, 33, 1))[:side, :side]
  amounts = np.float32([1.3, 1.5, 1.4, 0.15])
  # None, one and two turns of the hue on either side of the contrast.
  orders = np.int32([(0, 1, 2, 3), (2, 0, 3, 1), (3, 1, 2, 0)])

  def change(order):
    return (
      color.jitter(image, amounts, order),
      color.grayscale(image),
      color.random_brightness_contrast(image, 0.5, 0.5, order[:2]),
    )

  # Graphs of a known size are compiled, eager calls are not.
  results = tf.data.Dataset.from_tensor_slices(orders).map(
    lambda order: tuple(
      tf.ensure_shape(x, (side, side, 3)) for x in change(order)
    )
  )
  for order, result in zip(orders, results, strict=True):
    for ours, eager in zip(result, change(order), strict=True):
      np.testing.assert_allclose(ours, eager, atol=5e-3)


@pytest.mark.parametrize('order', [(2, 0, 3, 1), (1, 3, 0, 2)])
def test_jitter_follows_the_order_and_clips_between(order):
  image, amounts = colors(), (1.6, 1.5, 0.4, 0.15)
  expected = jitter_by_hand(image / 255, amounts, order)
  # The order is a tensor in the graph, as a drawn one is.
  example = {
    'i': image,
    'amounts': np.float32(amounts),
    'order': np.int32(order),
  }
  for result in both_ways(
    lambda e: color.jitter(e['i'], e['amounts'], e['order']), example
  ):
    assert_equals_unit(result, expected)


def test_orders_of_jitter_are_all_reached_alike():
  _, orders = draws(lambda seed: color.draw_jitter(1.0, seed), 2400)
  values, counts = np.unique(orders, axis=0, return_counts=True)
  assert {tuple(v) for v in values} == set(itertools.permutations(range(4)))
  assert counts.min() > 60 and counts.max() < 150  # 100 expected.


@pytest.mark.parametrize(
  'strength, low, high',
  [
    (1.0, (0.2, 0.2, 0.2, -0.2), (1.8, 1.8, 1.8, 0.2)),
    (0.5, (0.6, 0.6, 0.6, -0.1), (1.4, 1.4, 1.4, 0.1)),
    (2.0, (0.0, 0.0, 0.0, -0.4), (2.6, 2.6, 2.6, 0.4)),
    (0.0, (1.0, 1.0, 1.0, 0.0), (1.0, 1.0, 1.0, 0.0)),
  ],
)
def test_amounts_of_jitter_fill_their_ranges(strength, low, high):
  amounts, _ = draws(lambda seed: color.draw_jitter(strength, seed), 600)
  near = 0.02 * (np.array(high) - low) + 1e-6
  assert (amounts >= np.array(low) - 1e-6).all()
  assert (amounts <= np.array(high) + 1e-6).all()
  assert (amounts.min(axis=0) < low + near).all()
  assert (amounts.max(axis=0) > high - near).all()


def test_amounts_of_jitter_are_independent():
  amounts, _ = draws(lambda seed: color.draw_jitter(1.0, seed), 600)
  correlation = np.corrcoef(amounts.T) - np.eye(4)
  assert abs(correlation).max() < 0.15


def test_distortion_has_the_given_probability():
  image = colors(2, 8)
  results = draws(
    lambda seed: color.random_distortion(image, 1.0, 0.8, 0.2, seed), 1000
  )
  is_gray = np.ptp(results, axis=-1).max(axis=(1, 2)) < 1e-3
  gray = gray_by_hand(image)
  same = abs(results - image).max(axis=(1, 2, 3)) == 0
  only_gray = abs(results - gray).max(axis=(1, 2, 3)) < 1e-3
  assert 0.16 < is_gray.mean() < 0.24  # 0.2 expected.
  assert 0.12 < same.mean() < 0.20  # 0.2 * 0.8.
  assert 0.02 < only_gray.mean() < 0.07  # 0.2 * 0.2.


def test_distortion_stays_within_the_values_of_an_image():
  image = colors()
  results = draws(
    lambda seed: color.random_distortion(image, 2.5, 1.0, 0.1, seed), 300
  )
  assert results.min() >= 0 and results.max() <= 255
  assert np.isfinite(results).all()


def test_distortion_off_changes_nothing():
  image = colors()
  for result in both_ways(
    lambda e: color.random_distortion(e['i'], 1.0, 0.0, 0.0, SEED), {'i': image}
  ):
    np.testing.assert_array_equal(result, image)


def test_distortion_is_a_function_of_its_seed():
  image = colors()

  def distort(example):
    return color.random_distortion(example['i'], 1.0, 1.0, 0.0, example['seed'])

  eager, graph = both_ways(distort, {'i': image, 'seed': SEED})
  np.testing.assert_allclose(eager, graph, atol=1e-3)
  other = distort({'i': image, 'seed': SEED + 1})
  assert abs(eager - other.numpy()).max() > 1


def test_brightness_contrast_equals_numpy_for_its_factors():
  # The two factors can be read off a gray ramp: its slope and its middle.
  ramp = np.linspace(100, 140, 9, dtype=np.float32)
  image = np.stack([np.stack([ramp] * 3, -1)] * 2)
  results = draws(
    lambda seed: color.random_brightness_contrast(image, 0.4, 0.2, seed), 500
  )
  middle = results[:, 0, 4, 0]
  slope = (results[:, 0, -1, 0] - results[:, 0, 0, 0]) / 40
  brightness = middle / 120
  contrast = slope / brightness
  assert 0.6 <= brightness.min() < 0.62 and 1.38 < brightness.max() <= 1.4
  assert 0.799 < contrast.min() < 0.81 and 1.19 < contrast.max() < 1.201
  expected = np.clip(image[None] * brightness[:, None, None, None], 0, 255)
  mean = expected.mean(axis=(1, 2), keepdims=True)
  expected = mean + (expected - mean) * contrast[:, None, None, None]
  np.testing.assert_allclose(results, np.clip(expected, 0, 255), atol=1e-2)


def test_brightness_beyond_one_makes_no_negative_factor():
  image = np.full((2, 2, 3), 100, np.float32)
  results = draws(
    lambda seed: color.random_brightness_contrast(image, 3.0, 3.0, seed), 300
  )
  assert results.max() <= 255
  assert np.mean(results == 0) < 0.01


def test_brightness_contrast_of_zero_changes_nothing():
  image = colors()
  for result in both_ways(
    lambda e: color.random_brightness_contrast(e['i'], 0.0, 0.0, SEED),
    {'i': image},
  ):
    np.testing.assert_allclose(result, image, atol=1e-3)


def test_brightness_and_contrast_take_ranges():
  image = np.full((2, 2, 3), 100, np.float32)
  results = draws(
    lambda seed: color.random_brightness_contrast(
      image, (0.9, 1.4), (1.0, 1.0), seed
    ),
    300,
  )
  assert 90 <= results.min() < 92 and 138 < results.max() <= 140.001
