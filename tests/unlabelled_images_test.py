"""Training with a teacher by commands, on generated scenes."""

import json
import pathlib

import pytest

from deeplab_contrast.datasets import scenes
from deeplab_contrast.utils import metrics
from tests import fixtures, processes

FILES = (
  'gin_configs/scenes/softmax_scratch.gin',
  'gin_configs/tasks/joint.gin',
  'gin_configs/tasks/consistency.gin',
  'gin_configs/tiny.gin',
)
SETTINGS = (
  'LABELS = 2',
  'THRESHOLD = 0.05',
  'STRONG_VIEWS = 2',
  'LEARNING_RATE = 3.0',  # So that teacher and student predict differently.
)


def command(name, folder, *flags, run='run'):
  return processes.run_module(
    name, *flags, f'--model_dir={folder}/{run}', f'--data_dir={folder}/data'
  )


def train(folder, *bindings, run='run'):
  bindings = (*fixtures.TINY_SCENES, *SETTINGS, *bindings)
  files = [f'--gin_file={file}' for file in FILES]
  settings = [f'--gin_bindings={binding}' for binding in bindings]
  return command('train', folder, *files, *settings, run=run)


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  """A finished run of two steps."""
  folder = tmp_path_factory.mktemp('consistency')
  done = train(folder)
  assert done.returncode == 0, done.stderr
  return folder


def test_the_log_shows_the_teacher(trained):
  lines = [x for x in metrics.read(trained / 'run') if x['split'] == 'train']
  assert len(lines) == 2
  for line in lines:
    assert 0 < line['confident'] <= 1 and 0 <= line['teacher_accuracy'] <= 1
    shares = [
      line[f'confident/{name}'] for name in scenes.Scenes.info.class_names
    ]
    seen = [x for x in shares if x is not None]  # None: not seen anywhere.
    assert seen and min(seen) <= line['confident'] <= max(seen)
    assert line['consistency'] > 0 and line['contrast'] > 0
  data = json.loads((trained / 'run' / 'data.json').read_text())
  assert data['train']['examples'] == data['unlabelled']['examples'] == 2


def test_teacher_and_student_are_evaluated(trained):
  *_, last = metrics.read(trained / 'run')
  scores = {}
  for weights in ('teacher', 'student'):
    done = command('eval', trained, f'--weights={weights}')
    assert done.returncode == 0, done.stderr
    path = trained / 'run' / 'eval' / 'results.json'
    scores[weights] = json.loads(path.read_text())
  assert 'weights' not in scores['teacher']['judged_by']
  assert scores['student']['judged_by']['weights'] == 'student'
  assert scores['student']['matrix'] != scores['teacher']['matrix']
  # The training has evaluated both.
  assert last['split'] == 'val'
  for name in ('miou', 'pixel_accuracy'):
    assert last[name] == scores['teacher'][name]
    assert last[f'student_{name}'] == scores['student'][name]
  done = command('eval', trained, '--weights=other')
  assert done.returncode == 2 and 'other' in done.stderr


def test_the_teacher_is_exported(trained):
  done = command('export_model', trained, f'--out={trained}/export')
  assert done.returncode == 0, done.stderr
  card = pathlib.Path(trained, 'export', 'model_card.md').read_text()
  assert 'moving averages' in card


@pytest.mark.parametrize(
  ('binding', 'message'),
  [
    ('LABELS = 3', 'There are 1 unlabelled images, fewer than a batch has (2)'),
    ('LABELS = 4', 'which leaves none unlabelled'),
    (
      'UNLABELLED = @train/sources.TfdsSplit()',
      '2 of the unlabelled images are training images too',
    ),
    (
      'unlabelled/transforms.RandomCrop.class_uniform = 0.5',
      'class_uniform looks at labels',
    ),
    ('unlabelled/transforms.Decode.marks_void = False', 'must be True'),
    ('TEACHER_DECAY = None', 'needs a teacher'),
    ('THRESHOLD = (0.5, 0.5)', 'threshold has 2 numbers for'),
    ('CONSISTENCY = -1.0', 'none may be negative'),
  ],
)
def test_mistakes_are_one_sentence(trained, binding, message):
  done = train(trained, binding, run='wrong')
  assert done.returncode in (2, 3), done.stderr
  (line,) = done.stderr.strip().splitlines()
  assert message in line
