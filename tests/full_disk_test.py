"""A full disk ends a training with one sentence and a run that can resume."""

import resource

import pytest

from deeplab_contrast import launch
from deeplab_contrast.training import checkpoints
from tests import fixtures, processes


@pytest.mark.slow
def test_after_a_full_disk_it_resumes_from_the_last_checkpoint(tmp_path):
  model_dir, folder = tmp_path / 'run', tmp_path / 'run' / 'checkpoints'
  bindings = ('STEPS = 60', 'SAVE_EVERY = 59')
  flags = processes.scenes_flags(
    'softmax_scratch', tmp_path / 'data', *bindings
  )
  flags.append(f'--model_dir={model_dir}')
  process = processes.start_module('train', *flags)
  processes.wait_for_lines(process, model_dir / 'metrics.jsonl', 3)
  process.terminate()
  process.communicate()
  (good,) = checkpoints.list_checkpoints(str(folder))

  # Enough for all but a checkpoint.
  process = start_with_small_files(200_000, flags)
  _, stderr = process.communicate()
  assert process.returncode == 5, stderr
  assert stderr.startswith(f'error: Cannot write a checkpoint to {folder}')
  assert 'MiB free' in stderr and stderr.count('\n') == 1
  assert checkpoints.list_checkpoints(str(folder)) == [good]

  done = processes.run_module('train', *flags)
  assert done.returncode == 0, done.stderr
  assert f'Resuming from {good}' in done.stdout


@pytest.mark.slow
def test_a_disk_too_full_for_the_log(tmp_path):
  model_dir = tmp_path / 'run'
  bindings = ('STEPS = 150', 'SAVE_EVERY = 149')
  flags = processes.scenes_flags(
    'softmax_scratch', tmp_path / 'data', *bindings
  )
  built = launch.parse(
    ('gin_configs/scenes/softmax_scratch.gin',), fixtures.TINY_SCENES
  )
  built.root.train.source.open(str(tmp_path / 'data'))
  # Enough for the configuration and some lines.
  process = start_with_small_files(12_000, [*flags, f'--model_dir={model_dir}'])
  _, stderr = process.communicate()
  assert process.returncode == 5, stderr
  assert stderr.count('error: ') == 1 and 'Traceback' not in stderr
  assert (model_dir / 'metrics.jsonl').stat().st_size > 1000


@pytest.mark.slow
def test_a_disk_too_full_for_the_data(tmp_path):
  flags = processes.scenes_flags(
    'softmax_scratch', tmp_path / 'data', 'scenes.Scenes.train = 30'
  )
  process = start_with_small_files(
    20_000, [*flags, f'--model_dir={tmp_path}/a']
  )
  _, stderr = process.communicate()
  assert process.returncode == 5, stderr
  assert stderr.startswith('error: scenes cannot be prepared in ')
  assert stderr.count('\n') == 1
  done = processes.run_module('train', *flags, f'--model_dir={tmp_path}/a')
  assert done.returncode == 0, done.stderr


def start_with_small_files(limit, flags):
  """Starts a training that cannot write files beyond some number of bytes."""
  limits = (limit, limit)
  return processes.start_module(
    'train',
    *flags,
    preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limits),
  )
