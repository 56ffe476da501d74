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
from tests import original, processes
from tests.conversion import narrow

needs_golden = pytest.mark.skipif(
  not original.GOLDEN.is_dir(), reason='shared/golden is absent'
)


@pytest.fixture(scope='module')
def ours():
  return narrow.build()


@pytest.fixture(autouse=True)
def built_once(ours, monkeypatch):
  """The narrow network is not built again for every command."""
  load = network.load
  command_line = (list(narrow.SCENES), list(narrow.BINDINGS))

  def cached(gin_files, bindings=(), allow_imports=()):
    is_narrow = (gin_files, bindings) == command_line or (
      pathlib.Path(gin_files[0]).read_text() == ours.config
    )
    if is_narrow:
      return ours.model, ours.config
    return load(gin_files, bindings, allow_imports)

  monkeypatch.setattr(network, 'load', cached)


@pytest.fixture
def theirs(ours):
  return narrow.tensors(ours)


def command(name, checkpoint, model_dir, *more):
  arguments = [f'--checkpoint={checkpoint}', f'--model_dir={model_dir}']
  if name == 'import':
    arguments += [f'--gin_file={f}' for f in narrow.SCENES]
    arguments += [f'--gin_bindings={b}' for b in narrow.BINDINGS]
  return convert.main([name, *arguments, *more])


def read_all(path):
  source = tf1.open_checkpoint(str(path))
  return {name: source.read(name) for name in source.shapes}


def test_round_trip_is_bit_equal(theirs, tmp_path, capsys):
  # Values that arithmetic would change.
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
  assert back.pop('global_step') == 0  # Of our run, which starts at 0.
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
def test_an_imported_run_is_evaluated_by_the_command(theirs, tmp_path):
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


def test_backbone_alone_survives_the_round_trip(theirs, tmp_path, capsys):
  tf1.write(str(tmp_path / 'model.ckpt'), narrow.backbone_of(theirs))
  run, out = tmp_path / 'run', tmp_path / 'out.ckpt'
  assert command('import', tmp_path / 'model.ckpt', run) == 0
  assert 'gin_configs/tasks/imagenet_backbone.gin' in capsys.readouterr().out
  assert command('export', out, run) == 0
  back = read_all(out)
  assert set(back) == {*narrow.backbone_of(theirs), 'global_step'}
  for name, value in narrow.backbone_of(theirs).items():
    np.testing.assert_array_equal(back[name], value)
  model = network.build([str(run / 'config.gin')]).model
  with pytest.raises(errors.ConfigError, match='holds only the backbone'):
    checkpoints.restore_model(str(run), model)
  start = checkpoints.WarmStart(str(run))
  with pytest.raises(errors.ConfigError, match='it has backbone; use only'):
    start(model)
  checkpoints.WarmStart(str(run), ('backbone',))(model)
  by_name = original.original_names.by_original_name(model.weights)
  for name, value in narrow.backbone_of(theirs).items():
    np.testing.assert_array_equal(by_name[name], value)


def test_other_classes_keep_the_trunk(ours, theirs, tmp_path, capsys):
  channels = theirs['logits/semantic/weights'].shape[2]
  theirs['logits/semantic/weights'] = np.zeros([1, 1, channels, 21], np.float32)
  theirs['logits/semantic/biases'] = np.zeros([21], np.float32)
  theirs['logits/semantic/biases/Momentum'] = np.zeros([21], np.float32)
  made = plan.make(ours, narrow.source_of(theirs))
  assert made.parts == ('backbone', 'aspp', 'decoder')
  assert len(made.fresh) == 2
  tf1.write(str(tmp_path / 'model.ckpt'), theirs)
  assert command('import', tmp_path / 'model.ckpt', tmp_path / 'run') == 0
  out = capsys.readouterr().out
  assert '21 classes in the checkpoint, 8 here' in out
  assert 'gin_configs/tasks/warm_start.gin' in out


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
    (
      'empty',
      lambda f: (f / 'empty').mkdir(),
      2,
      'does not say which checkpoint',
    ),
    ('model.ckpt', truncated_data, 3, 'cannot be read'),
    ('model.ckpt', flipped_bit, 3, 'cannot be read'),
    ('model.ckpt', no_data, 3, 'cannot be read'),
    ('model.ckpt', empty_index, 3, 'cannot be read'),
    ('a.txt', lambda f: (f / 'a.txt').write_text('hi'), 3, 'cannot be read'),
    ('a.h5', lambda f: (f / 'a.h5').write_text('hi'), 3, 'not an HDF5 file'),
    ('model.ckpt', occupied, 2, 'already exists'),
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
    assert ('Note: It has moving' in capsys.readouterr().out) == noted


@pytest.mark.parametrize('value', [np.nan, -np.inf])
def test_values_that_are_not_numbers(theirs, tmp_path, capsys, value):
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
  ours = checkpoints.path_of(run, 0)
  assert command('import', ours, tmp_path / 'b') == 2
  assert 'a checkpoint of TensorFlow 2' in capsys.readouterr().err
  before = (tmp_path / 'model.ckpt.index').read_bytes()
  assert command('export', tmp_path / 'model.ckpt', run) == 2
  assert (
    'model.ckpt.data-00000-of-00001 already exists' in capsys.readouterr().err
  )
  assert (tmp_path / 'model.ckpt.index').read_bytes() == before
  assert command('export', tmp_path / 'new', tmp_path / 'nowhere') == 2
  assert 'holds no experiment' in capsys.readouterr().err
  (data,) = (run / 'checkpoints').glob('*data*')
  data.write_bytes(data.read_bytes()[:1000])
  assert command('export', tmp_path / 'new', run) == 5
  assert 'None of these checkpoints can be read' in capsys.readouterr().err
  assert not list(tmp_path.glob('new*'))


def test_export_of_half_a_part_is_refused(ours, tmp_path, capsys):
  run = tmp_path / 'run'
  names = contents.names(ours.model.trunk.backbone.variables)
  half = list(names.values())[3:]
  weights = {v.name: v.value for v in ours.variables if v.name in half}
  weights_lib.write(str(run), weights)
  (run / 'config.gin').write_text(ours.config)
  assert command('export', tmp_path / 'new', run) == 2
  assert 'only some of the backbone and lacks' in capsys.readouterr().err


# variant: (golden case, gin file or None, bindings)
GOLDEN = {
  'mobilenet_v2': ('mnv2_os16_97', 'mobilenet_v2', ()),
  'resnet_v1_18_beta': ('r18b_os16_97', None, (narrow.R18,)),
  'resnet_v1_50_beta': ('r50b_os16_129', None, ()),
  'resnet_v1_50': ('r50_os16_97', None, ("BACKBONE = 'resnet_v1_50'",)),
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
      *([f'--gin_file=gin_configs/models/{gin_file}.gin'] if gin_file else []),
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
