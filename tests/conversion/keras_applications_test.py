"""Keras Applications' own networks, and ours with their weights."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from deeplab_contrast.conversion import (
  encoders,
  fetching,
  keras_applications,
  known_weights,
  pretrained,
)
from deeplab_contrast.core.network import (
  keras_cv_backbone,
  mobilenet_v2,
)
from deeplab_contrast.utils import errors
from tests import original
from tests.conversion import narrow

SIZE = 97
IMAGE = original.rule_image(1, SIZE, SIZE).astype(np.float32)


def theirs(name, folder):
  """(Keras' network with weights of all kinds, its file of weights)."""
  row = next(r for r in known_weights.FETCHED if r.name == name)
  kept = {} if name == 'mobilenet_v2' else {'include_preprocessing': True}
  net = getattr(keras.applications, row.application)(
    weights=None, include_top=False, input_shape=(SIZE, SIZE, 3), **kept
  )
  for variable in net.weights:
    path, _, kind = variable.path.rpartition('/')
    kind = {'kernel': 'weights', 'bias': 'biases'}.get(kind, kind)
    variable.assign(original.rule_weights(f'{path}/{kind}', variable.shape))
  path = str(folder / f'{name}.weights.h5')
  net.save_weights(path)
  return net, path


@pytest.fixture(scope='module')
def small(tmp_path_factory):
  return theirs('mobilenet_v3_small', tmp_path_factory.mktemp('small'))


def check(backbone, source, net, image):
  """Our features, from `source`, are those of Keras' network."""
  with keras.name_scope('deeplab'), keras.name_scope('trunk'):
    backbone(tf.zeros([1, 33, 33, 3]))
  pretrained.Pretrained(source)(narrow.Holder(backbone))
  expected = net(image)
  features, _ = backbone(backbone.normalize(tf.constant(IMAGE)))
  scale = np.abs(expected).max()
  assert scale > 0
  assert np.abs(features - expected).max() < 2e-5 * scale


def test_mobilenet_v3_by_a_binding_that_downloads(small, monkeypatch):
  net, path = small
  asked = []
  monkeypatch.setattr(
    fetching, 'cached', lambda *which: asked.append(which) or path
  )
  name = 'mobilenet_v3_small'
  backbone = keras_cv_backbone.KerasCvBackbone(name, normalization='keras')
  check(backbone, f'keras:{name}', net, IMAGE)
  row = next(r for r in known_weights.FETCHED if r.name == name)
  assert asked == [(row.url, row.md5)]


@pytest.mark.slow
def test_efficientnet_v2(tmp_path):
  name = 'efficientnet_v2_b0'
  net, path = theirs(name, tmp_path)
  backbone = keras_cv_backbone.KerasCvBackbone(name, normalization='keras')
  check(backbone, path, net, IMAGE)


@pytest.mark.slow
def test_mobilenet_v2(tmp_path):
  net, path = theirs('mobilenet_v2', tmp_path)
  last = net.get_layer('block_16_project_BN').output
  net = keras.Model(net.input, last)
  check(mobilenet_v2.MobileNetV2(32), path, net, IMAGE / 127.5 - 1.0)


def test_wrong_pixels_networks_and_sizes_are_refused(small):
  _, path = small

  def read(**arguments):
    backbone = keras_cv_backbone.KerasCvBackbone(
      'mobilenet_v3_small', **arguments
    )
    return encoders.read(path, backbone)

  with pytest.raises(errors.ConfigError, match="normalization = 'keras'"):
    read()
  with pytest.raises(errors.ConfigError, match=r'WIDTH = 1\.0'):
    read(width=0.5, normalization='keras')
  with pytest.raises(errors.ConfigError, match='of MobileNetV2 of Keras'):
    keras_applications.open_mobilenet_v2(path)
