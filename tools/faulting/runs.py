"""Faults 1 to 15: runs that are killed, damaged, changed or started twice."""

import os
import signal

from deeplab_contrast.training import checkpoints
from deeplab_contrast.utils import run_files
from tests import recipe_test
from tools.faulting.stage import (
  Fault,
  change_json,
  contents,
  expect,
  flip,
  interrupt,
  limited,
  newest,
  says,
  unchanged,
  wait_for,
  weights,
)


def _lines(model_dir):
  path = model_dir / run_files.METRICS
  return path.read_bytes().count(b'\n') if path.exists() else 0


def _killed_in_a_step(stage):
  run = stage.folder('1') / 'run'
  process = stage.start('train', *stage.flags(), f'--model_dir={run}')
  wait_for(process, lambda: _lines(run) >= 3)
  process.kill()
  killed = stage.end(process)
  expect(killed.code == -signal.SIGKILL, f'it ended with {killed.code}')
  return [stage.resume(run)]


def _killed_in_a_save(stage):
  """As SIGKILL leaves it: data without an index, and TensorFlow's drafts."""
  run = stage.interrupted('2')
  folder = run / run_files.CHECKPOINTS
  whole = stage.whole / run_files.CHECKPOINTS / 'ckpt-6.data-00000-of-00001'
  half = whole.read_bytes()[:1000]
  (folder / 'ckpt-6.data-00000-of-00001').write_bytes(half)
  draft = folder / 'ckpt-6_temp'
  draft.mkdir()
  (draft / 'part-00000-of-00001.data-00000-of-00001').write_bytes(half)
  ended = stage.resume(run)
  expect(not draft.exists(), f'{draft} was not swept')
  return [ended]


def _killed_between_stages(stage):
  folder = stage.folder('3')
  members = (
    ('pretrain', 'contrastive_pretrain', {}),
    ('finetune', 'softmax_finetune', {'starts_from': 'pretrain', 'arm': 'a'}),
  )
  flags = (
    f'--gin_file={recipe_test.write_recipe(folder, *members)}',
    f'--model_dir={folder}/run',
    f'--data_dir={stage.data}',
  )
  process = stage.start('recipe', *flags)
  first = folder / 'run' / 'pretrain'
  wait_for(process, (first / run_files.DONE).exists)
  process.kill()
  stage.end(process)
  with unchanged(first):
    ended = stage.run('recipe', *flags)
  return [says(ended, '[1/2] pretrain, seed 0: already complete')]


def _terminated(stage):
  """In the first compile, in a step (twice), in an evaluation."""
  run = stage.folder('4') / 'run'
  ended = []
  for is_there in (
    (run / run_files.CONFIG).exists,
    lambda: _lines(run) >= 2,
  ):
    process = stage.start('train', *stage.flags(), f'--model_dir={run}')
    wait_for(process, is_there)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    ended.append(says(stage.end(process), 'SIGTERM'))
  stage.resume(run)
  copies = [stage.interrupted(f'4_eval_{i}') for i in range(2)]
  ended.append(
    interrupt(stage, 0.8, 'eval', lambda i: [f'--model_dir={copies[i]}'])
  )
  results = copies[1] / run_files.RESULTS
  expect(not results.exists(), f'{results} was written')
  return ended


def _damaged_newest(stage):
  run = stage.interrupted('5')
  damaged = newest(run, 'data-00000-of-00001')
  flip(damaged)
  return [says(stage.resume(run), str(damaged).partition('.data')[0])]


def _all_damaged(stage):
  run = stage.interrupted('5_all')
  folder = run / run_files.CHECKPOINTS
  for path in folder.glob('*.data-*'):
    path.write_bytes(path.read_bytes()[:500])
  return [says(stage.train(run), 'ckpt-2', 'ckpt-4')]


def _damaged(stage):
  one, every = _damaged_newest(stage), _all_damaged(stage)
  expect(one[0].code == 0, f'with one good checkpoint: {one[0].code}')
  return every


def _no_index(stage):
  run = stage.interrupted('6')
  newest(run, 'index').unlink()
  return [stage.resume(run)]


def _other_network(stage):
  start = f'INIT = {str(stage.whole)!r}'
  flags = [
    *stage.flags('FILTERS = 16', start, experiment='softmax_finetune'),
    f'--model_dir={stage.folder("7")}/run',
  ]
  return [says(stage.run('train', *flags), 'shape')]


def _other_variables(stage):
  run = stage.folder('8') / 'run'
  run.mkdir()
  config = (stage.whole / run_files.CONFIG).read_text()
  changed = config.replace('resnet_v1_18_beta', 'resnet_v1_50_beta')
  expect(changed != config, 'the backbone is another one')
  (run / run_files.CONFIG).write_text(changed)
  (run / run_files.CHECKPOINTS).symlink_to(stage.whole / run_files.CHECKPOINTS)
  return [says(stage.run('eval', f'--model_dir={run}'), 'another network')]


def _changed_settings(stage):
  run = stage.interrupted('9')
  with unchanged(run):
    ended = stage.train(run, 'LEARNING_RATE = 0.5')
  return [says(ended, 'initial_learning_rate', '--allow_config_change')]


def _worse_after_resume(stage):
  run = stage.interrupted('10')
  score = run / run_files.BEST_SCORE
  change_json(score, score=0.99)
  kept = contents(run / run_files.BEST)
  ended = stage.train(run)
  expect(contents(run / run_files.BEST) == kept, 'the best was replaced')
  return [ended]


def _full_disk(stage):
  run = stage.interrupted('11')
  before = weights(run)
  ended = stage.train(run, preexec_fn=limited(FSIZE=200_000))
  expect(before.keys() == weights(run).keys(), 'the checkpoint is gone')
  stage.resume(run)
  return [says(ended, 'MiB free', str(run))]


def _no_place(stage):
  file = stage.folder('12') / 'a_file'
  file.write_text('...')
  # Root may write to read-only folders; nobody can write here.
  return [
    says(stage.train(file), str(file)),
    says(stage.train('/proc/sys/run'), '/proc/sys/run'),
  ]


def _busy(stage):
  run = stage.folder('13') / 'run'
  first = stage.start(
    'train', *stage.flags('STEPS = 500'), f'--model_dir={run}'
  )
  wait_for(first, lambda: _lines(run) >= 1)
  second = stage.train(run, 'STEPS = 500')
  first.kill()
  stage.end(first)
  return [says(second, str(first.pid), 'is using model_dir')]


def _clock(stage):
  run = stage.interrupted('14')
  for path in (run / run_files.CHECKPOINTS).glob('ckpt-*'):
    # The newest are from before the others, or all from one moment.
    step = checkpoints.step_of(str(path).partition('.')[0])
    os.utime(path, (1e9 - step, 1e9 - step))
  ended = stage.resume(run)
  return [says(ended, 'ckpt-4')]


def _finished(stage):
  with unchanged(stage.whole):
    ended = stage.train(stage.whole)
  return [says(ended, 'omplete')]


FAULTS = (
  Fault(1, 'kill -9 in a step', (0,), _killed_in_a_step),
  Fault(2, 'killed while saving', (0,), _killed_in_a_save),
  Fault(3, 'killed between stages', (0,), _killed_between_stages),
  Fault(
    4,
    'SIGTERM (twice) in compile, step, evaluation',
    (143,),
    _terminated,
    (
      'tests/predict_test.py::test_a_signal_stops_it_between_two_images',
      'tests/export_model_test.py::test_a_signal_leaves_no_half_export',
    ),
  ),
  Fault(5, 'a bit of the newest flipped; all damaged', (5,), _damaged),
  Fault(6, '.index deleted', (0,), _no_index),
  Fault(7, 'checkpoint of another size', (2,), _other_network),
  Fault(8, 'missing or extra variables', (2,), _other_variables),
  Fault(9, 'resume with another learning rate', (2,), _changed_settings),
  Fault(10, 'worse after resume', (0,), _worse_after_resume),
  Fault(
    11,
    'disk full',
    (5,),
    _full_disk,
    (
      'tests/full_disk_test.py::test_a_disk_too_full_for_the_data',
      'tests/full_disk_test.py::test_a_disk_too_full_for_the_log',
    ),
  ),
  Fault(12, 'model_dir is a file, or cannot be made', (5,), _no_place),
  Fault(
    13,
    'two processes, one model_dir',
    (6,),
    _busy,
    (
      'tests/utils/locking_test.py'
      '::test_of_eight_processes_exactly_one_wins_and_is_named',
      'tests/utils/locking_test.py::test_the_lock_of_a_killed_process_is_free',
    ),
  ),
  Fault(14, 'clock set back, equal times', (0,), _clock),
  Fault(15, 'finished run again', (0,), _finished),
)
