"""Conversions, on a narrow network; and on full ones against golden logits."""

import csv
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from deeplab_contrast import convert, launch
from deeplab_contrast.conversion import network, plan, tf1
from deeplab_contrast.training import checkpoints, contents
from deeplab_contrast.training import weights as weights_lib
from deeplab_contrast.utils import errors
from tests import fixtures, original, processes

SCENES = ('gin_configs/scenes/softmax_scratch.gin', 'gin_configs/tiny.gin')
R18 = "BACKBONE = 'resnet_v1_18_beta'"

needs_golden = pytest.mark.skipif(
  not original.GOLDEN.is_dir(), reason='shared/golden is absent'
)


@pytest.fixture(scope='module')
def ours():
  return network.build(SCENES, [*fixtures.TINY_SCENES, R18])


@pytest.fixture(autouse=True)
def built_once(ours, monkeypatch):
  """The narrow network is not built again for every command."""
  build = network.build
  narrow = (list(SCENES), [*fixtures.TINY_SCENES, R18])

  def cached(gin_files, bindings=(), allow_imports=()):
    is_narrow = (gin_files, bindings) == narrow or (
      pathlib.Path(gin_files[0]).read_text() == ours.config
    )
    return ours if is_narrow else build(gin_files, bindings, allow_imports)

  monkeypatch.setattr(network, 'build', cached)


@pytest.fixture
def theirs(ours):
  """What a full checkpoint of the narrow network holds."""
  tensors = {
    v.original: original.rule_weights(v.original, v.value.shape)
    for v in ours.variables
    if v.original
  }
  tensors['global_step'] = np.int64(30_000)
  return tensors


def source_of(tensors):
  return tf1.Source(
    'model.ckpt',
    {name: value.shape for name, value in tensors.items()},
    {name: value.dtype for name, value in tensors.items()},
    tensors.__getitem__,
  )


def command(name, checkpoint, model_dir, *more):
  arguments = [f'--checkpoint={checkpoint}', f'--model_dir={model_dir}']
  if name == 'import':
    arguments += [f'--gin_file={f}' for f in SCENES]
    bindings = (*fixtures.TINY_SCENES, R18)
    arguments += [f'--gin_bindings={b}' for b in bindings]
  return convert.main([name, *arguments, *more])


def read_all(path):
  source = tf1.open_checkpoint(str(path))
  return {name: source.read(name) for name in source.shapes}


def backbone_of(tensors):
  return {k: v for k, v in tensors.items() if k.startswith('resnet_v1_18/')}


def test_round_trip_is_bit_equal(theirs, tmp_path, capsys):
  # Values that arithmetic would not leave alone.
  theirs['logits/semantic/biases'][:3] = [-0.0, np.float32(1e-42), 3e38]
  tf1.write(str(tmp_path / 'in' / 'model.ckpt'), theirs)
  run, out = tmp_path / 'run', tmp_path / 'out' / 'model.ckpt'
  assert command('import', tmp_path / 'in' / 'model.ckpt', run) == 0
  listed = capsys.readouterr().out
  assert all(f'  {name} ' in listed for name in theirs)
  assert 'Wrote' in listed and 'deeplab_contrast.eval' in listed
  assert command('export', out, run) == 0
  back = read_all(out)
  assert set(back) == set(theirs)
  assert back.pop('global_step') == 0  # Of our run, which starts anew.
  for name, value in back.items():
    assert value.dtype == np.float32
    assert value.tobytes() == theirs[name].tobytes(), name
  assert sorted(p.name for p in run.iterdir()) == ['checkpoints', 'config.gin']
  assert not [p for p in tmp_path.iterdir() if p.name.startswith('.')]


def test_an_imported_run_loads_like_any_other(theirs, tmp_path):
  tf1.write(str(tmp_path / 'model.ckpt'), theirs)
  run = str(tmp_path / 'run')
  # By its folder, of which it is the only checkpoint.
  assert command('import', tmp_path, run) == 0
  experiment = launch.parse([f'{run}/config.gin']).root
  assert experiment.restore(tf.distribute.get_strategy(), run) == 0
  by_name = original.original_names.by_original_name(experiment.model.weights)
  for name, variable in by_name.items():
    np.testing.assert_array_equal(variable, theirs[name])


@pytest.mark.slow
def test_an_imported_run_is_judged_by_the_command(theirs, tmp_path):
  tf1.write(str(tmp_path / 'model.ckpt'), theirs)
  run = tmp_path / 'run'
  assert command('import', tmp_path / 'model.ckpt.index', run) == 0
  done = processes.run_module(
    'eval', f'--model_dir={run}', f'--data_dir={tmp_path / "data"}'
  )
  assert done.returncode == 0, done.stderr
  assert 'step 0' in done.stdout
  done = processes.run_module(
    'train', f'--model_dir={run}', f'--data_dir={tmp_path / "data"}'
  )
  assert done.returncode == 2
  assert 'holds only weights' in done.stderr


def test_format_1_is_read(tmp_path):
  path = str(tmp_path / 'model.ckpt')
  value = np.arange(6, dtype=np.float32).reshape(2, 3)
  tf.raw_ops.Save(filename=path, tensor_names=['a/weights'], data=[value])
  np.testing.assert_array_equal(read_all(path)['a/weights'], value)


def test_imagenet_gives_the_backbone(ours, theirs):
  scope = 'resnet_v1_18'
  tensors = {
    **backbone_of(theirs),
    f'{scope}/logits/weights': np.zeros([1, 1, 64, 1000], np.float32),
    f'{scope}/logits/biases': np.zeros([1000], np.float32),
    f'{scope}/mean_rgb': np.zeros([3], np.float32),
    f'{scope}/conv1_1/weights/Momentum': np.zeros([3], np.float32),
    f'{scope}/logits/weights/RMSProp_1': np.zeros([3], np.float32),
    f'{scope}/conv1_1/weights/ExponentialMovingAverage': np.zeros([3]),
    'global_step': np.int64(7),
    'beta1_power': np.float32(0.9),
  }
  made = plan.make(ours, source_of(tensors))
  assert made.parts == ('backbone',)
  assert set(made.mapped.values()) == set(backbone_of(theirs))
  assert len(made.unneeded) == 8 and all(made.unneeded.values())
  count = len(made.mapped) + len(made.fresh) + len(made.ours_alone)
  assert count == len(ours.variables)
  reasons = set(made.fresh.values())
  assert reasons == {
    f'no {part} in the checkpoint; starts fresh'
    for part in ('aspp', 'decoder', 'head')
  }


def test_backbone_alone_survives_the_round_trip(theirs, tmp_path, capsys):
  tf1.write(str(tmp_path / 'model.ckpt'), backbone_of(theirs))
  run, out = tmp_path / 'run', tmp_path / 'out.ckpt'
  assert command('import', tmp_path / 'model.ckpt', run) == 0
  assert 'gin_configs/tasks/imagenet_backbone.gin' in capsys.readouterr().out
  assert command('export', out, run) == 0
  back = read_all(out)
  assert set(back) == {*backbone_of(theirs), 'global_step'}
  for name, value in backbone_of(theirs).items():
    np.testing.assert_array_equal(back[name], value)
  model = network.build([str(run / 'config.gin')]).model
  with pytest.raises(errors.ConfigError, match='holds only the backbone'):
    checkpoints.restore_model(str(run), model)
  start = checkpoints.WarmStart(str(run))
  with pytest.raises(errors.ConfigError, match='it holds: backbone; take only'):
    start(model)
  checkpoints.WarmStart(str(run), ('backbone',))(model)
  by_name = original.original_names.by_original_name(model.weights)
  for name, value in backbone_of(theirs).items():
    np.testing.assert_array_equal(by_name[name], value)


def test_other_classes_keep_the_trunk(ours, theirs, tmp_path, capsys):
  channels = theirs['logits/semantic/weights'].shape[2]
  theirs['logits/semantic/weights'] = np.zeros([1, 1, channels, 21], np.float32)
  theirs['logits/semantic/biases'] = np.zeros([21], np.float32)
  theirs['logits/semantic/biases/Momentum'] = np.zeros([21], np.float32)
  made = plan.make(ours, source_of(theirs))
  assert made.parts == ('backbone', 'aspp', 'decoder')
  assert len(made.fresh) == 2
  tf1.write(str(tmp_path / 'model.ckpt'), theirs)
  assert command('import', tmp_path / 'model.ckpt', tmp_path / 'run') == 0
  out = capsys.readouterr().out
  assert '21 classes in the checkpoint, 8 here' in out
  assert 'gin_configs/tasks/warm_start.gin' in out


def test_moving_averages_on_request(ours, theirs):
  name = 'resnet_v1_18/conv1_1/weights'
  average = f'{name}/ExponentialMovingAverage'
  with pytest.raises(errors.ConfigError, match='no moving averages'):
    plan.make(ours, source_of(theirs), use_averages=True)
  theirs[average] = theirs[name] + 1
  plain = plan.make(ours, source_of(theirs))
  made = plan.make(ours, source_of(theirs), use_averages=True)
  assert average in plain.unneeded and name not in plain.unneeded
  assert name in made.unneeded and average not in made.unneeded
  assert average in made.mapped.values()
  assert len(made.mapped) == len(plain.mapped)


def test_another_head_leaves_the_classifier(theirs):
  contrastive = 'gin_configs/scenes/contrastive_pretrain.gin'
  ours = network.build(
    [contrastive, SCENES[1]], [*fixtures.TINY_SCENES[:-3], 'FILTERS = 8', R18]
  )
  made = plan.make(ours, source_of(theirs))
  assert made.parts == ('backbone', 'aspp', 'decoder')
  assert 'another head' in made.unneeded['logits/semantic/weights']
  assert set(made.fresh.values()) == {
    'the original has no such head; starts fresh'
  }


def lacks(*names):
  return lambda t: {k: v for k, v in t.items() if k not in names}


def replace(name, value):
  return lambda t: {**t, name: value}


def rename(old, new):
  return lambda t: {k.replace(old, new): v for k, v in t.items()}


_KERNEL = 'resnet_v1_18/conv1_1/weights'
_DEPTHWISE = 'aspp1_depthwise/depthwise_weights'


@pytest.mark.parametrize(
  'change, phrases',
  [
    (lacks(_KERNEL), ('some of the backbone only', _KERNEL, '(1 in all)')),
    (lacks(_DEPTHWISE), ('some of the aspp only', _DEPTHWISE)),
    (
      lacks('decoder/decoder_conv0_pointwise/BatchNorm/gamma'),
      ('some of the decoder only', 'decoder_conv0_pointwise/BatchNorm/gamma'),
    ),
    (lacks('logits/semantic/biases'), ('some of the head only',)),
    (
      replace(_KERNEL, np.zeros([3, 3, 3, 5], np.float32)),
      (_KERNEL, '(3, 3, 3, 5) there', '(3, 3, 3, 8) here'),
    ),
    (
      replace(_DEPTHWISE, np.zeros([3, 3, 1, 64], np.float32)),
      (_DEPTHWISE, '(3, 3, 1, 64) there', '(3, 3, 64, 1) here'),
    ),
    (
      replace(_KERNEL, np.zeros([3, 3, 3, 8], np.float64)),
      (_KERNEL, 'float64 there', 'float32 here'),
    ),
    (
      replace('logits/semantic/weights', np.zeros([1, 1, 9, 21], np.float32)),
      ('logits/semantic/weights', '(1, 1, 9, 21) there'),
    ),
    (
      replace('attention/weights', np.zeros([3], np.float32)),
      ('without a place', 'attention/weights (1 in all)'),
    ),
    (
      lambda t: t | {f'x{i:02}/weights': np.zeros([1]) for i in range(25)},
      ('x00/weights', 'x19/weights and 5 more (25 in all)'),
    ),
    (
      rename('resnet_v1_18/', 'resnet_v1_101/'),
      ('the backbone resnet_v1_101', 'has resnet_v1_18'),
    ),
    (rename('resnet_v1_18/', 'MobilenetV2/'), ('the backbone MobilenetV2',)),
    (rename('resnet_v1_18/', 'net/'), ('no backbone that we know', 'net')),
    (rename('conv1_1/', 'conv1/'), ('one 7x7 convolution', 'BACKBONE')),
  ],
)
def test_refusals_of_what_does_not_fit(ours, theirs, change, phrases):
  with pytest.raises(errors.ConfigError) as caught:
    plan.make(ours, source_of(change(theirs)))
  for phrase in phrases:
    assert phrase in str(caught.value)


def nothing(folder):
  del folder


def truncated_data(folder):
  (path,) = folder.glob('model.ckpt.data*')
  path.write_bytes(path.read_bytes()[:-5000])


def flipped_bit(folder):
  (path,) = folder.glob('model.ckpt.data*')
  data = bytearray(path.read_bytes())
  data[len(data) // 2] ^= 1
  path.write_bytes(data)


def no_data(folder):
  next(folder.glob('model.ckpt.data*')).unlink()


def empty_index(folder):
  (folder / 'model.ckpt.index').write_bytes(b'')


def occupied(folder):
  (folder / 'run').mkdir()
  (folder / 'run' / 'notes.txt').write_text('mine')


@pytest.mark.parametrize(
  'name, prepare, code, phrase',
  [
    ('nowhere.ckpt', nothing, 2, 'There is no checkpoint'),
    ('empty', lambda f: (f / 'empty').mkdir(), 2, 'names no newest'),
    ('model.ckpt', truncated_data, 3, 'cannot be read'),
    ('model.ckpt', flipped_bit, 3, 'cannot be read'),
    ('model.ckpt', no_data, 3, 'cannot be read'),
    ('model.ckpt', empty_index, 3, 'cannot be read'),
    ('a.txt', lambda f: (f / 'a.txt').write_text('hi'), 3, 'cannot be read'),
    ('a.h5', lambda f: (f / 'a.h5').write_text('hi'), 3, 'not an HDF5 file'),
    ('model.ckpt', occupied, 2, 'already there'),
  ],
)
def test_refusals_of_files(
  theirs, tmp_path, capsys, name, prepare, code, phrase
):
  tf1.write(str(tmp_path / 'model.ckpt'), theirs)
  prepare(tmp_path)
  before = sorted(tmp_path.rglob('*'))
  assert command('import', tmp_path / name, tmp_path / 'run') == code
  error = capsys.readouterr().err
  assert error.startswith('error: ') and phrase in error
  assert error.count('\n') == 1
  assert sorted(tmp_path.rglob('*')) == before


def test_moving_averages_that_are_left_are_noted(theirs, tmp_path, capsys):
  name = 'resnet_v1_18/conv1_1/weights'
  theirs[f'{name}/ExponentialMovingAverage'] = theirs[name]
  tf1.write(str(tmp_path / 'model.ckpt'), theirs)
  for more, noted in (((), True), (('--use_averages',), False)):
    run = tmp_path / f'run{noted}'
    assert command('import', tmp_path / 'model.ckpt', run, *more) == 0
    assert ('Note: It holds moving' in capsys.readouterr().out) == noted


@pytest.mark.parametrize('value', [np.nan, -np.inf])
def test_values_that_are_no_numbers(theirs, tmp_path, capsys, value):
  theirs['resnet_v1_18/conv1_1/weights'][0, 0, 0, 0] = value
  tf1.write(str(tmp_path / 'model.ckpt'), theirs)
  assert command('import', tmp_path / 'model.ckpt', tmp_path / 'run') == 2
  error = capsys.readouterr().err
  assert 'in resnet_v1_18/conv1_1/weights (1 variables in all)' in error
  assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize('place', ['gs://bucket/a', '~/a', 'a[1]'])
def test_places_where_no_checkpoint_can_be(
  theirs, tmp_path, capsys, monkeypatch, place
):
  monkeypatch.chdir(tmp_path)
  tf1.write('in/model.ckpt', theirs)
  assert command('import', 'in/model.ckpt', place) == 2
  assert f'--model_dir={place} ' in capsys.readouterr().err
  assert command('export', place, 'run') == 2
  assert f'--checkpoint={place} ' in capsys.readouterr().err
  assert [p.name for p in tmp_path.iterdir()] == ['in']


def test_refusals_of_our_own(theirs, tmp_path, capsys):
  """Ours is not the original's, and an export overwrites nothing."""
  tf1.write(str(tmp_path / 'model.ckpt'), theirs)
  run = tmp_path / 'run'
  assert command('import', tmp_path / 'model.ckpt', run) == 0
  capsys.readouterr()
  assert command('import', run / 'checkpoints' / 'ckpt-0', tmp_path / 'b') == 2
  assert 'a checkpoint of TensorFlow 2' in capsys.readouterr().err
  before = (tmp_path / 'model.ckpt.index').read_bytes()
  assert command('export', tmp_path / 'model.ckpt', run) == 2
  assert 'model.ckpt.data-00000-of-00001 is already' in capsys.readouterr().err
  assert (tmp_path / 'model.ckpt.index').read_bytes() == before
  assert command('export', tmp_path / 'new', tmp_path / 'nowhere') == 2
  assert 'holds no experiment' in capsys.readouterr().err
  (data,) = (run / 'checkpoints').glob('*data*')
  data.write_bytes(data.read_bytes()[:1000])
  assert command('export', tmp_path / 'new', run) == 5
  assert 'No checkpoint can be read' in capsys.readouterr().err
  assert not list(tmp_path.glob('new*'))


def test_export_of_half_a_part_is_refused(ours, tmp_path, capsys):
  run = tmp_path / 'run'
  names = contents.names(ours.model.trunk.backbone.variables)
  half = list(names.values())[3:]
  weights = {v.name: v.value for v in ours.variables if v.name in half}
  weights_lib.write(str(run), weights)
  (run / 'config.gin').write_text(ours.config)
  assert command('export', tmp_path / 'new', run) == 2
  assert 'some of the backbone only' in capsys.readouterr().err


# variant: (golden case, gin file, bindings)
GOLDEN = {
  'mobilenet_v2': ('mnv2_os16_97', 'mobilenet_v2', ()),
  'resnet_v1_18_beta': ('r18b_os16_97', 'resnet_v1_18_beta', ()),
  'resnet_v1_50_beta': ('r50b_os16_129', 'resnet_v1_50_beta', ()),
  'resnet_v1_50': (
    'r50_os16_97',
    'resnet_v1_50_beta',
    ("BACKBONE = 'resnet_v1_50'",),
  ),
  'xception_65': ('x65_os16_97', 'xception_65', ()),
}


@needs_golden
@pytest.mark.parametrize(
  'variant',
  [pytest.param(v, marks=pytest.mark.slow) for v in GOLDEN],
)
def test_golden_checkpoint_gives_golden_logits(variant, tmp_path):
  """From the original's list of variables to logits of a loaded run."""
  with open(original.GOLDEN / f'variables_{variant}.csv') as f:
    tensors = {
      row['name']: original.rule_weights(
        row['name'], tuple(map(int, row['shape'].split('x')))
      )
      for row in csv.DictReader(f)
    }
  names = list(tensors)
  tf.raw_ops.SaveV2(
    prefix=str(tmp_path / 'model.ckpt'),
    tensor_names=[*names, 'global_step'],
    shape_and_slices=[''] * (len(names) + 1),
    tensors=[*tensors.values(), np.int64(30_000)],
  )
  case, gin_file, bindings = GOLDEN[variant]
  run = str(tmp_path / 'run')
  code = convert.main(
    [
      *('import', f'--checkpoint={tmp_path}/model.ckpt', f'--model_dir={run}'),
      '--gin_file=gin_configs/voc2012/softmax_scratch.gin',
      f'--gin_file=gin_configs/models/{gin_file}.gin',
      *(f'--gin_bindings={b}' for b in bindings),
    ]
  )
  assert code == 0
  experiment = launch.parse([f'{run}/config.gin']).root
  experiment.restore(tf.distribute.get_strategy(), run)
  stored = np.load(original.GOLDEN / f'{case}.npz')
  logits = experiment.model(tf.constant(stored['image']), training=False)
  limit = 2e-5 * np.abs(stored['logits']).max()
  assert np.abs(logits - stored['logits']).max() < limit
