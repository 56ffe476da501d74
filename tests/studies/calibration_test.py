import json
import os

import pytest

from deeplab_contrast import launch
from deeplab_contrast.studies import (
  calibration,
  processes,
  runner,
  stages,
  study,
)
from deeplab_contrast.studies.schedule import Schedule
from deeplab_contrast.utils import errors, run_files
from tests import fixtures
from tests.gin_configs import experiments

TINY = 'gin_configs/tiny.gin'
ARMS = ('softmax', 'contrastive_consistency')


def members(arms=ARMS, **kwargs):
  """The stages of a study of generated scenes that is to take equal time."""
  return study.expand(
    (2,),
    *[
      (f'gin_configs/scenes/{name}.gin', TINY)
      for name in ('softmax_scratch', 'contrastive_pretrain')
    ],
    finetune=('gin_configs/scenes/softmax_finetune.gin', TINY),
    bindings=fixtures.TINY_SCENES,
    arms=arms,
    schedule=Schedule(100, 0.4, equal_time=True),
    **kwargs,
  )


def make_runner(folder, found, data_dir=None):
  flags = processes.Flags('one', data_dir)
  return runner.Runner(stages.Recipe(found), str(folder), flags)


def steps(jobs):
  return {
    job.stage.name: int(binding.removeprefix('STEPS = '))
    for job in jobs
    for binding in job.bindings
    if binding.startswith('STEPS = ')
  }


def test_steps_follow_from_costs(tmp_path):
  run = make_runner(tmp_path, members())
  jobs = run.check({'pretrain': 2.0, 'consistency': 3.0})
  assert steps(jobs) == {
    'scratch_2': 100,
    'pretrain_2': 20,
    'contrastive_consistency_2': 20,
  }
  # As long as nothing is known.
  assert steps(run.check())['pretrain_2'] == 40


def measure(run, folder, data_dir=None):
  flags = processes.Flags('one', data_dir)
  return calibration.measure(run.check(), flags, str(folder), run._useful)


def test_costs_are_ratios_of_the_fastest_rounds(tmp_path, monkeypatch):
  rounds = {
    'softmax': [2.0, 1.0],
    'pretrain': [2.5, 4.0],
    'consistency': [3.0, 3.0],
  }
  monkeypatch.setattr(calibration, '_train', lambda *arguments: None)
  monkeypatch.setattr(
    calibration,
    '_seconds',
    lambda run: rounds[os.path.basename(run).partition('_')[0]].pop(0),
  )
  run = make_runner(tmp_path, members())
  first = {'softmax': 1.0, 'pretrain': 2.5, 'consistency': 3.0}
  assert measure(run, tmp_path) == calibration.read(str(tmp_path)) == first
  # Nothing is left to measure, until there is another arm.
  assert measure(run, tmp_path) == first
  rounds.update(softmax=[4.0, 4.0], joint=[6.0, 6.0])
  rounds.update(pretrain=[9.0, 9.0], consistency=[9.0, 9.0])
  more = make_runner(tmp_path / 'more', members((*ARMS, 'joint')))
  assert measure(more, tmp_path) == {**first, 'joint': 1.5}


def test_softmax_steps_are_the_unit(tmp_path):
  run = make_runner(tmp_path / 'study', members(('joint',)))
  with pytest.raises(errors.ConfigError, match='add the arm softmax'):
    run.run('')
  assert not (tmp_path / 'study').exists()


def _shipped(name, bindings):
  return pytest.param(
    f'gin_configs/studies/{name}.gin', bindings, marks=pytest.mark.slow, id=name
  )


@pytest.mark.parametrize(
  ('name', 'bindings'),
  [
    # AdamW, whose warm-up is longer than what is timed.
    _shipped('voc2012_small', ("VOC_ROOT = 'x'", "PRETRAINED = 'imagenet'")),
    _shipped('camvid_small', ("CAMVID_ROOT = 'x'",)),
    ('gin_configs/studies/own.gin', ()),
  ],
)
def test_short_trainings_of_the_studies_can_be_built(
  tmp_path, monkeypatch, name, bindings
):
  own = name.endswith('own.gin')
  given = experiments.describe_own_data(tmp_path) if own else bindings
  # Those of the evaluated features have no meaning in what is timed.
  given = (*given, 'embedding_judge.EmbeddingJudge.images = 4')
  root = 'deeplab_contrast.studies.stages.Recipe'
  built = launch.parse([name], given, root, tolerate_unused_bindings=True)
  trained = []

  def train(job, flags, model_dir, arguments):
    experiment = launch.parse(job.stage.gin_files, arguments).root
    trained.append(job.stage.work.kind)
    assert experiment.trainer.steps == calibration.STEPS
    assert experiment.embedding_judge is None

  monkeypatch.setattr(calibration, '_train', train)
  monkeypatch.setattr(calibration, '_seconds', lambda run: 1.0)
  monkeypatch.setattr(calibration, 'ROUNDS', 1)
  folder = str(tmp_path / 'study')
  os.mkdir(folder)
  run = runner.Runner(
    built.root, folder, processes.Flags(), given, built.unused
  )
  measure(run, folder)
  assert {'softmax', 'pretrain', 'consistency'} <= set(trained)


def test_costs_are_measured_or_given():
  with pytest.raises(errors.ConfigError, match='give one of the two'):
    Schedule(10, step_costs={'joint': 1.2}, equal_time=True)


@pytest.mark.parametrize(
  'stored',
  [
    *({'cost': 3}, {'costs': []}, {'costs': {'a': 0}}),
    *({'costs': {'a': '1'}}, {'costs': {'a': float('nan')}}, [1]),
  ],
)
def test_a_damaged_file_of_costs_is_named(tmp_path, stored):
  (tmp_path / run_files.STEP_COSTS).write_text(json.dumps(stored))
  with pytest.raises(errors.DataError, match='is damaged, and the steps'):
    calibration.read(str(tmp_path))


@pytest.mark.slow
def test_real_steps_are_timed(tmp_path, monkeypatch, capfd):
  """Also those of a training that starts from another one."""
  monkeypatch.setattr(calibration, 'STEPS', 2)
  monkeypatch.setattr(calibration, 'ROUNDS', 1)
  data_dir = str(tmp_path / 'data')
  folder = tmp_path / 'study'
  run = make_runner(folder, members(), data_dir)
  found = measure(run, folder, data_dir)
  assert found.keys() == {'softmax', 'pretrain', 'consistency'}
  assert found['softmax'] == 1.0 and min(found.values()) > 0
  assert 'in steps of softmax training: softmax 1.0' in capfd.readouterr().out
  assert os.listdir(folder) == [run_files.STEP_COSTS]  # And no timing.
  stored = json.loads((folder / run_files.STEP_COSTS).read_text())
  assert all(0 < seconds < 600 for seconds in stored['seconds'].values())


@pytest.mark.slow
def test_a_training_that_cannot_be_timed_says_where(tmp_path):
  (tmp_path / 'file').write_text('not a folder')
  folder = tmp_path / 'study'
  run = make_runner(folder, members(('softmax',)))
  sentence = 'Timing steps: softmax ended with exit code .*softmax_0.log'
  with pytest.raises(processes.ChildFailed, match=sentence):
    measure(run, folder, str(tmp_path / 'file'))
  said = (folder / 'timing' / 'softmax_0.log').read_text()
  assert said.splitlines()[-1].startswith('error: ')


def test_a_search_looks_at_training_images_only():
  found = study.search('train_aug', 25)
  assert found == (
    "train/sources.TfdsSplit.split = 'train_aug[:75%]'",
    "val/sources.TfdsSplit.split = 'train_aug[75%:]'",
  )
  with pytest.raises(errors.ConfigError, match=r'search\.percent is 100'):
    study.search(percent=100)


def test_the_overlay_of_searches():
  # camvid.gin has no settings of its own.
  for name in ('scenes', 'camvid'):
    files = [f'gin_configs/studies/{x}.gin' for x in (name, 'search')]
    root = 'deeplab_contrast.studies.stages.Recipe'
    with pytest.raises(errors.ConfigError, match='SETTINGS is required'):
      launch.parse(files, ["ARMS = ('softmax',)"], root)
    given = ["SETTINGS = {'a': {}}", 'SEEDS = (0,)']
    assert launch.parse(files, given, root).root.stages[0].name[-2:] == '_a'


def test_a_search_tries_each_setting():
  built = launch.parse(
    ['gin_configs/studies/scenes.gin', 'gin_configs/studies/search.gin'],
    [
      "ARMS = ('softmax',)",
      "SETTINGS = {'a': {}, 'b': {'scratch': ('X = 1',)}}",
    ],
    'deeplab_contrast.studies.stages.Recipe',
  )
  first, second, *_ = built.root.stages
  assert [first.arm, second.arm] == ['softmax a', 'softmax b']
  assert "val/sources.TfdsSplit.split = 'train[80%:]'" in second.bindings
