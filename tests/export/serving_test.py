"""The exported function against the evaluation, also without the package."""

import functools
import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from deeplab_contrast import common
from deeplab_contrast.core.network import folding, heads, mobilenet_v2, model
from deeplab_contrast.datasets import transforms
from deeplab_contrast.export import exported, formats, serving
from deeplab_contrast.inference import predictor
from deeplab_contrast.tasks import softmax
from tests import processes, tiny

PLAIN = predictor.Predictor()
SEVERAL = predictor.Predictor((0.75, 1.0), flip=True)
GRID = predictor.Predictor(prediction_with_upsampled_logits=False)


def spread(network, seed=0):
  """Weights and statistics as after a training: none is still 0 or 1."""
  rng = np.random.default_rng(seed)
  for variable in network.variables:
    name, shape = variable.path.rpartition('/')[2], variable.shape
    if name in ('gamma', 'moving_variance'):
      variable.assign(rng.uniform(0.5, 1.5, shape))
    elif name in ('beta', 'moving_mean', 'bias'):
      variable.assign(rng.normal(0, 0.3, shape))
  # Logits that differ, and every class somewhere the most probable one.
  images = tf.cast(pictures(1, 65, 97), tf.float32)
  head = network.head.branches[0]
  logits = network(images) - head.bias
  head.kernel.assign(head.kernel / np.std(logits, (0, 1, 2)))
  head.bias.assign(-np.mean(logits, (0, 1, 2)) / np.std(logits, (0, 1, 2)))
  return network


def make_network(seed=0):
  return spread(tiny.network(softmax.Softmax(), seed), seed)


@pytest.fixture(scope='module')
def network():
  return make_network()


def make_mobilenet():
  backbone = mobilenet_v2.MobileNetV2(depth_multiplier=0.125)
  trunk = model.Trunk(backbone, *tiny.small_parts(8))
  network = model.DeepLab(trunk, heads.Classifier(3))
  network.build_variables()
  return spread(network)


def pictures(batch, height, width, seed=1):
  """uint8 images with large and small structure."""
  rng = np.random.default_rng(seed)
  coarse = rng.integers(0, 256, [batch, height // 8 + 1, width // 8 + 1, 3])
  coarse = coarse.repeat(8, 1).repeat(8, 2)[:, :height, :width]
  return ((coarse + rng.integers(0, 256, coarse.shape)) // 2).astype(np.uint8)


def evaluated(network, predict, images, size):
  """Labels as `Evaluation` and `Evaluator` find them."""
  pad = transforms.Pad(size, exact=True)
  examples = [
    pad(
      {
        common.IMAGE: tf.cast(image, tf.float32),
        common.LABEL: tf.zeros(image.shape[:2], tf.int32),
      }
    )
    for image in images
  ]
  batch = tf.stack([example[common.IMAGE] for example in examples])
  labels = tf.function(functools.partial(predict.labels, network))(batch)
  return labels.numpy()[:, : images.shape[1], : images.shape[2]]


def test_folding_keeps_the_logits(network):
  check_folding(network)


@pytest.mark.slow
def test_folding_depthwise_convolutions():
  check_folding(make_mobilenet())


def check_folding(network):
  images = tf.cast(pictures(2, 65, 97), tf.float32)
  before = network(images).numpy()
  norms = sum('moving_mean' in v.path for v in network.variables)
  with folding.folded(network) as count:
    assert count == norms > 30
    after = network(images).numpy()
  assert 0 < np.abs(before - after).max() < 1e-4 * np.abs(before).max()
  np.testing.assert_array_equal(network(images), before)


@pytest.mark.slow
@pytest.mark.parametrize('predict', [SEVERAL, GRID])
def test_labels_are_those_of_the_evaluation(network, predict):
  size = (81, 113)
  images = pictures(3, 65, 97)
  expected = evaluated(network, predict, images, size)
  serve = serving.Serving(network, predict, size)
  labels, before = tf.function(serve.__call__)(tf.constant(images))
  assert labels.dtype == tf.int32 and len(np.unique(expected)) == 3
  np.testing.assert_array_equal(labels, expected)
  assert before.shape == (3, 65, 97, 3)
  np.testing.assert_allclose(np.sum(before, -1), 1, atol=1e-5)
  # Folded, they may differ only where two classes are tied up to rounding.
  with folding.folded(network):
    labels, after = serve(tf.constant(images))
  np.testing.assert_allclose(after, before, atol=1e-4)
  ordered = np.sort(before, -1)
  differ = labels.numpy() != expected
  if predict is not GRID:
    assert np.all((ordered[..., -1] - ordered[..., -2])[differ] < 1e-4)
  assert np.mean(differ) < 1e-3


def test_what_images_are_padded_to(network):
  serve = serving.Serving(network, PLAIN, (60, 80))
  # Sides below, at and above the least size; 81 fits, 66 does not.
  for size, expected in (
    ((20, 30), (60, 80)),
    ((60, 81), (60, 81)),
    ((65, 65), (65, 80)),
    ((66, 1), (81, 80)),
  ):
    images = pictures(2, *size)
    padded = serve._pad(tf.constant(images)).numpy()
    assert padded.shape == (2, *expected, 3)
    np.testing.assert_array_equal(padded[:, : size[0], : size[1]], images)
    assert np.all(padded[:, size[0] :] == 127.5)
    assert np.all(padded[:, :, size[1] :] == 127.5)


def test_the_pixel_of_the_padding_may_differ_by_channel(network):
  mean = (123.15, 115.9, 103.06)
  images = pictures(2, 20, 30)
  serve = serving.Serving(network, PLAIN, (33, 49), mean)
  padded = tf.function(serve._pad)(tf.constant(images)).numpy()
  assert padded.shape == (2, 33, 49, 3)
  np.testing.assert_array_equal(padded[:, :20, :30], images)
  for outside in (padded[:, 20:], padded[:, :, 30:]):
    assert np.all(outside == np.float32(mean))


WITHOUT_US = """
import sys
import numpy as np
import tensorflow as tf

model = tf.saved_model.load(sys.argv[1])
given = np.load(sys.argv[2])
for key in given:
  x = tf.constant(given[key])
  both = model.signatures['serving_default'](ImageTensor=x)
  labels = both['SemanticPredictions'].numpy()
  assert labels.dtype == np.int32
  only = model.signatures['labels'](ImageTensor=x)
  assert list(only) == ['SemanticPredictions']
  np.testing.assert_array_equal(only['SemanticPredictions'], labels)
  np.save(sys.argv[2] + key, labels)
  np.save(sys.argv[2] + key + '_p', both['SemanticProbabilities'])
assert not [m for m in sys.modules if m.split('.')[0] in
            ('deeplab_contrast', 'keras_cv', 'gin')]
"""


def run_without_us(folder, images, place):
  """Predicts {name: images} by the SavedModel and TensorFlow alone."""
  path = place / 'given.npz'
  np.savez(path, **images)
  environment = processes.environment()
  del environment['PYTHONPATH']
  done = subprocess.run(
    [sys.executable, '-c', WITHOUT_US, str(folder), str(path)],
    capture_output=True,
    text=True,
    env=environment,
    cwd=place,
    check=False,
  )
  assert done.returncode == 0, done.stderr
  return {
    key: (np.load(f'{path}{key}.npy'), np.load(f'{path}{key}_p.npy'))
    for key in images
  }


def test_a_loaded_export_finds_the_same_labels(network, tmp_path):
  # Of a batch; predict_equals_eval_test has them one by one.
  images = pictures(3, 65, 97)
  expected = evaluated(network, PLAIN, images, (81, 97))
  assert len(np.unique(expected)) == 3
  function = serving.Serving(network, PLAIN, (81, 97)).concrete()
  classes = [{'name': n, 'color': [i] * 3} for i, n in enumerate('abc')]
  described = {'classes': classes}
  folder = tmp_path / 'model'
  formats.write_saved_model(function, described, str(folder))
  assert json.loads((folder / 'assets/labels.json').read_text()) == described
  loaded = exported.load(str(folder))
  assert loaded.class_names == ('a', 'b', 'c')
  both = loaded.module.signatures['serving_default']
  outputs = both(ImageTensor=tf.constant(images))
  np.testing.assert_array_equal(outputs[exported.LABELS], expected)
  labels, probabilities = loaded.predict(images[0])
  np.testing.assert_array_equal(loaded.labels(images[0]), labels)
  np.testing.assert_array_equal(probabilities.argmax(-1), labels)
