"""The adapter of keras-cv backbones, against keras-cv itself."""

import socket

import keras
import numpy as np
import pytest
import tensorflow as tf

from deeplab_contrast.core.network import (
  folding,
  keras_cv_backbone,
  keras_cv_variants,
  model,
  norm,
)
from deeplab_contrast.tasks import softmax
from tests import tiny

# One block for each stride, or few.
_SHALLOW = {
  'efficientnet_v2_b0': {'stackwise_num_repeats': (2, 1, 1, 2, 1, 1)},
  'efficientnet_lite0': {'stackwise_num_repeats': (1, 2, 1, 1, 1, 1, 1)},
  'mit_b0': {'depths': (1, 1, 1, 2)},
  'csp_darknet_tiny': {'stackwise_depth': (1, 1, 1, 1)},
  'mobilenet_v3_small': {
    key: [values[i] for i in (0, 1, 3, 8)]
    for key, values in keras_cv_variants._MOBILE['small'].items()
  },
}


def _slow(*names):
  return [pytest.param(name, marks=pytest.mark.slow) for name in names]


_ALL = [
  'efficientnet_v2_b0',
  'efficientnet_lite0',
  'mit_b0',
  *_slow(
    'mobilenet_v3_small',
    'csp_darknet_tiny',
    'resnet_v2_18',
  ),
]


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
  def refuse(*arguments, **_):
    raise AssertionError(f'Something used the network: {arguments}')

  monkeypatch.setattr(socket.socket, 'connect', refuse)
  monkeypatch.setattr(socket, 'getaddrinfo', refuse)


def make(name, output_stride=32, **arguments):
  given = {**_SHALLOW.get(name, {}), **arguments}
  return keras_cv_backbone.KerasCvBackbone(name, output_stride, 0.125, given)


def network(name, **arguments):
  keras.utils.set_random_seed(0)
  trunk = model.Trunk(make(name), *tiny.small_parts(8), **arguments)
  result = model.DeepLab(trunk, softmax.Softmax().make_head(tiny.CLASSES))
  result.build_variables()
  return result


def of_keras_cv(name):
  """Keras-cv's own model of the same numbers, which rescales by itself."""
  from keras_cv import models

  family, size = keras_cv_variants.find(name)
  class_name, arguments, _, levels = keras_cv_variants.FAMILIES[family]
  raw = getattr(models, class_name)(
    **{
      **arguments(size, 0.125),
      **_SHALLOW.get(name, {}),
      'include_rescaling': True,
      'input_shape': (64, 64, 3),
    }
  )
  outputs = [
    raw.get_layer(raw.pyramid_level_inputs[level]).output for level in levels
  ]
  last = raw.output
  if family == 'efficientnet':
    last = raw.get_layer('block7a_project_bn').output
  return keras.Model(raw.input, [*outputs, last])


def _is_state(variable):
  return 'calls' in variable.path or 'seed_generator' in variable.path


def fill(*models):
  """Gives models of one structure the same random weights."""
  rng = np.random.default_rng(0)
  groups = [[v for v in m.variables if not _is_state(v)] for m in models]
  for same in zip(*groups, strict=True):
    first = same[0]
    value = rng.normal(0, 0.1, first.shape)
    if 'variance' in first.path or 'gamma' in first.path:
      value = 1 + 0.5 * np.abs(value)
    for variable in same:
      variable.assign(value)


@pytest.mark.parametrize('name', _ALL)
def test_it_is_what_keras_cv_computes(name):
  ours, theirs = make(name), of_keras_cv(name)
  fill(ours, theirs)
  images = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3))
  images = images.astype(np.float32)
  features, low = ours(images / 255)
  expected = theirs(images)
  actual = [low[4], low[8], low[16], features]
  for a, e in zip(actual, expected, strict=True):
    assert np.abs(e).max() > 0
    np.testing.assert_allclose(a, e, atol=2e-5 * np.abs(e).max())


@pytest.mark.parametrize('name', _ALL)
def test_maps_of_any_size(name):
  backbone = make(name)
  assert backbone.output_stride == 32
  dynamic = tf.function(
    backbone, input_signature=[tf.TensorSpec((None, None, None, 3))]
  )
  rng = np.random.default_rng(0)
  for size in [(65, 65), (65, 97), (70, 90), (33, 8)]:
    images = rng.uniform(0, 1, (1, *size, 3)).astype(np.float32)
    features, low = backbone(images)
    for stride, maps in {**low, 32: features}.items():
      assert maps.shape[1:3] == tuple(-(-side // stride) for side in size)
    np.testing.assert_allclose(dynamic(images)[0], features, atol=1e-4)
  assert sorted(low) == [4, 8, 16]


@pytest.mark.parametrize(
  'name',
  [
    'efficientnet_lite0',
    *_slow('efficientnet_v2_b0', 'resnet_v2_18'),
  ],
)
def test_atrous_features_are_the_native_ones_between_more(name):
  """Every second pixel of the denser map, away from the border."""
  native, dense = make(name), make(name, output_stride=16)
  fill(native, dense)
  images = np.random.default_rng(0).uniform(-1, 1, (1, 513, 513, 3))
  images = images.astype(np.float32)
  (expected, _), (actual, low) = native(images), dense(images)
  assert actual.shape[1:3] == low[16].shape[1:3]
  ours, theirs = actual[:, ::2, ::2], expected
  inside = slice(7, 10)
  np.testing.assert_allclose(
    ours[:, inside, inside],
    theirs[:, inside, inside],
    atol=1e-4 * np.abs(theirs).max(),
  )


@pytest.mark.slow
def test_output_stride_8():
  backbone = make('efficientnet_lite0', output_stride=8)
  features, low = backbone(tf.zeros((1, 65, 97, 3)))
  assert features.shape[1:3] == (9, 13)
  assert sorted(low) == [4, 8]


@pytest.mark.parametrize('name', _ALL)
def test_paths_are_unique_and_do_not_depend_on_the_process(name):
  first = [v.path for v in make(name).variables]
  keras.layers.Dense(1)  # Keras keeps counting.
  assert [v.path for v in make(name).variables] == first
  assert len(set(first)) == len(first)
  assert all(path.startswith(f'deeplab/trunk/{name}/') for path in first)


@pytest.mark.slow
def test_training_saves_and_resumes(tmp_path):
  name = 'mit_b0'
  for steps in (1, 2):
    network_ = network(name)
    start = tiny.weights(network_)
    tiny.make_trainer(steps=steps, learning_rate=0.01).fit(
      network_,
      softmax.Softmax(),
      tiny.make_stream(),
      tf.distribute.get_strategy(),
      str(tmp_path),
    )
  result = tiny.weights(network_)
  assert all(np.isfinite(value).all() for value in result.values())
  # Two calls per step, of two steps; a rate of 0 counts none.
  calls = {int(v) for p, v in result.items() if 'calls' in p and name in p}
  assert calls == {0, 4}
  moved = [p for p in result if not np.array_equal(result[p], start[p])]
  assert any('kernel' in path for path in moved if name in path)


@pytest.mark.slow
def test_it_compiles_with_gradients():
  # The one whose forward pass is our own.
  backbone = make('mit_b0')
  variables = [v.value for v in backbone.trainable_variables]

  @tf.function(jit_compile=True)
  def gradients(images):
    with tf.GradientTape() as tape:
      features, _ = backbone(images, training=True)
      loss = tf.reduce_sum(features**2)
    return tape.gradient(loss, variables)

  images = tf.random.stateless_uniform((2, 33, 33, 3), (0, 0))
  assert all(np.isfinite(g).all() for g in gradients(images))


@pytest.mark.parametrize('name', ['efficientnet_v2_b0', *_slow('mit_b0')])
def test_weight_decay_is_on_kernels_but_depthwise_ones(name):
  result = network(name)
  decayed = {v.path for v in result.decayed_kernels()}
  kernels = {v.path for v in result.trainable_variables if 'kernel' in v.path}
  depthwise = {p for p in kernels if 'depthwise' in p or 'dwconv' in p}
  assert depthwise
  assert decayed == kernels - depthwise


def test_batch_norm_can_be_frozen():
  images = tf.random.stateless_uniform((2, 33, 33, 3), (0, 0), 0, 255)
  for fine_tune in (True, False):
    result = network('resnet_v2_18', fine_tune_batch_norm=fine_tune)
    before = tiny.weights(result)
    result(images, training=True)
    after = tiny.weights(result)
    moved = {p for p, v in after.items() if np.any(v != before[p])}
    assert any('moving' in p for p in moved) == fine_tune
    learning = [v.path for v in result.trunk.backbone.trainable_variables]
    assert any('gamma' in path for path in learning)
    assert any('calls' in p for p in moved)


@pytest.mark.parametrize(
  'name',
  ['efficientnet_lite0', *_slow('efficientnet_v2_b0', 'mobilenet_v3_small')],
)
def test_batch_norm_folds_into_convolutions(name):
  backbone = make(name)
  fill(backbone)
  images = tf.random.stateless_uniform((1, 65, 65, 3), (0, 0))
  expected, _ = backbone(images)
  norms = [
    x
    for x in backbone._flatten_layers()
    if isinstance(x, norm.BatchNorm) and x.built
  ]
  with folding.folded(backbone) as count:
    assert count == len(norms) and all(x.is_folded for x in norms)
    actual, _ = backbone(images)
  assert np.abs(expected).max() > 0
  np.testing.assert_allclose(
    actual, expected, atol=1e-5 * np.abs(expected).max()
  )
  np.testing.assert_array_equal(backbone(images)[0], expected)


def test_stochastic_depth_drops_only_in_training():
  backbone = make('efficientnet_v2_b0', skip_connection_dropout=0.9)
  images = tf.random.stateless_uniform((4, 33, 33, 3), (0, 0))
  first, second = backbone(images)[0], backbone(images)[0]
  np.testing.assert_array_equal(first, second)
  # Without batch norm's updates, only the masks differ between calls.
  for layer in backbone._flatten_layers():
    if isinstance(layer, norm.BatchNorm):
      layer.is_frozen = True
  trained = [backbone(images, training=True)[0] for _ in range(4)]
  assert any(np.any(t != trained[0]) for t in trained[1:])


@pytest.mark.slow
def test_mixed_precision():
  keras.mixed_precision.set_global_policy('mixed_bfloat16')
  try:
    result = network('mit_b0')
  finally:
    keras.mixed_precision.set_global_policy('float32')
  backbone = result.trunk.backbone
  assert {v.dtype for v in backbone.trainable_variables} == {'float32'}
  features, _ = backbone(tf.zeros((1, 65, 65, 3), tf.bfloat16))
  assert features.dtype == tf.bfloat16
  assert result(tf.zeros((1, 65, 65, 3))).dtype == tf.float32


def test_unknown_names_and_strides_are_refused():
  with pytest.raises(ValueError, match='mit_b0') as error:
    keras_cv_backbone.KerasCvBackbone('mit_b9')
  assert all(name in str(error.value) for name in keras_cv_variants.NAMES)
  with pytest.raises(ValueError, match='8, 16 or 32'):
    keras_cv_backbone.KerasCvBackbone('efficientnet_lite0', output_stride=4)
  for name in ('mit_b0', 'mobilenet_v3_small', 'csp_darknet_tiny'):
    with pytest.raises(ValueError, match='native stride, 32'):
      keras_cv_backbone.KerasCvBackbone(name, output_stride=16)


@pytest.mark.slow
@pytest.mark.parametrize(
  ('name', 'preset', 'classifier'),
  [
    ('efficientnet_v2_b0', 'efficientnetv2_b0', 0),
    ('efficientnet_v2_s', 'efficientnetv2_s', 0),
    ('csp_darknet_tiny', 'csp_darknet_tiny', 0),
    ('csp_darknet_l', 'csp_darknet_l', 0),
    ('resnet_v2_18', 'resnet18_v2', 0),
    ('resnet_v2_50', 'resnet50_v2', 0),
    # Its number includes a classifier of ten classes.
    ('mit_b0', 'mit_b0', 2570),
  ],
)
def test_numbers_of_weights_are_those_keras_cv_states(name, preset, classifier):
  from keras_cv import models

  class_name = keras_cv_variants.FAMILIES[keras_cv_variants.find(name)[0]][0]
  stated = getattr(models, class_name).presets[preset]['metadata']['params']
  backbone = keras_cv_backbone.KerasCvBackbone(name)
  ours = [v for v in backbone.variables if not _is_state(v)]
  count = sum(int(np.prod(v.shape)) for v in ours)
  assert count + classifier == stated


@pytest.mark.slow
def test_two_replicas_equal_one(two_replicas):
  # Has both batch norm and stochastic depth.
  two_replicas(
    """
    import numpy as np
    import tensorflow as tf
    from tests import tiny
    from tests.core.network import keras_cv_backbone_test as this

    name = 'efficientnet_lite0'
    images = tf.random.stateless_uniform((4, 65, 65, 3), (0, 0), 0, 255)
    with two.scope():
      shared = this.make(name)
      shared(tf.zeros((1, 65, 65, 3)))
    alone = this.make(name)
    this.fill(shared, alone)

    def drop_nothing(backbone):
      for layer in backbone._flatten_layers():
        if type(layer).__name__ == 'Dropout':
          layer.rate = 1e-9  # Still counts.

    drop_nothing(shared), drop_nothing(alone)
    halves = two.experimental_distribute_values_from_function(
      lambda c: images[2 * c.replica_id_in_sync_group :][:2] / 255)
    run = tf.function(
      lambda x: two.run(lambda y: shared(y, training=True)[0], (x,)))
    result = tf.concat(two.experimental_local_results(run(halves)), 0)
    expected = alone(images / 255, training=True)[0]
    # Rounding in a stack of batch norms: 3e-5 was measured.
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-4)
    ours, theirs = tiny.weights(shared), tiny.weights(alone)
    for path, value in theirs.items():
      np.testing.assert_allclose(
        ours[path], value, rtol=1e-3, atol=1e-4, err_msg=path)
    """
  )
