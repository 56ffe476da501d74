import json
import os
import signal

import numpy as np
import pytest
from PIL import Image

from deeplab_contrast import launch, recipe
from deeplab_contrast.config import run_folder
from deeplab_contrast.studies import comparison, stages
from deeplab_contrast.utils import errors, files, results, run_files
from tests import fixtures, processes

Stage = stages.Stage

PRETRAIN = Stage('pretrain', ('p.gin',), ('A = 1',))
FINETUNE = Stage('finetune', ('f.gin',), ('B = 2',), 'pretrain', 'contrastive')
SCRATCH = Stage('scratch', ('s.gin',), arm='softmax')

RED, GREEN, BLUE, GRAY = (200, 0, 0), (0, 200, 0), (0, 0, 200), (99, 99, 99)


def test_the_plan_of_one_seed():
  whole = stages.Recipe((PRETRAIN, FINETUNE, SCRATCH), seeds=(7,))
  jobs = stages.plan(whole, 'runs/r', ['STEPS = 3'])
  assert [(job.model_dir, job.bindings) for job in jobs] == [
    ('runs/r/pretrain', ('A = 1',)),
    ('runs/r/finetune', ('B = 2', "INIT = 'runs/r/pretrain'")),
    ('runs/r/scratch', ()),
  ]
  assert {(job.seed, job.given) for job in jobs} == {(7, ('STEPS = 3',))}
  assert jobs[1].title == 'finetune, seed 7'


def test_the_plan_of_two_seeds_links_stages_of_one_seed():
  whole = stages.Recipe((PRETRAIN, FINETUNE), seeds=(0, 5))
  jobs = stages.plan(whole, 'r', [])
  assert [(job.model_dir, job.seed) for job in jobs] == [
    ('r/pretrain_seed0', 0),
    ('r/finetune_seed0', 0),
    ('r/pretrain_seed5', 5),
    ('r/finetune_seed5', 5),
  ]
  assert jobs[1].bindings[-1] == "INIT = 'r/pretrain_seed0'"
  assert jobs[3].bindings[-1] == "INIT = 'r/pretrain_seed5'"


@pytest.mark.parametrize(
  ('members', 'seeds', 'sentence'),
  [
    ((PRETRAIN, PRETRAIN), (0,), "Two stages are called 'pretrain'"),
    (
      (FINETUNE, PRETRAIN),
      (0,),
      "from 'pretrain', which is not a stage before",
    ),
    ((Stage('a', (), (), 'a'),), (0,), "'a' starts from 'a'"),
    ((), (0,), 'at least one stage'),
    ((PRETRAIN,), (), 'one seed'),
    ((PRETRAIN,), (1, 2, 1), 'one seed twice'),
    ((SCRATCH, Stage('b', (), arm='softmax')), (0,), 'one arm'),
  ],
)
def test_a_recipe_that_cannot_run_is_refused(members, seeds, sentence):
  with pytest.raises(ValueError, match=sentence):
    stages.Recipe(members, seeds)


def finished(folder, stage, seed, miou, sky, prediction=None):
  """A job whose folder holds what a finished run leaves."""
  model_dir = os.path.join(folder, f'{stage.name}_seed{seed}')
  result = {
    'miou': miou,
    'iou': {'road': miou, 'sky': sky},
    'colors': {'road': GRAY, 'sky': BLUE},
  }
  files.write_json(os.path.join(model_dir, run_files.RESULTS), result)
  if prediction is not None:
    os.makedirs(f'{model_dir}/vis')
    pictures = {'image': RED, 'truth': GREEN, 'prediction': prediction}
    for kind, color in pictures.items():
      picture = Image.new('RGB', (8, 4), color)
      for name in ('a', 'b'):
        picture.save(f'{model_dir}/vis/{name}_{kind}.png')
    picture.save(f'{model_dir}/vis/panels.png')
  return stages.Job(stage, seed, model_dir, (), ())


def test_the_summary_is_of_means_and_leaves_out_absent_classes(tmp_path):
  jobs = [
    finished(tmp_path, FINETUNE, 0, 0.5, 0.25),
    finished(tmp_path, SCRATCH, 0, 0.4, None),
    finished(tmp_path, FINETUNE, 1, 0.75, None),
    finished(tmp_path, SCRATCH, 1, 0.3, None),
  ]
  first, second = comparison.summarize(jobs)
  assert first == {
    'arm': 'contrastive',
    'labels': None,
    'miou': 0.625,
    'iou': {'road': 0.625, 'sky': 0.25},
    'seeds': [
      {'seed': 0, 'model_dir': jobs[0].model_dir, 'miou': 0.5},
      {'seed': 1, 'model_dir': jobs[2].model_dir, 'miou': 0.75},
    ],
  }
  assert second['iou'] == {'road': 0.35, 'sky': None}
  assert comparison.table([first, second]).split('\n') == [
    'class                 contrastive     softmax',
    '--------------------  -----------  ----------',
    'road                         62.5        35.0',
    'sky                          25.0         n/a',
    'mean (mIoU)                  62.5        35.0',
    'lowest, highest seed   50.0, 75.0  30.0, 40.0',
  ]


def test_the_end_of_a_recipe(tmp_path, capsys):
  jobs = [
    finished(tmp_path, FINETUNE, 0, 0.5, 0.25, BLUE),
    finished(tmp_path, SCRATCH, 0, 0.4, 0.125, GRAY),
  ]
  comparison.write(jobs, jobs, str(tmp_path))
  printed = capsys.readouterr().out
  assert 'IoU in % (seed 0)\nclass' in printed
  assert 'mean (mIoU)         50.0     40.0\n' in printed
  assert 'lowest' not in printed
  written = json.loads((tmp_path / 'results.json').read_text())
  assert [(arm['arm'], arm['miou']) for arm in written['arms']] == [
    ('contrastive', 0.5),
    ('softmax', 0.4),
  ]
  rows = colors_of_rows(tmp_path / 'comparison.png')
  assert rows.count((RED, GREEN, BLUE, GRAY)) == 2


def colors_of_rows(path):
  """The colours that a picture shows from left to right, for each band."""
  known = (RED, GREEN, BLUE, GRAY)
  found = []
  for line in np.asarray(Image.open(path)):
    shown = [c for c in map(tuple, line.tolist()) if c in known]
    changes = tuple(
      c for i, c in enumerate(shown) if i == 0 or c != shown[i - 1]
    )
    found.append(changes)
  return [
    row
    for i, row in enumerate(found)
    if row and (i == 0 or row != found[i - 1])
  ]


def test_pictures_count_as_drawn_when_all_are_there(tmp_path):
  job = finished(tmp_path, SCRATCH, 0, 0.4, None, GRAY)
  assert comparison.is_drawn(job.model_dir, 2)
  assert not comparison.is_drawn(job.model_dir, 3)
  os.remove(f'{job.model_dir}/vis/panels.png')
  assert not comparison.is_drawn(job.model_dir, 2)


TINY = 'gin_configs/tiny.gin'


def real_stage(name, kind, **kwargs):
  files = (f'gin_configs/scenes/{kind}.gin', TINY)
  return Stage(name, files, **kwargs)


PRETRAINING = real_stage('pretrain', 'contrastive_pretrain')
JUDGED = real_stage('scratch', 'softmax_scratch', arm='softmax')


def check(folder, members, given=(), allow_config_change=False):
  """What `recipe` does before it starts to work."""
  launched = launch.Launch(
    stages.Recipe(tuple(members)),
    None,
    str(folder),
    '',
    tuple(given),
    {b.partition(' ')[0]: f'nothing uses {b}' for b in given},
    allow_config_change=allow_config_change,
  )
  jobs = stages.plan(launched.experiment, str(folder), given)
  return recipe._check(jobs, launched)


def test_bindings_reach_the_stages_that_use_them(tmp_path):
  given = ['STRENGTH = 0.5', 'STEPS = 9']
  jobs = check(tmp_path, [PRETRAINING, JUDGED], given)
  assert [job.given for job in jobs] == [tuple(given), ('STEPS = 9',)]


def test_a_binding_no_stage_uses_is_refused(tmp_path):
  with pytest.raises(errors.ConfigError, match='nothing uses INIT = 3'):
    check(tmp_path, [PRETRAINING, JUDGED], ['STEPS = 9', 'INIT = 3'])


@pytest.mark.parametrize(
  ('stage', 'sentence'),
  [
    (
      real_stage('a', 'softmax_scratch', bindings=('STEPZ = 3',)),
      "Stage 'a': .*STEPZ.*did you mean STEPS",
    ),
    # Its experiment does not start from another run.
    (
      real_stage('a', 'softmax_scratch', starts_from='pretrain'),
      "Stage 'a': .*uses INIT",
    ),
    (
      real_stage('a', 'softmax_scratch', bindings=('BATCH_SIZE = 0',)),
      'batch_size is 0',
    ),
    (Stage('a', ('nowhere.gin',)), 'found no gin file nowhere.gin'),
    (real_stage('a', 'softmax_finetune'), "Stage 'a': .*INIT is required"),
    (
      real_stage('a', 'contrastive_pretrain', arm='a'),
      "Stage 'a': .*no classifier",
    ),
  ],
)
def test_a_wrong_stage_is_found_before_any_work(tmp_path, stage, sentence):
  with pytest.raises(errors.ConfigError, match=sentence):
    check(tmp_path, [PRETRAINING, stage])
  assert not os.listdir(tmp_path)


def test_a_stage_of_another_experiment_is_refused(tmp_path):
  (job,) = check(tmp_path, [JUDGED])
  built = launch.parse(job.stage.gin_files, settings={'seed': 0})
  with run_folder.prepare(job.model_dir, built.config):
    pass
  check(tmp_path, [JUDGED])
  with pytest.raises(errors.ConfigError, match='steps stored 2, given 9'):
    check(tmp_path, [JUDGED], ['STEPS = 9'])
  check(tmp_path, [JUDGED], ['STEPS = 9'], allow_config_change=True)


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
  first = processes.run_module('recipe', *command)
  assert first.returncode == 0, first.stdout + first.stderr
  run = tmp_path / 'run'
  for title in ('[1/3] pretrain', '[2/3] finetune', '[3/3] scratch'):
    assert f'{title}, seed 0\n$ ' in first.stdout
  start = f'Starting from {run}/pretrain/checkpoints/ckpt-2'
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
  second = processes.run_module('recipe', *command)
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
  done = processes.run_module('recipe', *flags(tmp_path, *members))
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
def test_a_stopped_recipe_goes_on(tmp_path):
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
  done = processes.run_module('recipe', *command)
  assert done.returncode == 0, done.stderr
  steps = [json.loads(x)['step'] for x in metrics.open() if 'train' in x]
  assert steps == list(range(1, 41))
