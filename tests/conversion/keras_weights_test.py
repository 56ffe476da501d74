"""Weights of keras.applications' ResNets, from files to our backbone."""

import dataclasses

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

from deeplab_contrast.conversion import (
  hdf5_file,
  keras_resnet,
  network,
  plan,
)
from deeplab_contrast.core.network import original_names, pixels, resnet_v1
from deeplab_contrast.utils import errors
from tests import original

SIZE = 97


def narrow(variant='resnet_v1_50'):
  """A `network.Network` with only a narrow backbone."""
  backbone = resnet_v1.ResNetV1(variant, 32, width=0.0625)
  backbone(tf.zeros([1, 33, 33, 3]))

  class Trunk:
    pass

  model = Trunk()
  model.trunk = Trunk()
  model.trunk.backbone, model.head = backbone, None
  return network.Network(
    model,
    '',
    tuple(
      network.Variable(
        v.path, original_names.original_name(v.path), 'backbone', np.array(v)
      )
      for v in backbone.variables
    ),
  )


def layers_like(ours):
  """{Keras' layer: {kind: array}} with the shapes of a network of ours."""
  layers = {}
  for variable in ours.variables:
    parts = variable.original.split('/')[1:]
    if parts[0] == 'conv1':
      layer, rest = 'conv1', parts[1:]
    else:
      block, unit = int(parts[0][5:]) + 1, parts[1][5:]
      index = '0' if parts[3] == 'shortcut' else parts[3][4:]
      layer, rest = f'conv{block}_block{unit}_{index}', parts[4:]
    value = original.rule_weights(variable.original, variable.value.shape)
    if rest == ['weights']:
      bias = original.rule_weights(f'{layer}/biases', value.shape[-1:])
      layers[f'{layer}_conv'] = {'kernel': value, 'bias': bias}
    else:
      layers.setdefault(f'{layer}_bn', {})[rest[1]] = value
  dense = {'kernel': np.zeros([8, 10], np.float32), 'bias': np.zeros([10])}
  return {**layers, 'predictions': dense}


def write_classic(path, layers, ending=':0'):
  with h5py.File(path, 'w') as file:
    for layer, arrays in layers.items():
      for kind, value in arrays.items():
        file[f'{layer}/{layer}/{kind}{ending}'] = value
  return str(path)


def write_numbered(path, layers):
  order = {'conv': 0, 'bn': 1, 'predictions': 2}
  kinds = ('kernel', 'bias', 'gamma', 'beta', 'moving_mean', 'moving_variance')
  with h5py.File(path, 'w') as file:
    for i, (layer, arrays) in enumerate(layers.items()):
      kind = order[layer.rpartition('_')[2]]
      group = file.create_group(f'layers/{kind}_{i}/vars')
      group.attrs['name'] = layer
      sorted_kinds = sorted(arrays, key=kinds.index)
      for number, name in enumerate(sorted_kinds):
        group[str(number)] = arrays[name]
  return str(path)


@pytest.fixture(scope='module')
def ours():
  return narrow()


@pytest.mark.parametrize('form', ['classic', 'classic3', 'numbered'])
def test_both_forms_of_file(ours, tmp_path, form):
  layers = layers_like(ours)
  if form == 'numbered':
    path = write_numbered(tmp_path / 'a.weights.h5', layers)
  else:
    ending = ':0' if form == 'classic' else ''
    path = write_classic(tmp_path / 'a.h5', layers, ending)
  assert hdf5_file.is_hdf5(path)
  source = keras_resnet.open_weights(path)
  made = plan.make(ours, source)
  assert len(made.mapped) == len(ours.variables)
  assert set(made.unneeded.values()) == {'image classifier'}
  unit = 'block3/unit_2/bottleneck_v1/conv2'
  bias = layers['conv4_block2_2_conv']['bias']
  norm = layers['conv4_block2_2_bn']
  mean = source.read(f'resnet_v1_50/{unit}/BatchNorm/moving_mean')
  np.testing.assert_allclose(mean, norm['moving_mean'] - bias, atol=1e-7)
  np.testing.assert_array_equal(
    source.read(f'resnet_v1_50/{unit}/weights'),
    layers['conv4_block2_2_conv']['kernel'],
  )
  np.testing.assert_array_equal(
    source.read('resnet_v1_50/block2/unit_1/bottleneck_v1/shortcut/weights'),
    layers['conv3_block1_0_conv']['kernel'],
  )
  np.testing.assert_array_equal(
    source.read('resnet_v1_50/conv1/weights'),
    layers['conv1_conv']['kernel'][:, :, ::-1],
  )


def test_the_beta_root_is_refused(ours, tmp_path):
  path = write_classic(tmp_path / 'a.h5', layers_like(ours))
  beta = [
    dataclasses.replace(
      v,
      original=v.original.replace(
        'resnet_v1_50/conv1/', 'resnet_v1_50/conv1_1/'
      ),
    )
    for v in ours.variables
  ]
  beta = dataclasses.replace(ours, variables=tuple(beta))
  with pytest.raises(errors.ConfigError, match='one 7x7 convolution'):
    plan.make(beta, keras_resnet.open_weights(path))


@pytest.mark.parametrize('depth, unit', [(101, 7), (152, 24)])
def test_deeper_networks_are_refused(ours, tmp_path, depth, unit):
  layers = layers_like(ours)
  for n in range(7, unit + 1):
    layers[f'conv4_block{n}_1_conv'] = layers['conv4_block6_1_conv']
  path = write_classic(tmp_path / 'a.h5', layers)
  phrase = (
    f'the backbone resnet_v1_{depth}, but the experiment has resnet_v1_50'
  )
  with pytest.raises(errors.ConfigError, match=phrase):
    plan.make(ours, keras_resnet.open_weights(path))


@pytest.mark.slow
def test_resnet_101_is_reported_by_its_layers(tmp_path):
  deep = narrow('resnet_v1_101')
  path = write_classic(tmp_path / 'a.h5', layers_like(deep))
  made = plan.make(deep, keras_resnet.open_weights(path))
  assert len(made.mapped) == len(deep.variables)


def test_missing_and_unknown_layers_are_named(ours, tmp_path):
  layers = layers_like(ours)
  del layers['conv3_block2_1_conv']
  path = write_classic(tmp_path / 'a.h5', layers)
  phrase = 'lacks resnet_v1_50/block2/unit_2/bottleneck_v1/conv1/weights'
  with pytest.raises(errors.ConfigError, match=phrase):
    plan.make(ours, keras_resnet.open_weights(path))
  layers = {**layers_like(ours), 'dense_7': {'kernel': np.zeros([2])}}
  path = write_classic(tmp_path / 'b.h5', layers)
  with pytest.raises(errors.ConfigError, match='unneeded: dense_7/kernel'):
    plan.make(ours, keras_resnet.open_weights(path))


def test_other_files_are_refused(ours, tmp_path):
  layers = layers_like(ours)
  of_v2 = {**layers, 'post_bn': {'gamma': np.zeros([2])}}
  path = write_classic(tmp_path / 'v2.h5', of_v2)
  with pytest.raises(errors.ConfigError, match='ResNet V2'):
    keras_resnet.open_weights(path)
  path = write_classic(tmp_path / 'dense.h5', {'a': {'kernel': np.zeros([2])}})
  with pytest.raises(errors.ConfigError, match='no layer conv1_conv'):
    keras_resnet.open_weights(path)
  with h5py.File(tmp_path / 'model.h5', 'w') as file:
    file.create_group('model_weights')
  with pytest.raises(errors.ConfigError, match='whole saved model'):
    keras_resnet.open_weights(str(tmp_path / 'model.h5'))
  whole = write_classic(tmp_path / 'half.h5', layers)
  data = (tmp_path / 'half.h5').read_bytes()
  (tmp_path / 'half.h5').write_bytes(data[: len(data) // 2])
  with pytest.raises(errors.DataError, match='cannot be read as HDF5'):
    keras_resnet.open_weights(whole)


def random_keras_resnet():
  """Keras' own network with weights of all kinds, and its parts as outputs."""
  model = keras.applications.ResNet50(
    weights=None, include_top=False, input_shape=(SIZE, SIZE, 3)
  )
  for variable in model.weights:
    kind = variable.path.rpartition('/')[2]
    name = {'kernel': 'weights', 'bias': 'biases'}.get(kind, kind)
    path = variable.path.rpartition('/')[0]
    variable.assign(original.rule_weights(f'{path}/{name}', variable.shape))
  names = ('conv1_conv', 'conv2_block3_out', 'conv4_block1_out')
  outputs = [*(model.get_layer(n).output for n in names), model.output]
  return model, keras.Model(model.input, outputs)


def load_ours(path, output_stride):
  backbone = resnet_v1.ResNetV1('resnet_v1_50', output_stride)
  backbone(tf.zeros([1, 33, 33, 3]))
  source = keras_resnet.open_weights(path)
  for variable in backbone.variables:
    variable.assign(source.read(original_names.original_name(variable.path)))
  return backbone


@pytest.mark.slow
def test_keras_own_network_computes_the_same(tmp_path, monkeypatch):
  """At stride 32; and at 8, atrous, in every fourth pixel."""
  model, parts = random_keras_resnet()
  path = str(tmp_path / 'resnet50.weights.h5')
  model.save_weights(path)
  image = original.rule_image(1, SIZE, SIZE).astype(np.float32)

  def theirs(mean):
    return parts((image - np.asarray(mean, np.float32))[..., ::-1])

  # With one mean for both, borders included, nothing differs.
  monkeypatch.setattr(keras_resnet, '_MEAN_RGB', pixels.MEAN_RGB)
  pixels_in = pixels.subtract_imagenet_mean(tf.constant(image))
  *_, expected = theirs(pixels.MEAN_RGB)
  scale = np.abs(expected).max()
  for stride, step in ((32, 1), (16, 2), (8, 4)):
    features, _ = load_ours(path, stride)(pixels_in)
    difference = np.abs(features[:, ::step, ::step] - expected).max()
    assert difference < 2e-5 * scale, stride
  monkeypatch.undo()
  # With Keras' own mean, away from the border nothing does either ...
  backbone = load_ours(path, 32)
  first, _, _, expected = theirs(keras_resnet._MEAN_RGB)
  conv, norm = backbone.root[0].conv, backbone.root[0].norm
  padded = tf.pad(pixels_in, [[0, 0], [3, 3], [3, 3], [0, 0]])
  folded = np.array(norm.moving_mean)
  keras_mean = np.array(model.get_layer('conv1_bn').moving_mean)
  ours_first = conv(padded) - folded
  inner = np.abs(ours_first - (first - keras_mean))[:, 2:-2, 2:-2]
  assert inner.max() < 2e-5 * np.abs(first).max()
  # ... and the border changes little.
  features, _ = backbone(pixels_in)
  assert np.abs(features - expected).max() < 0.02 * np.abs(expected).max()
