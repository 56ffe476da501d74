import os

import pytest

from deeplab_contrast import launch
from deeplab_contrast.config import build, run_folder
from deeplab_contrast.studies import processes, runner, stages
from deeplab_contrast.utils import errors, precision

Stage = stages.Stage

TINY = 'gin_configs/tiny.gin'


def real_stage(name, kind, **kwargs):
  files = (f'gin_configs/scenes/{kind}.gin', TINY)
  return Stage(name, files, **kwargs)


PRETRAINING = real_stage('pretrain', 'contrastive_pretrain')
JUDGED = real_stage('scratch', 'softmax_scratch', arm='softmax')


def check(folder, members, given=(), allow_config_change=False):
  recipe = stages.Recipe(tuple(members))
  flags = processes.Flags(allow_config_change=allow_config_change)
  idle = {b.partition(' ')[0]: f'nothing uses {b}' for b in given}
  return runner.Runner(recipe, str(folder), flags, given, idle).check()


def test_bindings_reach_the_stages_that_use_them(tmp_path):
  given = ['STRENGTH = 0.5', 'STEPS = 9']
  jobs = check(tmp_path, [PRETRAINING, JUDGED], given)
  assert [job.given for job in jobs] == [tuple(given), ('STEPS = 9',)]


def test_all_stages_train_in_the_precision_found_for_the_first(
  tmp_path, monkeypatch
):
  monkeypatch.setattr(precision, 'faster', lambda: 'float32')
  jobs = check(tmp_path, [PRETRAINING, JUDGED], ["PRECISION = 'auto'"])
  assert [job.given[-1] for job in jobs] == ["PRECISION = 'float32'"] * 2


def test_a_stage_is_built_once_for_all_seeds(tmp_path, monkeypatch):
  recipe = stages.Recipe((PRETRAINING, JUDGED), seeds=(0, 1, 2))
  built, parse = [], build.parse

  def counted(*arguments, **settings):
    built.append(settings['settings']['seed'])
    return parse(*arguments, **settings)

  monkeypatch.setattr(build, 'parse', counted)
  run = runner.Runner(recipe, str(tmp_path), processes.Flags(), ['STEPS = 9'])
  jobs = run.check()
  assert [(job.seed, job.given) for job in jobs] == [
    (seed, ('STEPS = 9',)) for seed in (0, 0, 1, 1, 2, 2)
  ]
  assert built == [0, 0]
  # What a folder holds is compared.
  (tmp_path / 'scratch_seed2').mkdir()
  (tmp_path / 'scratch_seed2' / 'notes').touch()
  with pytest.raises(errors.ConfigError, match='scratch_seed2 is not empty'):
    run.check()
  assert built == [0, 0, 0, 0, 2]


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
