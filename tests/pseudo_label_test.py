"""The command, on a real run of a tiny network."""

import json
import os
import pathlib
import shutil

import pytest
import tensorflow as tf

from deeplab_contrast import launch, pseudo_label
from deeplab_contrast.config import run_folder
from deeplab_contrast.training import checkpoints
from deeplab_contrast.utils import errors
from tests import fixtures

SCRATCH = 'gin_configs/scenes/softmax_scratch.gin'
TINY = 'gin_configs/tiny.gin'
LABEL = 'gin_configs/tasks/pseudo_label.gin'


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
  return str(tmp_path_factory.mktemp('data'))


@pytest.fixture(scope='module')
def trained(tmp_path_factory, data_dir):
  """The folder of a run on 3 of 8 images."""
  bindings = (
    *fixtures.TINY_SCENES,
    'scenes.Scenes.train = 8',
    'evaluator.Evaluator.batch_size = 2',
  )
  built = launch.parse(
    [SCRATCH, TINY], bindings, settings={'data_dir': data_dir}
  )
  folder = str(tmp_path_factory.mktemp('runs') / 'run')
  with run_folder.prepare(folder, built.config):
    built.root.fit(tf.distribute.get_strategy(), folder)
  return folder


@pytest.fixture
def label(trained, data_dir, tmp_path):
  """Calls the command; returns the folder it worked in."""

  def call(name, *bindings, shard=0, num_shards=1, run=trained, **kwargs):
    bindings = ('T = 0.1', *bindings)
    built = launch.parse(
      [write(tmp_path)],
      [f'INIT = {run!r}', *bindings],
      pseudo_label.ROOT,
      settings={'data_dir': data_dir},
    )
    launched = launch.Launch(
      experiment=built.root,
      strategy=tf.distribute.get_strategy(),
      model_dir=str(tmp_path / name),
      config=built.config,
      data_dir=data_dir,
      **kwargs,
    )
    pseudo_label.main(launched, shard, num_shards)
    return tmp_path / name

  return call


def write(folder):
  """A gin file over that of pseudo-labelling, whose threshold is T."""
  path = pathlib.Path(folder, 'label.gin')
  path.write_text(f"""
from __gin__ import dynamic_registration
from deeplab_contrast.inference import pseudo_labeler
from deeplab_contrast.datasets import scenes
from deeplab_contrast.datasets import sources
include '{LABEL}'
pseudo_labeler.PseudoLabeler.threshold = %T
T = 0.8
""")
  return str(path)


VAL = (
  'pseudo_labeler.PseudoLabeler.source = @sources.TfdsSplit()',
  "sources.TfdsSplit.split = 'val'",
  'sources.TfdsSplit.dataset = @scenes.Scenes()',
  'scenes.Scenes.train = 8',
  'scenes.Scenes.val = 3',
  'scenes.Scenes.height = 33',
  'scenes.Scenes.width = 49',
)


def labels(folder):
  return {p.name: p.read_bytes() for p in (folder / 'labels').iterdir()}


def test_it_labels_the_rest_in_one_or_three_shards(label, trained, capsys):
  whole = label('whole')
  manifest = json.loads((whole / 'manifest.json').read_text())
  assert manifest['images'] == len(labels(whole)) == 5
  assert manifest['checkpoint'] == checkpoints.path_of(trained, 2)
  assert set(manifest['thresholds'].values()) == {0.1}
  assert 0 <= manifest['agreement']['accuracy'] <= 1
  out = capsys.readouterr().out
  assert '5 images, ' in out and 'class     threshold' in out
  unsure = [n for n, kept in manifest['kept'].items() if not kept]
  for name in unsure:
    assert f'No pixel is confidently {name} (threshold 0.1)' in out
  assert unsure  # Two steps teach no network eight classes.

  for shard in (2, 0):
    label('shares', shard=shard, num_shards=3)
    assert not (whole.parent / 'shares' / 'DONE').exists()
  shares = label('shares', shard=1, num_shards=3)
  assert labels(shares) == labels(whole)
  same = (shares / 'manifest.json').read_bytes()
  assert same == (whole / 'manifest.json').read_bytes()

  capsys.readouterr()
  label('whole')
  assert 'already complete' in capsys.readouterr().out


def test_held_out_images_choose_a_threshold_for_each_class(label, capsys):
  # Any precision is enough, so the lowest threshold is.
  folder = label('held', 'HELD_OUT = 2', 'PRECISION_HELD_OUT = 0.0')
  manifest = json.loads((folder / 'manifest.json').read_text())
  assert set(manifest['thresholds'].values()) == {0.0, 0.1}  # 0.1: not seen.
  for name, threshold in manifest['thresholds'].items():
    if threshold == 0.0 and manifest['pixels'][name]:
      assert manifest['coverage'][name] == 1.0
  with pytest.raises(errors.ConfigError, match='another experiment.*held_out'):
    label('held')
  with pytest.raises(errors.ConfigError, match='leaves only 5 of 8'):
    label('many', 'HELD_OUT = 6')


def test_the_same_share_of_every_class(label):
  folder = label('share', 'KEPT_SHARE = 0.25')
  manifest = json.loads((folder / 'manifest.json').read_text())
  found = [x for x in manifest['coverage'].values() if x is not None]
  assert found and min(found) >= 0.25  # More where many are equally sure.
  assert manifest['thresholds_by'] == {'share': 0.25}
  for name, threshold in manifest['thresholds'].items():
    assert (threshold == 0.1) == (
      not manifest['pixels'][name]
    )  # The given one.
  with pytest.raises(errors.ConfigError, match='give one of them'):
    label('both', 'KEPT_SHARE = 0.25', 'HELD_OUT = 2')


def test_a_run_that_is_not_confident_of_anything(label, tmp_path):
  with pytest.raises(errors.DataError, match='No pixel of the 5 images reach'):
    label('unsure', 'T = 1.0')
  assert not (tmp_path / 'unsure' / 'DONE').exists()


def test_val_images_are_refused(label, tmp_path):
  with pytest.raises(
    errors.DataError, match='3 of the unlabelled images are va'
  ):
    label('val', *VAL)
  assert not (tmp_path / 'val' / 'labels').exists()


def test_labelled_images_are_refused(label):
  train = "sources.TfdsSplit.split = 'train'"
  with pytest.raises(errors.DataError, match='3 of the .* are labelled images'):
    label('train', *VAL, train)


def test_labels_of_two_checkpoints_are_not_mixed(label, trained, tmp_path):
  run = str(tmp_path / 'run')
  shutil.copytree(trained, run)
  label('mixed', shard=0, num_shards=3, run=run)
  second, ninth = (checkpoints.path_of(run, step) for step in (2, 9))
  for file in checkpoints.files_of(second):
    os.rename(file, file.replace(second, ninth))
  told = f'made by an earlier {second} with thresholds by'
  with pytest.raises(errors.ConfigError, match=told):
    label('mixed', shard=1, num_shards=3, run=run)


def test_a_run_without_a_checkpoint(label, trained, tmp_path):
  run = tmp_path / 'run'
  run.mkdir()
  with pytest.raises(errors.ConfigError, match='holds no experiment'):
    label('none', run=str(run))
  shutil.copy(pathlib.Path(trained, 'config.gin'), run)
  with pytest.raises(errors.ConfigError, match='holds no checkpoint'):
    label('none', run=str(run))


def test_no_such_shard(label):
  with pytest.raises(errors.ConfigError, match='--shard=3 is not below'):
    label('odd', shard=3, num_shards=3)
