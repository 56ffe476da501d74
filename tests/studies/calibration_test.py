import json

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
from deeplab_contrast.utils import errors, files, run_files
from tests import fixtures

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
    job.stage.name: int(job.bindings[0].removeprefix('STEPS = '))
    for job in jobs
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


def test_costs_are_ratios_of_the_fastest_rounds(tmp_path, monkeypatch):
  rounds = {
    'softmax': [2.0, 1.0],
    'pretrain': [2.5, 4.0],
    'consistency': [3.0, 3.0],
  }
  monkeypatch.setattr(
    calibration,
    '_seconds',
    lambda job, *others: rounds[job.stage.work.kind].pop(0),
  )
  jobs = make_runner(tmp_path, members()).check()
  flags = processes.Flags()
  first = {'softmax': 1.0, 'pretrain': 2.5, 'consistency': 3.0}
  assert calibration.measure(jobs, flags, str(tmp_path)) == first
  assert calibration.read(str(tmp_path)) == first
  # Nothing is left to measure, until there is another arm.
  assert calibration.measure(jobs, flags, str(tmp_path)) == first
  rounds.update(softmax=[4.0, 4.0], joint=[6.0, 6.0])
  jobs = make_runner(tmp_path / 'more', members((*ARMS, 'joint'))).check()
  rounds.update(pretrain=[9.0, 9.0], consistency=[9.0, 9.0])
  found = calibration.measure(jobs, flags, str(tmp_path))
  assert found == {**first, 'joint': 1.5}


def test_softmax_steps_are_the_unit(tmp_path):
  jobs = make_runner(tmp_path, members(('joint',))).check()
  with pytest.raises(errors.ConfigError, match='add the arm softmax'):
    calibration.measure(jobs, processes.Flags(), str(tmp_path))


def test_costs_are_measured_or_given():
  with pytest.raises(errors.ConfigError, match='give one of the two'):
    Schedule(10, step_costs={'joint': 1.2}, equal_time=True)


def test_a_damaged_file_of_costs_is_named(tmp_path):
  files.write_json(tmp_path / run_files.STEP_COSTS, {'cost': 3})
  with pytest.raises(errors.DataError, match='step_costs.json is damaged'):
    calibration.read(str(tmp_path))


@pytest.mark.slow
def test_real_steps_are_timed(tmp_path, monkeypatch, capfd):
  """Also those of a training that starts from another one."""
  monkeypatch.setattr(calibration, 'STEPS', 2)
  monkeypatch.setattr(calibration, 'ROUNDS', 1)
  run = make_runner(tmp_path, members(), str(tmp_path / 'data'))
  jobs = run.check()
  found = calibration.measure(
    jobs, processes.Flags('one', str(tmp_path / 'data')), str(tmp_path)
  )
  assert found.keys() == {'softmax', 'pretrain', 'consistency'}
  assert found['softmax'] == 1.0 and min(found.values()) > 0
  assert 'in steps of softmax training: softmax 1.0' in capfd.readouterr().out
  stored = json.loads((tmp_path / run_files.STEP_COSTS).read_text())
  assert all(0 < seconds < 600 for seconds in stored['seconds'].values())


def test_a_training_that_cannot_be_timed_says_why(tmp_path):
  jobs = make_runner(tmp_path, members(('softmax',))).check()
  (tmp_path / 'file').write_text('not a folder')
  flags = processes.Flags('one', str(tmp_path / 'file'))
  with pytest.raises(processes.ChildFailed, match='cannot be timed: .*file'):
    calibration.measure(jobs, flags, str(tmp_path))


def test_a_search_looks_at_training_images_only():
  found = study.search('train_aug', 25)
  assert found == (
    "train/sources.TfdsSplit.split = 'train_aug[:75%]'",
    "val/sources.TfdsSplit.split = 'train_aug[75%:]'",
  )
  with pytest.raises(errors.ConfigError, match=r'search\.percent is 100'):
    study.search(percent=100)


def test_the_overlay_of_searches():
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
