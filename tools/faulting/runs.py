"""Faults 1 to 15: runs that are killed, damaged, changed or started twice."""

import signal

from deeplab_contrast.utils import run_files
from tests import recipe_test
from tools.faulting.stage import (
  Fault,
  cpu_seconds,
  expect,
  flip,
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


def _stopped(stage):
  """SIGTERM in the first compile, SIGTERM twice in a step, SIGKILL; resumed."""
  run, ended = stage.folder('1') / 'run', []
  for is_there, signals in (
    ((run / run_files.CONFIG).exists, [signal.SIGTERM]),
    (lambda: _lines(run) >= 2, [signal.SIGTERM] * 2),
    (lambda: _lines(run) >= 5, [signal.SIGKILL]),
  ):
    process = stage.start('train', *stage.flags(), f'--model_dir={run}')
    wait_for(process, is_there)
    for number in signals:
      process.send_signal(number)
    ended.append(stage.end(process))
  expect(ended[-1].code == -signal.SIGKILL, 'it ended before it was killed')
  return ended[:-1], stage.resume(run)


def _shared(stage):
  """What `_stopped` returns, played once."""
  if 'stopped' not in stage.shared:
    stage.shared['stopped'] = _stopped(stage)
  return stage.shared['stopped']


def _killed_in_a_step(stage):
  return [_shared(stage)[1]]


def _terminated(stage):
  """In the first compile, in a step (twice), in an evaluation."""
  ended = [says(one, 'SIGTERM') for one in _shared(stage)[0]]
  _, seconds = stage.evaluated
  run = stage.interrupted('4_eval')
  process = stage.start('eval', f'--model_dir={run}')
  wait_for(process, lambda: cpu_seconds(process) > 0.65 * seconds)
  process.send_signal(signal.SIGTERM)
  ended.append(stage.end(process))
  results = run / run_files.RESULTS
  expect(not results.exists(), f'{results} was written')
  return ended


def _resumes_with_troubles(stage):
  return [says(stage.troubled[0], 'ckpt-2')]


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
  with unchanged(first / run_files.CHECKPOINTS):
    ended = stage.run('recipe', *flags)
  return [says(ended, '[1/2] pretrain, seed 0: already complete')]


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


def _full_disk(stage):
  run = stage.interrupted('11')
  before = weights(run)
  ended = stage.train(run, preexec_fn=limited(FSIZE=200_000))
  expect(before.keys() == weights(run).keys(), 'the checkpoint is gone')
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


def _finished(stage):
  with unchanged(stage.whole):
    ended = stage.train(stage.whole)
  return [says(ended, 'omplete')]


FAULTS = (
  Fault(1, 'kill -9 in a step', (0,), _killed_in_a_step),
  Fault(2, 'killed while saving', (0,), _resumes_with_troubles),
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
  Fault(6, '.index deleted', (0,), _resumes_with_troubles),
  Fault(7, 'checkpoint of another size', (2,), _other_network),
  Fault(8, 'missing or extra variables', (2,), _other_variables),
  Fault(9, 'resume with another learning rate', (2,), _changed_settings),
  Fault(10, 'worse after resume', (0,), _resumes_with_troubles),
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
  Fault(14, 'clock set back, equal times', (0,), _resumes_with_troubles),
  Fault(15, 'finished run again', (0,), _finished),
)
