"""The tool that disturbs recipes: it must find what differs."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tests import fixtures, processes
from tools.soaking import comparing, disturbing, lives, results


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
  """A folder as a recipe leaves it, in miniature."""
  folder = tmp_path_factory.mktemp('whole')
  (folder / 'a' / 'checkpoints').mkdir(parents=True)
  (folder / 'a' / 'labels').mkdir()
  (folder / 'a' / 'tensorboard').mkdir()
  save(folder, np.zeros(3, np.float32))
  line = {'step': 1, 'split': 'train', 'loss': 0.5, 'data_wait': 0.1}
  (folder / 'a' / 'metrics.jsonl').write_text(json.dumps(line) + '\n')
  (folder / 'a' / 'labels' / 'x.png').write_bytes(b'pixels')
  (folder / 'a' / 'config.gin').write_text('STEPS = 1')
  (folder / 'study.json').write_text('{"entries": [{"miou": 0.5}]}')
  return folder


def save(folder, value):
  path = str(folder / 'a' / 'checkpoints' / 'ckpt-1')
  tf.train.Checkpoint(v=tf.Variable(value)).write(path)


def what_clocks_wrote(folder):
  path = folder / 'a' / 'metrics.jsonl'
  path.write_text(path.read_text().replace('0.1', '0.2'))
  (folder / 'a' / 'tensorboard' / 'events').write_text('now')
  (folder / 'study.json').write_text(
    '{"entries": [{"miou": 0.5, "minutes": 3}]}'
  )


def a_sign_of_zero(folder):
  save(folder, np.array([0, 0, -0.0], np.float32))


def a_flipped_bit(folder):
  (path,) = (folder / 'a' / 'checkpoints').glob('*.data*')
  content = bytearray(path.read_bytes())
  content[4] ^= 1
  path.write_bytes(content)


def another_loss(folder):
  path = folder / 'a' / 'metrics.jsonl'
  path.write_text(path.read_text().replace('0.5', '0.50000001'))


def another_pixel(folder):
  (folder / 'a' / 'labels' / 'x.png').write_bytes(b'pixelt')


def another_score(folder):
  (folder / 'study.json').write_text('{"entries": [{"miou": 0.6}]}')


def a_missing_checkpoint(folder):
  (folder / 'a' / 'checkpoints' / 'ckpt-1.index').unlink()


def a_leftover(folder):
  (folder / 'a' / 'labels' / 'y.png').touch()


@pytest.mark.parametrize(
  ('change', 'sentence'),
  [
    (what_clocks_wrote, None),
    (a_sign_of_zero, 'ckpt-1.index: v/'),
    (a_flipped_bit, 'ckpt-1.index: unreadable'),
    (another_loss, 'a/metrics.jsonl differs'),
    (another_pixel, 'a/labels/x.png differs'),
    (another_score, 'study.json differs'),
    (a_missing_checkpoint, 'ckpt-1.index is missing'),
    (a_leftover, 'a/labels/y.png is too much'),
  ],
)
def test_any_difference_is_found(whole, tmp_path, change, sentence):
  folder = tmp_path / 'copy'
  shutil.copytree(whole, folder)
  change(folder)
  found = comparing.differences(whole, folder)
  if sentence is None:
    assert not found
  else:
    assert len(found) == 1 and sentence in found[0], found


def test_the_plan_follows_from_the_seed_and_has_every_kind():
  plans = [disturbing.plan(3, n) for n in range(200)]
  assert plans == [disturbing.plan(3, n) for n in range(200)]
  assert {p.kind for p in plans} == set(disturbing.KINDS)
  assert {p.moment for p in plans} == set(disturbing.MOMENTS)
  assert plans[:5] != [disturbing.plan(4, n) for n in range(5)]


def test_progress_and_what_was_resumed(whole, tmp_path):
  folder = tmp_path / 'copy'
  shutil.copytree(whole, folder)
  (stage,) = lives.stages(folder)
  assert lives.saved(stage) == [1] and lives.logged(stage) == 1
  before = lives.progress(folder)
  a_leftover(folder)
  assert lives.progress(folder) == before + 1
  assert not lives.is_saving(folder)
  (stage / 'checkpoints' / 'ckpt-2_temp').mkdir()
  assert lives.is_saving(folder)
  output = 'x\nResuming from /d/run/a/checkpoints/ckpt-8\nstep 9'
  assert lives.resumed(output) == {'a': 8}


def disturbed(number, kind, code, **values):
  record = {'what': 'disturbed', 'number': number, 'kind': kind, 'code': code}
  return {**record, 'moment': 'saving', 'half_saved': True, **values}


def resumed(step, saved, logged):
  values = {'step': step, 'saved': saved, 'logged': logged}
  return {'what': 'resumed', 'stage': 'a', **values}


def test_the_table_and_its_faults():
  records = [
    {'what': 'undisturbed', 'seconds': 60.0},
    disturbed(0, 'SIGTERM', 143),
    resumed(4, 4, 5),
    disturbed(1, 'full disk', 5, half_saved=False),
    {'what': 'round', 'differences': [], 'different': 0},
  ]
  assert results.faults(records) == 0
  lines = results.table(records).splitlines()
  assert lines[2].split() == (
    [
      'SIGTERM',
      '1',
      '0',
      '0',
      '1',
      '1',
      '143',
      'at',
      'most',
      '1',
      '0',
      '1',
      'of',
      '1',
    ]
  )
  assert lines[-1].split() == [
    'all',
    '2',
    '0',
    '0',
    '2',
    '1',
    'at',
    'most',
    '1',
    '0',
    '2',
    'of',
    '2',
  ]
  for wrong in (
    disturbed(2, 'SIGTERM', 1),
    resumed(2, 4, 5),
    {'what': 'round', 'differences': ['x differs'], 'different': 1},
  ):
    assert results.faults([*records, wrong]) == 1


@pytest.mark.slow
def test_a_recipe_of_one_stage_survives_three_disturbances(tmp_path):
  bindings = (*fixtures.TINY_SCENES, 'STEPS = 6', 'SAVE_EVERY = 1')
  files = ('gin_configs/scenes/softmax_scratch.gin', 'gin_configs/tiny.gin')
  recipe = tmp_path / 'recipe.gin'
  recipe.write_text(
    'from __gin__ import dynamic_registration\n'
    'from deeplab_contrast.studies import stages\n'
    'stages.Recipe.stages = [@stages.Stage()]\n'
    "stages.Stage.name = 'only'\n"
    f'stages.Stage.gin_files = {files}\n'
    f'stages.Stage.bindings = {bindings}\n'
  )
  done = subprocess.run(
    [
      *(sys.executable, 'tools/soak.py', '--kills=3', f'--recipe={recipe}'),
      f'--work_dir={tmp_path}/work',
    ],
    capture_output=True,
    text=True,
    cwd=processes.ROOT,
    env=processes.environment(),
    check=False,
  )
  assert done.returncode == 0, done.stdout + done.stderr
  assert done.stdout.splitlines()[-1].endswith('3 of 3')
