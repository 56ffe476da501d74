import os
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from deeplab_contrast.core.network import heads, model
from deeplab_contrast.tasks import contrastive, softmax
from deeplab_contrast.training import averages, checkpoints, contents
from deeplab_contrast.training import weights as weights_lib
from deeplab_contrast.utils import errors, results
from tests import tiny


def saver_of(folder, network, step, **settings):
  optimizer = tiny.make_trainer().optimizer
  optimizer.build(network.trainable_variables)
  return checkpoints.Checkpoints(
    str(folder), network, optimizer, step, **settings
  )


@pytest.fixture
def run(tmp_path):
  """A run with checkpoints 1 and 2; the weights of 1 are all below 10."""
  network = tiny.network(contrastive.Contrastive())
  step = tf.Variable(1, dtype=tf.int64)
  saver = saver_of(tmp_path, network, step)
  saver.save()
  step.assign(2)
  variable = network.trunk.trainable_variables[0]
  variable.assign(variable + 100)
  saver.save()
  return network, saver, step, tmp_path


def files(folder, step, ending='*'):
  path = pathlib.Path(checkpoints.path_of(folder, step))
  return list(path.parent.glob(path.name + ending))


def damage(folder, step, ending, change):
  change(*files(folder, step, ending))


def flip_a_bit(path):
  data = bytearray(path.read_bytes())
  data[len(data) // 2] ^= 4
  path.write_bytes(data)


@pytest.mark.parametrize(
  'ending, change',
  [
    ('.data*', flip_a_bit),
    ('.data*', lambda p: p.write_bytes(p.read_bytes()[:100])),
    ('.data*', lambda p: p.unlink()),
    ('.index', lambda p: p.unlink()),
    ('.index', lambda p: p.write_bytes(b'')),
  ],
)
def test_damaged_newest_falls_back(run, ending, change):
  network, saver, step, folder = run
  damage(folder, 2, ending, change)
  assert saver.restore() == checkpoints.path_of(folder, 1)
  assert int(step) == 1
  assert np.abs(network.trunk.trainable_variables[0]).max() < 10


def test_all_damaged_lists_them(run):
  _, saver, _, folder = run
  for number in (1, 2):
    damage(folder, number, '.data*', flip_a_bit)
  first, second = (checkpoints.path_of(folder, i) for i in (1, 2))
  with pytest.raises(errors.SystemFault, match=f'{second}, {first}'):
    saver.restore()


def test_leftovers_of_a_killed_save_are_swept(run):
  _, saver, _, folder = run
  leftover = pathlib.Path(checkpoints.path_of(folder, 3) + '_temp')
  leftover.mkdir()
  (leftover / 'part-00000').write_text('half')
  assert saver.restore() == checkpoints.path_of(folder, 2)
  assert not leftover.exists()


def test_newest_is_by_step_not_by_time(run):
  _, saver, _, folder = run
  for path in files(folder, 2):
    os.utime(path, (0, 0))
  assert saver.restore() == checkpoints.path_of(folder, 2)


def test_warm_start_takes_the_trunk_only(run):
  pretrained, _, _, folder = run
  network = tiny.network(softmax.Softmax(), seed=5)
  head = np.array(network.head.weights[0])
  checkpoints.WarmStart(str(folder))(network)
  for ours, theirs in zip(
    network.trunk.weights, pretrained.trunk.weights, strict=True
  ):
    np.testing.assert_array_equal(ours, theirs)
  np.testing.assert_array_equal(network.head.weights[0], head)


def test_warm_start_of_a_finished_run_takes_its_last_checkpoint_only(run):
  damage(run[3], 2, '.data*', pathlib.Path.unlink)
  results.write_done(str(run[3]), 2)
  with pytest.raises(errors.SystemFault, match=r'step 1: delete .*DONE and'):
    checkpoints.WarmStart(str(run[3]))(tiny.network(softmax.Softmax()))


def test_warm_start_from_nothing_is_refused(tmp_path):
  with pytest.raises(errors.ConfigError, match='neither a checkpoint nor'):
    checkpoints.WarmStart(str(tmp_path / 'nowhere'))(None)


def test_other_network_is_named(run):
  _, _, _, folder = run
  wider = tiny.network(softmax.Softmax())
  with pytest.raises(errors.ConfigError, match='another network'):
    checkpoints.restore_model(str(folder), wider)


def test_no_checkpoint_says_how_to_train(tmp_path):
  with pytest.raises(errors.ConfigError, match='train it first'):
    checkpoints.restore_model(str(tmp_path), None)


def test_warm_start_takes_backbone_or_head(run):
  pretrained, _, _, folder = run
  network = tiny.network(contrastive.Contrastive(), seed=5)
  before = tiny.weights(network)
  checkpoints.WarmStart(str(folder), ('backbone', 'head'))(network)
  theirs = tiny.weights(pretrained)
  for path, value in tiny.weights(network).items():
    taken = 'resnet_v1' in path or '/projection/' in path
    expected = (theirs if taken else before)[path]
    np.testing.assert_array_equal(value, expected, err_msg=path)


def test_warm_start_says_what_is_not_there(run):
  _, _, _, folder = run
  network = tiny.network(softmax.Softmax())
  before = tiny.weights(network)
  start = checkpoints.WarmStart(str(folder), ('trunk', 'head'))
  with pytest.raises(errors.ConfigError) as caught:
    start(network)
  text = str(caught.value)
  assert "names 'head'" in text and 'logits/semantic/kernel' in text
  assert 'it has backbone, trunk; use only those' in text
  for path, value in tiny.weights(network).items():
    np.testing.assert_array_equal(value, before[path])
  with pytest.raises(errors.ConfigError, match="names 'tail'; known: backbone"):
    checkpoints.WarmStart(str(folder), ('tail',))(network)


@pytest.mark.parametrize('value', [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_refused(run, value):
  network, saver, step, folder = run
  kernel = network.trunk.trainable_variables[0]
  kernel.assign(np.full(kernel.shape, value))
  step.assign(3)
  path = saver.save()
  wrong = rf'{path} holds values that are NaN or infinite, in trunk/.*\(1 var'
  with pytest.raises(errors.ConfigError, match=wrong):
    checkpoints.WarmStart(str(folder))(network)
  with pytest.raises(errors.ConfigError, match=wrong):
    checkpoints.restore_model(str(folder), network)


def test_a_trunk_of_another_width_is_named(run, monkeypatch):
  _, _, _, folder = run
  parts = tiny.small_parts(16)
  monkeypatch.setattr(tiny, 'small_parts', lambda *_, **__: parts)
  with pytest.raises(errors.ConfigError, match='trunk .* has a different si'):
    checkpoints.WarmStart(str(folder))(tiny.network(softmax.Softmax()))


def test_a_warm_start_from_the_original_says_how(run):
  network, _, _, folder = run
  path = str(folder / 'model.ckpt')
  tf.raw_ops.SaveV2(
    prefix=path,
    tensor_names=['resnet_v1_18/conv1_1/weights'],
    shape_and_slices=[''],
    tensors=[tf.zeros([1])],
  )
  with pytest.raises(
    errors.ConfigError, match='deeplab_contrast.convert import'
  ):
    checkpoints.WarmStart(path)(network)


def test_weights_of_parts_are_no_run(run, tmp_path):
  """As the conversion of an ImageNet checkpoint leaves them."""
  network, _, step, _ = run
  named = contents.names(network.trunk.backbone.variables)
  weights = {
    named[k]: v for k, v in tiny.weights(network).items() if k in named
  }
  model_dir = str(tmp_path / 'converted')
  path = weights_lib.write(model_dir, weights)
  assert path == checkpoints.path_of(model_dir, 0)
  _, read, slots = weights_lib.read(model_dir, network)
  assert slots == 0 and set(read) == set(weights)
  for name, value in weights.items():
    np.testing.assert_array_equal(read[name], value)
  checkpoints.WarmStart(model_dir, ('backbone',))(network)
  with pytest.raises(errors.ConfigError, match='it has backbone; use only'):
    checkpoints.WarmStart(model_dir)(network)
  with pytest.raises(errors.ConfigError, match='holds only the backbone'):
    checkpoints.restore_model(model_dir, network)
  saver = saver_of(model_dir, network, step)
  with pytest.raises(errors.ConfigError, match='holds only weights'):
    saver.restore()


def test_a_head_of_other_classes_is_named(tmp_path, monkeypatch):
  first = tiny.network(softmax.Softmax())
  named = contents.names(first.variables)
  weights = {named[k]: v for k, v in tiny.weights(first).items() if k in named}
  weights_lib.write(str(tmp_path), weights)
  monkeypatch.setattr(tiny, 'CLASSES', 5)
  second = tiny.network(softmax.Softmax())
  both = checkpoints.WarmStart(str(tmp_path), ('trunk', 'head'))
  with pytest.raises(errors.ConfigError) as caught:
    both(second)
  for phrase in ('(1, 1, 8, 3) there', '(1, 1, 8, 5) here', "('trunk',)"):
    assert phrase in str(caught.value)
  checkpoints.WarmStart(str(tmp_path))(second)


def test_weights_without_a_place_are_reported(run):
  network, _, _, folder = run
  path = checkpoints.path_of(folder, 2)
  reader = tf.train.load_checkpoint(path)
  weights = {
    name: reader.get_tensor(contents.key(name))
    for name in contents.by_path(network.variables)
  }
  weights['trunk/decoder/lost/kernel'] = np.zeros(3, np.float32)
  other = folder / 'other'
  path = weights_lib.write(str(other), weights, 7)
  told = f'{path} belongs to another network: it also has trunk/decoder/lost/'
  with pytest.raises(errors.ConfigError, match=told):
    checkpoints.restore_model(str(other), network)


def test_a_warm_start_falls_back_too(run):
  network, _, _, folder = run

  def cut(path):
    path.write_bytes(path.read_bytes()[:100])

  damage(folder, 2, '.data*', cut)
  start = checkpoints.WarmStart(str(folder))
  assert start(network) == checkpoints.path_of(folder, 1)
  damage(folder, 1, '.data*', cut)
  with pytest.raises(errors.SystemFault, match='None of these checkpoints'):
    start(network)


def test_data_without_an_index_are_swept(run):
  _, saver, _, folder = run
  damage(folder, 2, '.index', pathlib.Path.unlink)
  saver.restore()
  assert not files(folder, 2)
  assert files(folder, 1, '.data*')


def test_a_list_of_tensorflow_is_not_needed_and_not_kept(run):
  network, _, step, folder = run
  for name in ('checkpoint', 'checkpoint.tmp123'):
    (folder / 'checkpoints' / name).write_bytes(b'\x85\xff')
  again = saver_of(folder, network, step)
  assert again.restore() == checkpoints.path_of(folder, 2)
  again.save()
  assert not list((folder / 'checkpoints').glob('checkpoint*'))


def test_old_checkpoints_go_after_a_restart_too(run):
  _, _, step, folder = run
  network = tiny.network(contrastive.Contrastive())
  again = saver_of(folder, network, step, keep=2)
  assert again.restore() == checkpoints.path_of(folder, 2)
  for number in (3, 4):
    step.assign(number)
    again.save()
  paths = checkpoints.list_checkpoints(str(folder / 'checkpoints'))
  assert [checkpoints.step_of(path) for path in paths] == [4, 3]


def test_what_is_newer_and_damaged_costs_nothing_that_is_good(run):
  _, _, step, folder = run
  damage(folder, 2, '.data*', lambda p: p.write_bytes(b''))
  network = tiny.network(contrastive.Contrastive())
  step.assign(1)
  again = saver_of(folder, network, step, keep=1)
  good = checkpoints.path_of(folder, 1)
  assert again.restore() == good
  # Saved before the damaged one is reached again.
  assert again.save() == good
  assert again.restore() == good


def test_who_does_not_write_restores_and_leaves_the_files_alone(run):
  network, _, step, folder = run
  pathlib.Path(checkpoints.path_of(folder, 3) + '_temp').mkdir()
  before = sorted(folder.rglob('*'))
  reader = saver_of(folder, network, step, writes=False)
  step.assign(1)
  assert reader.restore() == checkpoints.path_of(folder, 2) and int(step) == 2
  step.assign(7)
  assert reader.save() == checkpoints.path_of(folder, 7)
  assert sorted(folder.rglob('*')) == before


def test_the_digest_is_of_the_weights(run):
  network, saver, _, _ = run
  saver.restore()
  whole = saver.state_digest()
  variable = network.trunk.trainable_variables[0]
  variable.assign(variable + 1)
  assert saver.state_digest() != whole
  saver.restore()
  assert saver.state_digest() == whole


def functional_network(seed):
  """A network whose backbone was built outside of it, with Keras' paths."""
  keras.utils.set_random_seed(seed)

  class Backbone(keras.layers.Layer):
    output_stride = 16

    def __init__(self):
      super().__init__(name='functional')
      net, maps = keras.Input([None, None, 3]), []
      inputs = net
      for i in range(4):
        conv = keras.layers.Conv2D(
          4, 3, 2, 'same', use_bias=False, name=f'conv{i}'
        )
        net = keras.layers.BatchNormalization(name=f'norm{i}')(conv(net))
        maps.append(net)
      self.encoder = keras.Model(inputs, maps)

    def normalize(self, images):
      return images / 255.0

    def call(self, images, training=False):
      _, *low, features = self.encoder(images, training=training)
      return features, dict(zip((4, 8), low, strict=True))

  trunk = model.Trunk(Backbone(), *tiny.small_parts(8))
  result = model.DeepLab(trunk, heads.Classifier(3))
  result.build_variables()
  return result


def test_layers_built_outside_the_network_are_kept(tmp_path):
  network = functional_network(seed=0)
  assert 'conv0/kernel' in {v.path for v in network.variables}
  optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
  optimizer.build(network.trainable_variables)
  moving = averages.Averages(network, 0.9)
  step = tf.Variable(1, dtype=tf.int64)
  checkpoints.Checkpoints(
    str(tmp_path), network, optimizer, step, averages=moving.variables
  ).save()
  expected = tiny.weights(network)
  whole, started = functional_network(seed=1), functional_network(seed=2)
  checkpoints.restore_model(str(tmp_path), whole)
  checkpoints.WarmStart(str(tmp_path), ('trunk', 'head'))(started)
  for restored in (whole, started):
    for path, value in tiny.weights(restored).items():
      np.testing.assert_array_equal(value, expected[path], err_msg=path)


def test_layers_of_one_name_are_named():
  layers = [keras.layers.Dense(2, name='same') for _ in range(2)]
  for layer in layers:
    layer.build([1, 3])
  with pytest.raises(errors.ConfigError, match='same/kernel'):
    contents.by_path([v for layer in layers for v in layer.variables])


def test_errors_of_tensorflow_are_reported_without_its_nodes():
  error = tf.errors.ResourceExhaustedError(
    None,
    None,
    '{{function_node __wrapped__SaveV2_device_/job:localhost/device:CPU:0}} '
    'a_temp/part-0; No space left on device [Op:SaveV2]\nmore',
  )
  told = 'a_temp/part-0; No space left on device.'
  assert contents.first_line(error) == told
