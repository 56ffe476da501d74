import json
import signal

import pytest
from PIL import Image

from deeplab_contrast.studies import comparison
from deeplab_contrast.training import checkpoints
from deeplab_contrast.utils import results
from tests import fixtures, processes

TINY = 'gin_configs/tiny.gin'

_RECIPE = """
from __gin__ import dynamic_registration
from deeplab_contrast.studies import stages

stages.Recipe.pictures = 2
stages.Stage.bindings = {bindings}
"""


def write_recipe(folder, *members, bindings=()):
  """Writes a gin file of tiny stages: (name, experiment, settings)."""
  text = _RECIPE.format(bindings=(*fixtures.TINY_SCENES, *bindings))
  names = ', '.join(f'@{name}/stages.Stage()' for name, _, _ in members)
  text += f'stages.Recipe.stages = [{names}]\n'
  for name, kind, settings in members:
    files = (f'gin_configs/scenes/{kind}.gin', TINY)
    for key, value in {'name': name, 'gin_files': files, **settings}.items():
      text += f'{name}/stages.Stage.{key} = {value!r}\n'
  path = folder / 'recipe.gin'
  path.write_text(text)
  return path


TWO_ARMS = (
  ('pretrain', 'contrastive_pretrain', {}),
  ('finetune', 'softmax_finetune', {'starts_from': 'pretrain', 'arm': 'with'}),
  ('scratch', 'softmax_scratch', {'arm': 'without'}),
)


def flags(folder, *members, **kwargs):
  return (
    f'--gin_file={write_recipe(folder, *members, **kwargs)}',
    f'--model_dir={folder}/run',
    f'--data_dir={folder}/data',
  )


def snapshot(folder):
  """{file: (time of its last change, size)} of the stages of a recipe."""
  return {
    path: (path.stat().st_mtime_ns, path.stat().st_size)
    for path in folder.rglob('*')
    if path.is_file() and path.parent != folder
  }


@pytest.mark.slow
def test_a_real_recipe_twice(tmp_path):
  command = flags(tmp_path, *TWO_ARMS)
  first = processes.run_apart('recipe', *command)
  assert first.returncode == 0, first.stdout + first.stderr
  run = tmp_path / 'run'
  for title in ('[1/3] pretrain', '[2/3] finetune', '[3/3] scratch'):
    assert f'{title}, seed 0\n$ ' in first.stdout
  start = f'Starting from {checkpoints.path_of(run / "pretrain", 2)}'
  assert first.stdout.count('Starting from') == 1 and start in first.stdout
  arms = json.loads((run / 'results.json').read_text())['arms']
  table = comparison.table(arms)
  assert table in first.stdout
  for arm, name in zip(arms, ('finetune', 'scratch'), strict=True):
    own = json.loads((run / name / 'eval' / 'results.json').read_text())
    assert (arm['miou'], arm['iou']) == (own['miou'], own['iou'])
  with Image.open(run / 'comparison.png') as picture:
    assert picture.width > 4 * 256

  before = snapshot(run)
  second = processes.run_apart('recipe', *command)
  assert second.returncode == 0, second.stdout + second.stderr
  assert second.stdout.count(': already complete\n') == 3
  assert '$ ' not in second.stdout
  assert table in second.stdout
  assert snapshot(run) == before


@pytest.mark.slow
def test_a_stage_that_fails_gives_its_exit_code(tmp_path):
  # The first stage fails; the second does not need it.
  bindings = (*fixtures.TINY_SCENES, 'LEARNING_RATE = 1e20')
  diverges = {'arm': 'bad', 'bindings': bindings}
  members = ('bad', 'softmax_scratch', diverges), TWO_ARMS[2]
  done = processes.run_apart('recipe', *flags(tmp_path, *members))
  assert done.returncode == 4
  said = [line for line in done.stderr.split('\n') if 'error: ' in line]
  assert said[0].startswith('error: Step ')
  assert said[1].startswith('error: [1/2] bad, seed 0 ended with exit code 4;')
  assert 'Traceback' not in done.stderr
  run = tmp_path / 'run'
  assert not results.is_done(run / 'bad')
  assert results.is_done(run / 'scratch')
  rows = (run / 'results.csv').read_text().splitlines()
  assert [row.split(',')[1] for row in rows] == ['arm', 'without']
  assert not (run / 'results.json').exists()


@pytest.mark.slow
def test_a_stopped_recipe_resumes(tmp_path):
  command = flags(
    tmp_path, TWO_ARMS[2], bindings=('STEPS = 40', 'SAVE_EVERY = 999')
  )
  process = processes.start_module('recipe', *command)
  metrics = tmp_path / 'run' / 'scratch' / 'metrics.jsonl'
  processes.wait_for_lines(process, metrics, 3)
  process.send_signal(signal.SIGTERM)
  _, stderr = process.communicate()
  assert process.returncode == 143, stderr
  lines = metrics.read_text().count('\n')
  assert 3 <= lines < 40
  done = processes.run_apart('recipe', *command)
  assert done.returncode == 0, done.stderr
  steps = [json.loads(x)['step'] for x in metrics.open() if 'train' in x]
  assert steps == list(range(1, 41))
