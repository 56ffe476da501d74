import keras
import numpy as np
import pytest
import tensorflow as tf

from deeplab_contrast.core import resize, tiles
from deeplab_contrast.inference import predictor
from tests import processes


class LocalNetwork:
  """Convolutions at stride 4, no pooling: a pixel sees 6 pixels around it."""

  logits_stride = 4

  def __init__(self, classes=5):
    keras.utils.set_random_seed(0)
    self.layers = [
      keras.layers.Conv2D(6, 3, strides=2, padding='valid', activation='relu'),
      keras.layers.Conv2D(6, 3, strides=2, padding='valid', activation='relu'),
      keras.layers.Conv2D(classes, 1),
    ]
    self.head = self.layers[-1]
    self.head.num_classes = classes
    self.shapes = set()

  def __call__(self, images, training):
    assert not training
    self.shapes.add(tuple(images.shape))
    x = images / 127.5 - 1.0
    for layer in self.layers[:-1]:
      x = layer(tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]]))
    return 20.0 * self.head(x)


@pytest.fixture(scope='module')
def network():
  return LocalNetwork()


def picture(*size, batch=1, seed=3):
  """Blobs, as uint8, different everywhere."""
  shape = [batch, *(side // 4 + 2 for side in size), 3]
  small = tf.random.stateless_uniform(shape, [seed, 1], 0, 255)
  return tf.cast(resize.bilinear(small, size), tf.uint8)


@pytest.mark.parametrize(
  ('size', 'tile', 'overlap'),
  [(65, 129, 64), (129, 129, 0), (130, 129, 32), (600, 129, 33), (513, 65, 0)],
)
def test_the_weights_of_every_pixel_add_up_to_one(size, tile, overlap):
  axis = tiles.axis(size, tile, overlap)
  starts, weights = axis.starts.numpy(), axis.weights.numpy()
  assert starts[0] == 0 and not (starts % tiles.GRID).any()
  assert size <= starts[-1] + axis.length <= size + tiles.GRID - 1
  assert (np.diff(starts) <= tile - overlap).all()
  total = np.zeros(starts[-1] + axis.length)
  for start, row in zip(starts, weights, strict=True):
    total[start : start + axis.length] += row
  np.testing.assert_allclose(total, 1.0, atol=1e-6)
  # Away from the image's borders, the rim of a tile is not used.
  rim = max(overlap // 4 - 1, 0)
  assert not weights[1:, :rim].any()
  assert not weights[:-1, axis.length - rim :].any()
  dynamic = tiles.axis(tf.constant(size), tile, overlap)
  np.testing.assert_array_equal(dynamic.weights, weights)


@pytest.mark.parametrize('kind', ['static', 'dynamic', 'eager'])
def test_seams_are_invisible(network, kind):
  images = picture(97, 149, batch=2)
  whole = predictor.Predictor()
  tiled = predictor.Predictor(tile_size=65, overlap=32)
  expected = whole.probabilities(network, images)
  network.shapes.clear()
  predict = lambda x: (  # noqa: E731
    tiled.probabilities(network, x),
    tiled.labels(network, x),
  )
  if kind != 'eager':
    sizes = images.shape if kind == 'static' else [None, None, None, 3]
    predict = tf.function(
      predict, input_signature=[tf.TensorSpec(sizes, tf.uint8)]
    )
  probabilities, labels = predict(images)
  if kind != 'dynamic':
    assert network.shapes == {(2, 65, 65, 3)}
  assert probabilities.shape == expected.shape
  # 149 is rounded up to the grid, which the network sees near that border.
  inner = np.s_[:, :, :140]
  np.testing.assert_allclose(probabilities[inner], expected[inner], atol=1e-5)
  top_two = np.sort(expected, -1)[..., -2:]
  clear = top_two[..., 1] - top_two[..., 0] > 1e-4
  clear[:, :, 140:] = False
  assert clear[inner].mean() > 0.99
  np.testing.assert_array_equal(
    labels.numpy()[clear], np.argmax(expected, -1)[clear]
  )


def test_seams_would_be_seen_without_an_overlap(network):
  images = picture(97, 97)
  expected = predictor.Predictor().probabilities(network, images)
  tiled = predictor.Predictor(tile_size=65, overlap=0)
  found = tiled.probabilities(network, images)
  assert np.abs(found - expected).max() > 0.05


def test_scales_and_mirror_inside_tiles(network):
  images = picture(97, 129)
  arguments = {'scales': (0.5, 1.0), 'flip': True}
  expected = predictor.Predictor(**arguments).probabilities(network, images)
  tiled = predictor.Predictor(**arguments, tile_size=97, overlap=65)
  found = tiled.probabilities(network, images)
  np.testing.assert_allclose(found, expected, atol=1e-5)


def test_an_image_that_fits_is_taken_whole(network):
  images = picture(60, 129)
  tiled = predictor.Predictor(tile_size=129)
  np.testing.assert_array_equal(
    tiled.probabilities(network, images),
    predictor.Predictor().probabilities(network, images),
  )
  dynamic = tf.function(
    lambda x: tiled.labels(network, x),
    input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8)],
  )
  np.testing.assert_array_equal(
    dynamic(images), predictor.Predictor().labels(network, images)
  )


@pytest.mark.parametrize(
  ('arguments', 'sentence'),
  [
    ({'tile_size': 512}, 'tile_size is 512; it must be k . 32 . 1'),
    ({'tile_size': 33}, 'tile_size is 33;'),
    ({'tile_size': 129, 'overlap': 98}, 'overlap is 98; it must be 0 to 97'),
    ({'overlap': 16}, 'no tile_size'),
    (
      {'tile_size': 65, 'prediction_with_upsampled_logits': False},
      'nothing to blend',
    ),
  ],
)
def test_tiles_that_do_not_fit_are_refused(arguments, sentence):
  with pytest.raises(ValueError, match=sentence):
    predictor.Predictor(**arguments)


@pytest.mark.slow
def test_4096_pixels_in_bounded_memory():
  code = """
    import resource, sys
    import tensorflow as tf
    from deeplab_contrast.inference import predictor
    from tests.core import tiles_test
    network = tiles_test.LocalNetwork(21)
    images = tiles_test.picture(4096, 4096)
    tiled = predictor.Predictor(tile_size=513, overlap=64)
    predict = tf.function(lambda x: tiled.labels(network, x))
    predict(images[:, :600, :600])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    labels = predict(images)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert labels.shape == [1, 4096, 4096]
    assert len(set(labels.numpy()[0, ::64, ::64].flat)) > 2
    print(before, after)
    """
  before, after = map(int, processes.run_python(code).split())
  # The blended probabilities of the whole image alone take 1.4 GB.
  print(f'{before / 1024:.0f} MB before, {after / 1024:.0f} MB at most')
  assert after - before < 900 * 1024
