import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from deeplab_contrast import common
from deeplab_contrast.core.losses import pair_kernel, pair_tile
from tests import contrast_oracle as oracle
from tools.benchmarks import naive_contrast

FORMS = {
  'softmax': {},
  'one_positive': {'one_positive': True},
  'softmax, own negatives': {'own_negatives': True},
  'one_positive, own negatives': {'one_positive': True, 'own_negatives': True},
}


def random_sets(seed, batch=2, anchors=11, contrast=14, channels=5):
  """Anchors and contrast pixels that differ in everything."""
  rng = np.random.default_rng(seed)
  sides = []
  for pixels in (anchors, contrast):
    labels = rng.integers(0, 4, (batch, pixels))
    labels[rng.random(labels.shape) < 0.2] = common.IGNORE_LABEL
    features = oracle.unit(rng.normal(size=(batch, pixels, channels)))
    images = rng.integers(0, 2, (batch, pixels))
    sides.append((features, labels, images))
  return sides


def as_pixels(features, labels, images):
  return pair_kernel.Pixels(
    tf.constant(features, tf.float32),
    tf.constant(labels, tf.int32),
    tf.constant(images, tf.int32),
  )


def expected(sides, temperature, form):
  """The oracle's loss of each set."""
  (f, f_labels, f_images), (g, g_labels, g_images) = sides
  return [
    oracle.set_loss(
      f[i],
      g[i],
      f_labels[i],
      g_labels[i],
      temperature,
      anchor_images=f_images[i],
      contrast_images=g_images[i],
      **form,
    )
    for i in range(len(f))
  ]


def with_gradients(anchors, contrast, rule):
  """Losses [batch] and the gradients of their sum by both features."""
  with tf.GradientTape() as tape:
    tape.watch([anchors.features, contrast.features])
    losses = pair_kernel.pair_losses(anchors, contrast, rule)
    total = tf.reduce_sum(losses)
  return losses, tape.gradient(total, [anchors.features, contrast.features])


def relative(actual, wanted):
  actual, wanted = np.asarray(actual), np.asarray(wanted)
  return np.linalg.norm(actual - wanted) / np.linalg.norm(wanted)


@pytest.mark.parametrize('tile', [1, 4, 256])
@pytest.mark.parametrize('form', FORMS)
def test_any_two_sets_in_any_tiles(form, tile):
  sides = random_sets(1)
  rule = pair_tile.Rule(0.1, tile=tile, **FORMS[form])
  losses = pair_kernel.pair_losses(*(as_pixels(*x) for x in sides), rule)
  wanted = expected(sides, 0.1, FORMS[form])
  np.testing.assert_allclose(losses, wanted, rtol=1e-5)


@settings(max_examples=25, deadline=None)
@given(
  seed=st.integers(0, 10_000),
  shape=st.tuples(
    st.integers(1, 3), st.integers(1, 9), st.integers(1, 9), st.integers(1, 6)
  ),
  tile=st.integers(1, 10),
  temperature=st.floats(0.01, 1.0),
  form=st.sampled_from(sorted(FORMS)),
)
def test_random_shapes(seed, shape, tile, temperature, form):
  sides = random_sets(seed, *shape)
  rule = pair_tile.Rule(temperature, tile=tile, **FORMS[form])
  losses, found = with_gradients(*(as_pixels(*x) for x in sides), rule)
  wanted = expected(sides, temperature, FORMS[form])
  # Losses are differences of scores as large as 1 / temperature.
  np.testing.assert_allclose(losses, wanted, rtol=1e-5, atol=3e-7 / temperature)
  for gradient, (_, labels, _) in zip(found, sides, strict=True):
    assert np.isfinite(gradient).all()
    assert np.all(gradient.numpy()[labels == common.IGNORE_LABEL] == 0)


@pytest.mark.parametrize('side', [0, 1])
@pytest.mark.parametrize('form', FORMS)
def test_gradient_equals_central_differences(form, side):
  sides = random_sets(3, batch=1, anchors=5, contrast=6, channels=3)
  rule = pair_tile.Rule(0.2, tile=2, **FORMS[form])
  _, found = with_gradients(*(as_pixels(*x) for x in sides), rule)
  step, gradient = 1e-6, found[side].numpy()
  features = sides[side][0]
  for place in np.ndindex(*features.shape):
    kept, values = features[place], []
    for sign in (step, -step):
      features[place] = kept + sign
      values.append(expected(sides, 0.2, FORMS[form])[0])
    features[place] = kept
    np.testing.assert_allclose(
      gradient[place],
      (values[0] - values[1]) / (2 * step),
      atol=1e-5 * np.linalg.norm(gradient),
    )


def two_views(seed, pixels=300, channels=64, noise=2.0, batch=2):
  """Features of five classes with noise, as they are in training."""
  rng = np.random.default_rng(seed)
  labels = rng.integers(0, 5, (batch, pixels))
  labels[:, ::7] = common.IGNORE_LABEL
  centers = rng.normal(size=(256, channels))
  features = centers[labels] + noise * rng.normal(
    size=(2, batch, pixels, channels)
  )
  f, g = (tf.constant(x, tf.float32) for x in oracle.unit(features))
  return f, g, tf.constant(labels, tf.int32)


def naive_with_gradients(naive, features, labels, temperature):
  with tf.GradientTape() as tape:
    tape.watch(features)
    loss = naive(*features, labels, temperature)
  return loss, tape.gradient(loss, features)


@pytest.mark.parametrize('noise', [0.3, 2.0])
@pytest.mark.parametrize('temperature', [0.05, 1.0])
@pytest.mark.parametrize('form', ['softmax', 'one_positive'])
def test_equals_autodiff_of_the_naive_form(form, temperature, noise):
  f, g, labels = two_views(5, noise=noise)
  naive = {
    'softmax': naive_contrast.within,
    'one_positive': naive_contrast.released,
  }[form]
  single = naive_with_gradients(naive, [f, g], labels, temperature)
  double = [tf.cast(x, tf.float64) for x in (f, g)]
  loss, wanted = naive_with_gradients(naive, double, labels, temperature)
  rule = pair_tile.Rule(temperature, tile=64, **FORMS[form])
  pixels = (pair_kernel.Pixels(x, labels) for x in (f, g))
  losses, found = with_gradients(*pixels, rule)
  np.testing.assert_allclose(np.mean(losses), loss, rtol=1e-5, atol=1e-6)
  for actual, rounded, exact in zip(found, single[1], wanted, strict=True):
    # float32 cannot give the gradient of compact classes any better.
    limit = max(1e-5, 5 * relative(rounded, exact))
    assert relative(actual / 2, exact) < limit
    assert limit == 1e-5 or noise < 0.5


@pytest.mark.parametrize('form', FORMS)
def test_bfloat16_products(form):
  f, g, labels = two_views(6, channels=256)
  images = tf.zeros_like(labels)
  sides = [pair_kernel.Pixels(x, labels, images) for x in (f, g)]
  exact = with_gradients(*sides, pair_tile.Rule(0.07, **FORMS[form]))
  rule = pair_tile.Rule(0.07, matmul='bfloat16', **FORMS[form])
  losses, found = with_gradients(*sides, rule)
  assert losses.dtype == tf.float32
  np.testing.assert_allclose(losses, exact[0], rtol=2e-3)
  for actual, wanted in zip(found, exact[1], strict=True):
    assert actual.dtype == tf.float32
    assert 0 < relative(actual, wanted) < 1e-2
    ignored = labels == common.IGNORE_LABEL
    assert np.all(actual.numpy()[ignored] == 0)


def test_bfloat16_of_compact_classes():
  # Where pull and push almost cancel, rounded sums must not be subtracted:
  # that gave an error of 80 %.
  f, g, labels = two_views(6, channels=256, noise=0.3)
  sides = [pair_kernel.Pixels(x, labels) for x in (f, g)]
  _, exact = with_gradients(*sides, pair_tile.Rule(0.07))
  _, found = with_gradients(*sides, pair_tile.Rule(0.07, matmul='bfloat16'))
  for actual, wanted in zip(found, exact, strict=True):
    assert relative(actual, wanted) < 5e-2


def test_tiles_are_smaller_where_there_are_more_pixels():
  rows = pair_tile.Rule(0.07).rows
  sizes = [rows(n, n) for n in (100, 65**2, 129**2, 16 * 65**2)]
  assert sizes == [100, 248, 64, 64]
  assert rows(tf.constant(5), tf.constant(5)) == 256
  assert pair_tile.Rule(0.07, tile=7).rows(100, 100) == 7


def test_dtype_follows_the_precision_policy():
  assert pair_tile.Rule(0.07).dtype == tf.float32
  before = keras.config.dtype_policy()
  keras.config.set_dtype_policy('mixed_bfloat16')
  try:
    assert pair_tile.Rule(0.07).dtype == tf.bfloat16
    assert pair_tile.Rule(0.07, matmul='float32').dtype == tf.float32
  finally:
    keras.config.set_dtype_policy(before)


def test_one_set_against_itself_has_the_sum_of_both_gradients():
  f, _, labels = two_views(7)
  twin = tf.identity(f)
  rule = pair_tile.Rule(0.07, one_positive=True)
  same = pair_kernel.Pixels(f, labels)
  losses, found = with_gradients(same, same, rule)
  apart = with_gradients(same, pair_kernel.Pixels(twin, labels), rule)
  np.testing.assert_allclose(losses, apart[0], rtol=1e-6)
  assert relative(found[0], apart[1][0] + apart[1][1]) < 1e-6


def test_upstream_gradients_scale_the_sets():
  f, g, labels = two_views(8)
  rule = pair_tile.Rule(0.07)
  factors = tf.constant([2.0, -0.5])
  with tf.GradientTape() as tape:
    tape.watch(f)
    losses = pair_kernel.pair_losses(
      pair_kernel.Pixels(f, labels), pair_kernel.Pixels(g, labels), rule
    )
    weighted = tf.reduce_sum(factors * losses)
  gradient = tape.gradient(weighted, f)
  pixels = (pair_kernel.Pixels(x, labels) for x in (f, g))
  _, plain = with_gradients(*pixels, rule)
  wanted = plain[0] * factors[:, tf.newaxis, tf.newaxis]
  assert relative(gradient, wanted) < 1e-6


# The plain softmax is compiled in test_void_is_left_out.
@pytest.mark.parametrize('form', [x for x in FORMS if x != 'softmax'])
def test_compiles_under_xla(form):
  sides = [as_pixels(*x) for x in random_sets(9, anchors=20, contrast=30)]
  rule = pair_tile.Rule(0.07, tile=8, **FORMS[form])
  compiled = tf.function(
    lambda *sides: with_gradients(*sides, rule), jit_compile=True
  )
  # Scores from -14 to 14, which are safe, and large ones; see `_SAFE_SCORE`.
  for scale in (1.0, 3.0):
    scaled = [x._replace(features=scale * x.features) for x in sides]
    losses, found = compiled(*scaled)
    wanted = with_gradients(*scaled, rule)
    np.testing.assert_allclose(losses, wanted[0], rtol=1e-5)
    for actual, gradient in zip(found, wanted[1], strict=True):
      assert relative(actual, gradient) < 1e-5


def test_unknown_sizes():
  f, g, labels = two_views(10)
  rule = pair_tile.Rule(0.07, tile=64)

  @tf.function(
    input_signature=[
      tf.TensorSpec([None, None, 64]),
      tf.TensorSpec([None, None, 64]),
      tf.TensorSpec([None, None], tf.int32),
    ]
  )
  def step(f, g, labels):
    pixels = (pair_kernel.Pixels(x, labels) for x in (f, g))
    return with_gradients(*pixels, rule)

  for batch in (1, 2):
    case = (f[:batch], g[:batch], labels[:batch])
    losses, found = step(*case)
    pixels = (pair_kernel.Pixels(x, case[2]) for x in case[:2])
    wanted = with_gradients(*pixels, rule)
    np.testing.assert_allclose(losses, wanted[0], rtol=1e-6)
    for actual, gradient in zip(found, wanted[1], strict=True):
      assert relative(actual, gradient) < 1e-6


def with_void(seed, pixels, share):
  """Two views in which a random share of the pixels is ignored."""
  f, g, labels = two_views(seed, pixels=pixels, channels=8)
  void = np.random.default_rng(seed).random((1, pixels)) < share
  return f, g, tf.where(void, common.IGNORE_LABEL, labels)


# Of sets of more than 1,024 pixels, one to four quarters are swept.
@pytest.mark.parametrize(
  ('form', 'jit'), [('softmax', True), ('one_positive', False)]
)
def test_void_is_left_out(form, jit):
  naive = {
    'softmax': naive_contrast.within,
    'one_positive': naive_contrast.released,
  }[form]
  rule = pair_tile.Rule(0.2, **FORMS[form])

  @tf.function(jit_compile=jit)
  def step(f, g, labels):
    pixels = (pair_kernel.Pixels(x, labels) for x in (f, g))
    return with_gradients(*pixels, rule)

  for share in (0.0, 0.4, 0.6, 0.9, 1.0):
    f, g, labels = with_void(12, 1100, share)
    loss, wanted = naive_with_gradients(naive, [f, g], labels, 0.2)
    losses, found = step(f, g, labels)
    np.testing.assert_allclose(np.mean(losses), loss, rtol=1e-5)
    for actual, gradient in zip(found, wanted, strict=True):
      np.testing.assert_allclose(
        actual / 2, gradient, atol=1e-5 * np.linalg.norm(gradient)
      )
      assert not np.any(actual.numpy()[labels == common.IGNORE_LABEL])


@pytest.mark.parametrize('num', [1, 5, 1024, 1099, 4225])
def test_the_smallest_sufficient_width_is_swept(num):
  widths = pair_kernel._widths(num)
  assert widths[-1] == num
  for count in {1, num // 4, num // 4 + 1, num // 2, num - 1, num} - {0}:
    valid = tf.cast(tf.range(num) < count, tf.float32)
    width = pair_kernel._with_least_width(tf.constant, valid)
    assert width == min(w for w in widths if w >= count)


def test_pixels_that_count_come_first_in_their_order():
  counts = tf.constant([False, True, False, True, True])
  order, places = pair_kernel._front(counts)
  assert order.numpy().tolist() == [1, 3, 4, 0, 2]
  assert tf.gather(order, places).numpy().tolist() == [0, 1, 2, 3, 4]


def largest_tensor(function, *args):
  """Elements of the largest float tensor in a graph and all its functions."""
  concrete = tf.function(function).get_concrete_function(*args)
  sizes = []
  pending, seen = [concrete.graph], set()
  while pending:
    graph = pending.pop()
    for operation in graph.get_operations():
      sizes += [
        x.shape.num_elements()
        for x in operation.outputs
        if x.dtype.is_floating and x.shape.num_elements() is not None
      ]
    for name, inner in graph._functions.items():
      if name not in seen:
        seen.add(name)
        pending.append(inner.graph)
  return max(sizes)


@pytest.mark.parametrize('form', FORMS)
def test_no_matrix_of_all_pairs(form):
  tile, pixels = 16, 512
  features = tf.zeros([1, pixels, 8])
  labels = tf.zeros([1, pixels], tf.int32)
  rule = pair_tile.Rule(0.07, tile=tile, **FORMS[form])

  def step(f, g, labels):
    sides = (pair_kernel.Pixels(x, labels, labels) for x in (f, g))
    return with_gradients(*sides, rule)

  # The largest is a tile: 16 x 512 numbers, not 512 x 512.
  assert largest_tensor(step, features, features, labels) <= tile * pixels
