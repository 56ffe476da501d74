"""Keras Applications' own networks, and ours with their weights."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from deeplab_contrast.conversion import (
  encoders,
  fetching,
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


@pytest.mark.slow
@pytest.mark.parametrize(
  'name', ['mobilenet_v2', 'mobilenet_v3_small', 'efficientnet_v2_b0']
)
def test_keras_own_network_computes_the_same(tmp_path, name):
  net, path = theirs(name, tmp_path)
  image = original.rule_image(1, SIZE, SIZE).astype(np.float32)
  if name == 'mobilenet_v2':
    backbone = mobilenet_v2.MobileNetV2(32)
    last = net.get_layer('block_16_project_BN').output
    net = keras.Model(net.input, last)
    expected = net(image / 127.5 - 1.0)
  else:
    backbone = keras_cv_backbone.KerasCvBackbone(name, normalization='keras')
    expected = net(image)
  with keras.name_scope('deeplab'), keras.name_scope('trunk'):
    backbone(tf.zeros([1, 33, 33, 3]))
  assert pretrained.Pretrained(path)(narrow.Holder(backbone))['weights'] == path
  features, _ = backbone(backbone.normalize(tf.constant(image)))
  scale = np.abs(expected).max()
  assert scale > 0
  assert np.abs(features - expected).max() < 2e-5 * scale


def test_the_wrong_pixels_network_or_size_are_refused(tmp_path):
  name = 'mobilenet_v3_small'
  _, path = theirs(name, tmp_path)

  def read(**arguments):
    return encoders.read(path, keras_cv_backbone.KerasCvBackbone(**arguments))

  keras_pixels = {'normalization': 'keras'}
  assert read(variant=name, **keras_pixels).unneeded == {}
  with pytest.raises(errors.ConfigError, match="normalization = 'keras'"):
    read(variant=name)
  with pytest.raises(errors.ConfigError, match=r'WIDTH = 1\.0'):
    read(variant=name, width=0.5, **keras_pixels)
  with pytest.raises(errors.ConfigError, match='MobileNetV3Large of Keras'):
    read(variant='mobilenet_v3_large', **keras_pixels)


def test_the_binding_fetches_them(tmp_path, monkeypatch):
  name = 'mobilenet_v3_small'
  _, path = theirs(name, tmp_path)
  asked = []
  monkeypatch.setattr(
    fetching, 'cached', lambda *which: asked.append(which) or path
  )
  backbone = keras_cv_backbone.KerasCvBackbone(name, normalization='keras')
  pretrained.Pretrained(f'keras:{name}')(narrow.Holder(backbone))
  row = next(r for r in known_weights.FETCHED if r.name == name)
  assert asked == [(row.url, row.md5)]
  kernels = [v for v in backbone.variables if v.path.endswith('Conv/kernel')]
  expected = original.rule_weights('conv/weights', kernels[0].shape)
  np.testing.assert_array_equal(kernels[0], expected)
