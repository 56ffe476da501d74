import numpy as np
import pytest
import tensorflow as tf

from deeplab_contrast import common
from deeplab_contrast.core.losses import pixel_contrast, pixel_selection
from tests import contrast_oracle as oracle

IGNORE = common.IGNORE_LABEL
# The labels of the released code's test; its two ignored ids become ours.
LABELS = np.array([IGNORE] * 4 + [1] * 4 + [2] * 4 + [3] * 4)
SEED = (3, 4)
LOSSES = {
  'within': pixel_contrast.WithinImage,
  'cross': pixel_contrast.CrossImage,
  'batch': pixel_contrast.Batch,
  'released_within': pixel_contrast.ReleasedWithin,
  'released_cross': pixel_contrast.ReleasedCross,
}


def as_maps(f, g, y):
  """[batch, pixels(, channels)] as maps one pixel high, as losses take them."""
  features = [tf.constant(x[:, None], tf.float32) for x in (f, g)]
  return *features, tf.constant(y[:, None], tf.int32)


def loss_of(loss, f, g, y, seed=SEED):
  total, count = loss(*as_maps(f, g, y), seed)
  return float(total), float(count)


def ring(batch):
  return pixel_contrast._next_in_ring(batch, SEED).numpy()


def expected(name, f, g, y, temperature):
  """The oracle's losses, one for each set."""
  if name == 'within':
    return oracle.within_image(f, g, y, temperature)
  if name == 'cross':
    return oracle.cross_image(f, g, y, temperature, ring(len(y)))
  if name == 'batch':
    bag = [x.reshape(1, -1, *x.shape[2:]) for x in (f, g, y)]
    return oracle.within_image(*bag, temperature)
  if name == 'released_within':
    return oracle.released_within(f, g, y, temperature)
  order = pixel_contrast._shuffled(len(y), SEED).numpy()
  return oracle.released_cross(f, g, y, temperature, order)


@pytest.mark.parametrize('temperature', [0.01, 0.07, 1.0])
@pytest.mark.parametrize('name', LOSSES)
def test_equals_double_loop(name, temperature):
  f, g, y = oracle.random_case(0, batch=3)
  total, count = loss_of(LOSSES[name](temperature), f, g, y)
  losses = expected(name, f, g, y, temperature)
  np.testing.assert_allclose(total, sum(losses), rtol=1e-5)
  assert count == len(losses)


@pytest.mark.parametrize('name', LOSSES)
def test_one_image_alone(name):
  f, g, y = oracle.random_case(3, batch=1)
  total, count = loss_of(LOSSES[name](), f, g, y)
  np.testing.assert_allclose(total, expected(name, f, g, y, 0.07), rtol=1e-5)
  assert count == 1


@pytest.mark.parametrize('scale, value', [(1, 2.920122147), (2, 4.107591943)])
def test_golden_value(scale, value):
  feature = LABELS.reshape(1, 16, 1).astype(float)
  loss = pixel_contrast.WithinImage(1.0)
  total, _ = loss_of(loss, feature, scale * feature, LABELS[None])
  np.testing.assert_allclose(total, value, rtol=1e-6)


def golden_pair():
  """Two images whose feature is the label itself, not of unit length."""
  feature = np.where(LABELS == IGNORE, -1, LABELS).reshape(1, 16, 1)
  return np.repeat(feature, 2, 0).astype(float), np.repeat(LABELS[None], 2, 0)


def test_golden_released_within():
  f, y = golden_pair()
  total, count = loss_of(pixel_contrast.ReleasedWithin(1.0), f, f, y)
  assert count == 2
  # The published value is that of one view; the loss adds up two.
  np.testing.assert_allclose(total / count / 2, 2.4503216, rtol=1e-6)


@pytest.mark.parametrize('scales', [(1, 2), (2, 1)])
def test_golden_released_cross(scales):
  f, y = golden_pair()
  views = [scale * f for scale in scales]
  total, count = loss_of(pixel_contrast.ReleasedCross(1.0), *views, y)
  np.testing.assert_allclose(total / count, 5.46027374, rtol=1e-6)


def test_golden_cross_image():
  # Image 0 has the features y and 2y; its partner's twin is 3y.
  f, y = golden_pair()
  scale = np.array([2.0, 3.0]).reshape(2, 1, 1)
  losses = oracle.cross_image(f, scale * f, y, 1.0, (1, 0))
  np.testing.assert_allclose(losses[0], 5.015539587, rtol=1e-8)
  total, _ = loss_of(pixel_contrast.CrossImage(1.0), f, scale * f, y)
  np.testing.assert_allclose(total, sum(losses), rtol=1e-6)


def directions(angles):
  return np.stack([np.cos(angles), np.sin(angles)], -1)[None]


def test_golden_unit_angles():
  f, g = directions(0.5 * LABELS), directions(0.6 * LABELS)
  total, _ = loss_of(pixel_contrast.WithinImage(), f, g, LABELS[None])
  np.testing.assert_allclose(total, 1.754354848, rtol=1e-5)
  total, _ = loss_of(pixel_contrast.ReleasedWithin(), f, f, LABELS[None])
  np.testing.assert_allclose(total / 2, 0.645042183, rtol=1e-5)


def test_equal_features_give_log_of_pixels():
  y = np.array([[0] * 30 + [1] * 20 + [IGNORE] * 14])
  f = np.ones((1, 64, 1))
  total, _ = loss_of(pixel_contrast.WithinImage(), f, f, y)
  np.testing.assert_allclose(total, np.log(50), rtol=1e-6)


@pytest.mark.parametrize('name', LOSSES)
def test_order_of_pixels_and_names_of_classes_do_not_matter(name):
  f, g, y = oracle.random_case(5)
  order = np.random.default_rng(1).permutation(y.shape[1])
  renamed = np.where(y == IGNORE, IGNORE, (y + 1) % 4 + 250)
  loss = LOSSES[name]()
  first = loss_of(loss, f, g, y)[0]
  for case in ((f[:, order], g[:, order], y[:, order]), (f, g, renamed)):
    np.testing.assert_allclose(loss_of(loss, *case)[0], first, rtol=1e-5)


def gradients(loss, f, g, y):
  f, g, y = as_maps(f, g, y)
  with tf.GradientTape() as tape:
    tape.watch([f, g])
    total, _ = loss(f, g, y, SEED)
  found = tape.gradient(total, [f, g])
  return [np.squeeze(x.numpy(), 1) for x in found]


@pytest.mark.parametrize('name', LOSSES)
def test_gradient_equals_central_differences(name):
  # Large scores; pair_kernel_test has those of a higher temperature.
  temperature = 0.02
  *views, y = oracle.random_case(7, pixels=6, channels=2, classes=3)
  found = gradients(LOSSES[name](temperature), *views, y)
  step = 1e-6
  for side, gradient in enumerate(found):
    largest = np.abs(gradient).max()
    for place in np.ndindex(*gradient.shape):
      values = []
      for sign in (step, -step):
        moved = [x.copy() for x in views]
        moved[side][place] += sign
        values.append(sum(expected(name, *moved, y, temperature)))
      np.testing.assert_allclose(
        gradient[place],
        (values[0] - values[1]) / (2 * step),
        atol=2e-5 * largest,
      )


@pytest.mark.parametrize('name', LOSSES)
def test_ignored_pixels_have_no_gradient(name):
  f, g, y = oracle.random_case(9)
  found = gradients(LOSSES[name](), f, g, y)
  for gradient in found:
    np.testing.assert_array_equal(gradient[y == IGNORE], 0.0)
    assert np.abs(gradient[y != IGNORE]).max(-1).min() > 0


@pytest.mark.parametrize('name', ['within', 'cross'])
def test_all_ignored_image_counts_as_nothing(name):
  f, g, y = oracle.random_case(11)
  y[1] = IGNORE
  loss = LOSSES[name]()
  total, count = loss_of(loss, f, g, y)
  np.testing.assert_allclose(
    total, oracle.within_image(f, g, y, 0.07)[0], rtol=1e-5
  )
  assert count == 1
  for gradient in gradients(loss, f, g, y):
    assert np.all(gradient[1] == 0) and np.any(gradient[0] != 0)


@pytest.mark.parametrize('name', LOSSES)
def test_nothing_labelled_at_all(name):
  f, g, y = oracle.random_case(11)
  y[:] = IGNORE
  total, count = loss_of(LOSSES[name](), f, g, y)
  assert total == 0.0
  # The released code divides by all images.
  assert count == (2 if name.startswith('released') else 0)
  assert all(np.all(x == 0) for x in gradients(LOSSES[name](), f, g, y))


@pytest.mark.parametrize('temperature', [0.01, 0.07])
@pytest.mark.parametrize('name', LOSSES)
@pytest.mark.parametrize('labels', ['one class', 'a class each', 'one pixel'])
def test_few_classes_or_pixels(name, labels, temperature):
  f, g, y = oracle.random_case(2, pixels=12, ignored=0.0)
  if labels == 'one class':
    y[:] = 7
  elif labels == 'a class each':
    y[:] = np.arange(12)
  else:
    y[:, 1:] = IGNORE
  total, _ = loss_of(LOSSES[name](temperature), f, g, y)
  losses = expected(name, f, g, y, temperature)
  # A loss of 0 is the difference of two scores of size 1 / temperature.
  atol = 1e-7 / temperature
  np.testing.assert_allclose(total, sum(losses), rtol=1e-5, atol=atol)
  for gradient in gradients(LOSSES[name](temperature), f, g, y):
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize('name', LOSSES)
def test_zero_vectors(name):
  f, g, y = oracle.random_case(4)
  f[0], g[:, ::3] = 0.0, 0.0
  total, _ = loss_of(LOSSES[name](0.01), f, g, y)
  losses = expected(name, f, g, y, 0.01)
  np.testing.assert_allclose(total, sum(losses), rtol=1e-5)
  for gradient in gradients(LOSSES[name](0.01), f, g, y):
    assert np.isfinite(gradient).all()


def test_one_view_is_its_own_twin():
  f, _, y = oracle.random_case(6)
  total, _ = loss_of(pixel_contrast.WithinImage(), f, f, y)
  expected_total = sum(oracle.within_image(f, f, y, 0.07))
  np.testing.assert_allclose(total, expected_total, rtol=1e-5)


@pytest.mark.parametrize('batch', [2, 3, 8])
def test_every_image_has_another_one(batch):
  found = set()
  for seed in range(20):
    partners = pixel_contrast._next_in_ring(batch, (seed, 0)).numpy()
    assert sorted(partners) == list(range(batch))
    assert np.all(partners != np.arange(batch))
    found.add(tuple(partners))
  assert len(found) > (1 if batch > 2 else 0)


def test_sample_of_the_batch():
  f, g, y = oracle.random_case(8, pixels=40)
  bag = [x.reshape(-1, *x.shape[2:]) for x in (f, g, y)]
  kept = pixel_contrast._draw(tf.constant(bag[2][None]), 30, SEED)[0].numpy()
  assert len(set(kept)) == 30 and np.all(bag[2][kept] != IGNORE)
  total, count = loss_of(pixel_contrast.Batch(sample=30), f, g, y)
  sampled = [x[kept][None] for x in bag]
  np.testing.assert_allclose(
    total, oracle.within_image(*sampled, 0.07)[0], rtol=1e-5
  )
  assert count == 1
  others = loss_of(pixel_contrast.Batch(sample=30), f, g, y, seed=(5, 6))[0]
  assert others != total


def test_a_sample_larger_than_the_batch_is_all_of_it():
  f, g, y = oracle.random_case(8)
  total, _ = loss_of(pixel_contrast.Batch(sample=1000), f, g, y)
  np.testing.assert_allclose(
    total, sum(expected('batch', f, g, y, 0.07)), rtol=1e-5
  )


def test_selection_leaves_pixels_out():
  f, g, y = oracle.random_case(1, pixels=30)
  select = pixel_selection.PixelSelection(ignored_classes=(0,))
  total, _ = loss_of(pixel_contrast.WithinImage(selection=select), f, g, y)
  rest = np.where(y == 0, IGNORE, y)
  np.testing.assert_allclose(
    total, sum(oracle.within_image(f, g, rest, 0.07)), rtol=1e-5
  )


def test_selection_draws_the_same_places_of_both_views():
  f, g, y = oracle.random_case(1, pixels=30, ignored=0.0)
  select = pixel_selection.PixelSelection(per_image=12)
  total, _ = loss_of(pixel_contrast.WithinImage(selection=select), f, g, y)
  places = select.draw(tf.constant(y, tf.int32), SEED).numpy()
  drawn = [np.stack([x[i, places[i]] for i in range(2)]) for x in (f, g, y)]
  np.testing.assert_allclose(
    total, sum(oracle.within_image(*drawn, 0.07)), rtol=1e-5
  )


@pytest.mark.parametrize('name', LOSSES)
def test_maps_are_flattened_per_image(name):
  f, g, y = oracle.random_case(3, pixels=12)
  maps = [tf.constant(x.reshape(2, 3, 4, 5), tf.float32) for x in (f, g)]
  loss = LOSSES[name](0.2)
  total, count = loss(*maps, tf.constant(y.reshape(2, 3, 4)), SEED)
  flat = loss_of(loss, f, g, y)
  np.testing.assert_allclose(float(total), flat[0], rtol=1e-6)
  assert float(count) == flat[1]


@pytest.mark.parametrize(
  ('settings', 'message'),
  [
    ({'temperature': 0}, 'temperature is 0'),
    ({'matmul': 'float16'}, "matmul is 'float16'"),
  ],
)
@pytest.mark.parametrize('name', LOSSES)
def test_bad_settings_are_refused(name, settings, message):
  with pytest.raises(ValueError, match=message):
    LOSSES[name](**settings)


def test_a_sample_without_a_pair_is_refused():
  with pytest.raises(ValueError, match='sample is 1'):
    pixel_contrast.Batch(sample=1)


@pytest.mark.parametrize(
  'loss',
  [
    pixel_contrast.WithinImage(
      selection=pixel_selection.PixelSelection(per_image=6)
    ),
    pixel_contrast.CrossImage(),
    pixel_contrast.Batch(sample=12),
    pixel_contrast.ReleasedWithin(),
    pixel_contrast.ReleasedCross(),
  ],
  ids=LOSSES,
)
def test_xla_gives_the_same_loss_of_the_same_draws(loss):
  maps = as_maps(*oracle.random_case(4, batch=3))
  compiled = tf.function(loss, jit_compile=True)(*maps, tf.constant(SEED))
  np.testing.assert_allclose(compiled, loss(*maps, SEED), rtol=1e-5)


def test_arrays_are_taken_too():
  f, g, y = (np.asarray(x) for x in as_maps(*oracle.random_case(4)))
  total, count = pixel_contrast.WithinImage()(f, g, y)
  assert total > 0 and count == 2
