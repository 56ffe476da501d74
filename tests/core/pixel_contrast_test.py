import math

import numpy as np
import pytest
import tensorflow as tf

from deeplab_contrast import common
from deeplab_contrast.core import pixel_contrast

IGNORE = common.IGNORE_LABEL
# The labels of the released code's test; its two ignored ids become ours.
LABELS = np.array([IGNORE] * 4 + [1] * 4 + [2] * 4 + [3] * 4)


def by_hand(f, g, y, temperature):
  """Eq. 1 for one image, pixel by pixel, in float64."""
  pixels = [p for p in range(len(y)) if y[p] != IGNORE]
  total = 0.0
  for p in pixels:
    s = {k: float(np.dot(f[p], g[k])) / temperature for k in pixels}
    top = max(s.values())
    denominator = top + math.log(sum(math.exp(s[k] - top) for k in pixels))
    same = [q for q in pixels if y[q] == y[p]]
    total -= sum(s[q] - denominator for q in same) / len(same)
  return total / len(pixels) if pixels else 0.0


def unit(x):
  return x / np.linalg.norm(x, axis=-1, keepdims=True)


def random_case(seed, batch=2, pixels=20, channels=5, classes=4):
  rng = np.random.default_rng(seed)
  f, g = unit(rng.normal(size=(2, batch, pixels, channels)))
  y = rng.integers(0, classes, (batch, pixels))
  y[rng.random(y.shape) < 0.2] = IGNORE
  return f, g, y


def loss_of(f, g, y, temperature=0.07):
  total, count = pixel_contrast.within_image(
    tf.constant(f, tf.float32),
    tf.constant(g, tf.float32),
    tf.constant(y),
    temperature,
  )
  return float(total), float(count)


@pytest.mark.parametrize('temperature', [0.01, 0.07, 1.0])
@pytest.mark.parametrize('seed', range(3))
def test_equals_double_loop(seed, temperature):
  f, g, y = random_case(seed)
  total, count = loss_of(f, g, y, temperature)
  expected = sum(
    by_hand(*case, temperature) for case in zip(f, g, y, strict=True)
  )
  np.testing.assert_allclose(total, expected, rtol=1e-5)
  assert count == 2


@pytest.mark.parametrize('scale, value', [(1, 2.920122147), (2, 4.107591943)])
def test_golden_value(scale, value):
  feature = LABELS.reshape(1, 16, 1).astype(float)
  total, _ = loss_of(feature, scale * feature, LABELS[None], 1.0)
  np.testing.assert_allclose(total, value, rtol=1e-6)


def test_golden_unit_angles():
  def directions(a):
    return np.stack([np.cos(a), np.sin(a)], -1)[None]

  f, g = directions(0.5 * LABELS), directions(0.6 * LABELS)
  total, _ = loss_of(f, g, LABELS[None])
  np.testing.assert_allclose(total, 1.754354848, rtol=1e-5)


def test_equal_features_give_log_of_pixels():
  y = np.array([[0] * 30 + [1] * 20 + [IGNORE] * 14])
  f = np.ones((1, 64, 1))
  np.testing.assert_allclose(loss_of(f, f, y)[0], np.log(50), rtol=1e-6)


def test_order_of_pixels_and_names_of_classes_do_not_matter():
  f, g, y = random_case(5, batch=1)
  order = np.random.default_rng(1).permutation(y.shape[1])
  renamed = np.where(y == IGNORE, IGNORE, (y + 1) % 4 + 10)
  expected = loss_of(f, g, y)[0]
  for case in ((f[:, order], g[:, order], y[:, order]), (f, g, renamed)):
    np.testing.assert_allclose(loss_of(*case)[0], expected, rtol=1e-5)


def gradients(f, g, y, temperature=0.07):
  f, g = tf.constant(f, tf.float32), tf.constant(g, tf.float32)
  with tf.GradientTape() as tape:
    tape.watch([f, g])
    total, _ = pixel_contrast.within_image(f, g, tf.constant(y), temperature)
  return [x.numpy() for x in tape.gradient(total, [f, g])]


def test_gradient_equals_central_differences():
  f, g, y = random_case(7, batch=1, pixels=8, channels=3)
  for side, gradient in enumerate(gradients(f, g, y, 0.5)):
    for place in np.ndindex(*gradient.shape):
      values = []
      for sign in (1e-5, -1e-5):
        moved = [f.copy(), g.copy()]
        moved[side][place] += sign
        values.append(by_hand(moved[0][0], moved[1][0], y[0], 0.5))
      expected = (values[0] - values[1]) / 2e-5
      np.testing.assert_allclose(gradient[place], expected, atol=1e-4)


def test_ignored_pixels_have_no_gradient():
  f, g, y = random_case(9)
  for gradient in gradients(f, g, y):
    np.testing.assert_array_equal(gradient[y == IGNORE], 0.0)
    assert np.abs(gradient[y != IGNORE]).min() > 0


def test_all_ignored_image_counts_as_nothing():
  f, g, y = random_case(11)
  y[1] = IGNORE
  total, count = loss_of(f, g, y)
  np.testing.assert_allclose(total, by_hand(f[0], g[0], y[0], 0.07), rtol=1e-5)
  assert count == 1
  y[:] = IGNORE
  assert loss_of(f, g, y) == (0.0, 0.0)
  assert all(np.all(x == 0) for x in gradients(f, g, y))


def test_maps_are_flattened_per_image():
  f, g, y = random_case(3, pixels=12)
  maps = [tf.constant(x.reshape(2, 3, 4, 5), tf.float32) for x in (f, g)]
  total, count = pixel_contrast.WithinImage(0.2)(
    *maps, tf.constant(y.reshape(2, 3, 4))
  )
  np.testing.assert_allclose(float(total), loss_of(f, g, y, 0.2)[0], rtol=1e-6)
  assert float(count) == 2


def test_compiles_under_xla():
  f, g, y = random_case(13)
  compiled = tf.function(pixel_contrast.within_image, jit_compile=True)
  total, _ = compiled(
    tf.constant(f, tf.float32), tf.constant(g, tf.float32), tf.constant(y), 0.07
  )
  np.testing.assert_allclose(float(total), loss_of(f, g, y)[0], rtol=1e-5)


def test_bad_temperature_is_refused():
  with pytest.raises(ValueError, match='temperature is 0'):
    pixel_contrast.WithinImage(0)
