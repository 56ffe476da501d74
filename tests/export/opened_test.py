"""The package from Python. `docs_test` opens a run, and compares the labels of
`predict` with the command's."""

import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import deeplab_contrast
from deeplab_contrast.export import exported
from deeplab_contrast.utils import errors
from tests import predict_test, processes


@pytest.fixture(scope='module')
def model(tmp_path_factory):
  """Of three classes: dark, grey and bright."""
  folder = tmp_path_factory.mktemp('model')
  return deeplab_contrast.open(predict_test.save_model(folder))


def test_the_package_imports_no_tensorflow_and_defines_no_flags():
  processes.run_python("""
    import sys
    import deeplab_contrast
    assert 'tensorflow' not in sys.modules
    assert 'absl' not in sys.modules
    assert deeplab_contrast.open and 'tensorflow' in sys.modules
  """)
  assert 'deeplab_contrast' in sys.modules
  with pytest.raises(AttributeError, match="no attribute 'fit'"):
    deeplab_contrast.fit  # noqa: B018


def test_a_file_and_an_array(model, tmp_path):
  pixels = np.full([20, 30, 3], 100, np.uint8)
  pixels[:, 10:] = 255
  Image.fromarray(pixels).save(tmp_path / 'photo.png')
  result = model.predict(tmp_path / 'photo.png')
  np.testing.assert_array_equal(result.image, pixels)
  assert result.labels.dtype == np.uint8
  assert np.all(result.labels[:, :10] == 1) and np.all(
    result.labels[:, 10:] == 2
  )
  assert result.names == model.names == ('class 0', 'class 1', 'class 2')
  assert result.probabilities is None
  np.testing.assert_array_equal(result.overlay(opacity=0), pixels)
  again = model.predict(pixels, probabilities=True)
  np.testing.assert_array_equal(again.labels, result.labels)
  np.testing.assert_array_equal(again.probabilities.argmax(-1), result.labels)


@pytest.mark.parametrize(
  ('image', 'sentence'),
  [
    ('nowhere.jpg', 'nowhere.jpg does not exist.'),
    (np.zeros([4, 4, 3]), r'an array of float64 \[4, 4, 3\]; give the path'),
    (np.zeros([4, 4], np.uint8), r'an array of uint8 \[4, 4\]'),
    (np.zeros([0, 4, 3], np.uint8), r'an array of uint8 \[0, 4, 3\]'),
  ],
)
def test_wrong_images(model, image, sentence):
  with pytest.raises(errors.DataError, match=sentence):
    model.predict(image)


def test_too_little_memory(model, monkeypatch):
  def fail(self, image):
    raise tf.errors.ResourceExhaustedError(None, None, 'OOM')

  monkeypatch.setattr(exported.Exported, 'labels', fail)
  with pytest.raises(errors.DataError, match='of 5 x 4 pixels needs more mem'):
    model.predict(np.zeros([4, 5, 3], np.uint8))


def test_wrong_folders(tmp_path):
  with pytest.raises(errors.ConfigError, match='is neither a run'):
    deeplab_contrast.open(tmp_path)
  (tmp_path / 'config.gin').write_text('STEPS = ')
  with pytest.raises(errors.ConfigError, match='config.gin'):
    deeplab_contrast.open(tmp_path)


def test_build_checks_what_it_is_given():
  file = 'gin_configs/scenes/softmax_scratch.gin'
  with pytest.raises(errors.ConfigError, match='STEP'):
    deeplab_contrast.build([file], ['STEP = 10'])
  training = deeplab_contrast.build([file], ['STEPS = 10'], seed=3)
  assert 'STEPS = 10' in training.config or 'steps = 10' in training.config
  assert 'seed = 3' in training.config
