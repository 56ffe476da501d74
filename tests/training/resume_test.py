"""The promise: a run that was killed ends as if it had not been."""

import pathlib
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
import tensorflow as tf

from deeplab_contrast.tasks import softmax
from deeplab_contrast.training import checkpoints
from deeplab_contrast.utils import metrics, run_files
from tests import processes, tiny

STEPS = 40
EXPERIMENTS = {
  'softmax': 'softmax_scratch',
  'contrastive': 'contrastive_pretrain',
}


class Runs:
  """Trainings of one experiment in folders of their own."""

  def __init__(self, task, folder):
    bindings = (f'STEPS = {STEPS}', 'SAVE_EVERY = 7', 'EVAL_EVERY = 12')
    name = EXPERIMENTS[task]
    self.folder = folder
    self.flags = processes.scenes_flags(name, folder / 'data', *bindings)

  def __call__(self, name):
    """Trains to the end; returns the process."""
    command = (*self.flags, f'--model_dir={self.folder / name}')
    done = processes.run_module('train', *command)
    assert done.returncode == 0, done.stdout + done.stderr
    return done

  def stop(self, name, number, generator, left=1):
    """Sends a signal at a random moment; returns (process, line, seconds).

    Returns None where so few steps are left that the run might end before it.
    With `left` stops to come, this one takes its share of the steps.
    """
    model_dir = self.folder / name
    command = (*self.flags, f'--model_dir={model_dir}')
    first = _lines(model_dir) + 1
    room = (STEPS - 15 - first) // left
    if room < 1:
      return None
    process = processes.start_module('train', *command)
    line = first + int(generator.integers(room))
    seconds = float(generator.uniform(0, 0.1))
    processes.wait_for_lines(process, model_dir / run_files.METRICS, line)
    time.sleep(seconds)
    process.send_signal(number)
    return process, line, seconds


def _lines(model_dir):
  path = model_dir / run_files.METRICS
  return path.read_text().count('\n') if path.exists() else 0


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
  """Maps a task to its Runs, of which 'whole' was never interrupted."""
  made = {}

  def make(task):
    if task not in made:
      made[task] = Runs(task, tmp_path_factory.mktemp(task))
      made[task]('whole')
    return made[task]

  return make


def weights(model_dir):
  """{name: array} of all that the newest checkpoint holds."""
  path = checkpoints.list_checkpoints(str(model_dir / 'checkpoints'))[0]
  reader = tf.train.load_checkpoint(path)
  # How often was saved is the one thing that may differ; the graph is text.
  return {
    name: reader.get_tensor(name)
    for name in reader.get_variable_to_shape_map()
    if not name.startswith(('save_counter/', '_CHECKPOINTABLE'))
  }


def logged(model_dir):
  clocks = ('images_per_second', 'data_wait')
  return [
    {key: value for key, value in line.items() if key not in clocks}
    for line in metrics.read(str(model_dir))
  ]


def assert_same(runs, name, moments):
  """The run ended with the bits of the one that was never interrupted."""
  message = f'stopped after (line of the log, seconds): {moments}'
  expected, actual = (weights(runs.folder / x) for x in ('whole', name))
  assert set(actual) == set(expected) and len(actual) > 100
  for variable, value in expected.items():
    np.testing.assert_array_equal(
      actual[variable], value, err_msg=f'{variable}, {message}'
    )
  assert logged(runs.folder / name) == logged(runs.folder / 'whole'), message
  (step,) = (v for k, v in expected.items() if k.startswith('step/'))
  assert step == STEPS


@pytest.mark.slow
def test_killed_and_started_again_it_ends_bit_identical(runs):
  generator = np.random.default_rng(2)
  run, moments = runs('contrastive'), []
  for left in (2, 1):
    stopped = run.stop('killed', signal.SIGKILL, generator, left)
    if stopped is None:
      break
    process, *moment = stopped
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    moments.append(moment)
  assert moments
  run('killed')
  assert_same(run, 'killed', moments)


@pytest.mark.slow
def test_killed_while_saving(runs):
  run, generator = runs('softmax'), np.random.default_rng(3)
  model_dir = run.folder / 'saving'
  command = (*run.flags, f'--model_dir={model_dir}')
  process = processes.start_module('train', *command)
  folder, skip = model_dir / 'checkpoints', int(generator.integers(0, 3))
  seen = set()
  while len(seen) <= skip:
    assert process.poll() is None
    seen |= {path.name.partition('temp')[0] for path in folder.glob('*temp*')}
  process.kill()
  process.communicate()
  left = sorted(path.name for path in folder.iterdir())
  run('saving')
  assert_same(run, 'saving', [left])
  assert not list(folder.glob('*temp*')), left


@pytest.mark.slow
def test_asked_to_stop_it_saves_first(runs):
  number = signal.SIGINT
  run, name = runs('contrastive'), number.name
  process, *moment = run.stop(name, number, np.random.default_rng(4))
  _, stderr = process.communicate()
  assert process.returncode == 143
  assert stderr == (
    f'error: Stopped by {number.name}; run the same command again to resume.\n'
  )
  model_dir = run.folder / name
  newest = checkpoints.list_checkpoints(str(model_dir / 'checkpoints'))[0]
  steps = [line['step'] for line in logged(model_dir)]
  assert checkpoints.step_of(newest) == steps[-1] < STEPS
  assert not (model_dir / 'DONE').exists()
  run(name)
  assert_same(run, name, moment)


def test_a_finished_run_started_again_changes_nothing(runs):
  run = runs('softmax')
  before = contents(run.folder / 'whole')
  assert {'DONE', 'config.gin', 'metrics.jsonl'} <= set(before)
  done = run('whole')
  assert 'is already complete; nothing to do.' in done.stdout
  assert done.stderr == ''
  assert contents(run.folder / 'whole') == before


def contents(folder):
  """{file: bytes} of a run; the lock is no part of it."""
  folder = pathlib.Path(folder)
  return {
    str(path.relative_to(folder)): path.read_bytes()
    for path in folder.rglob('*')
    if path.is_file() and path.name != '.lock'
  }


class PowerFailure(Exception):
  """Ends a training at once, as no signal could."""


@pytest.mark.parametrize('fail_at', [2, 4])
def test_an_evaluation_that_was_cut_off_is_made_up_for(tmp_path, fail_at):
  """Weights are saved before evaluation: the score must not be lost."""
  counts = []

  def evaluate(poll):
    del poll
    counts.append(1)
    if 2 * len(counts) == fail_at:
      raise PowerFailure
    return {'miou': 0.5}

  with pytest.raises(PowerFailure):
    fit(tmp_path, evaluate)
  fit(tmp_path, evaluate)
  judged = [x['step'] for x in logged(tmp_path) if x['split'] == 'val']
  assert judged == [2, 4]


def test_an_evaluation_is_not_logged_twice(tmp_path):
  """As when the power fails after the last evaluation, but before DONE."""
  for _ in range(2):
    fit(tmp_path, lambda _: {'miou': 0.5})
  judged = [x['step'] for x in logged(tmp_path) if x['split'] == 'val']
  assert judged == [2, 4]


def fit(model_dir, evaluate):
  task = softmax.Softmax()
  trainer = tiny.make_trainer(4, save_every=2, eval_every=2)
  strategy = tf.distribute.get_strategy()
  network, stream = tiny.network(task), tiny.make_stream()
  trainer.fit(network, task, stream, strategy, str(model_dir), evaluate)


# `train` on a machine with N devices.
_TRAIN_ON = """
  import sys
  import tensorflow as tf
  from deeplab_contrast import launch, train
  devices = [tf.config.LogicalDeviceConfiguration()] * int(sys.argv.pop(1))
  tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices('CPU')[0], devices
  )
  launch.run(train.main)
"""


@pytest.mark.slow
def test_another_number_of_replicas_needs_a_flag_to_resume(tmp_path):
  flags = processes.scenes_flags('softmax_scratch', tmp_path / 'data')
  flags.append(f'--model_dir={tmp_path}/run')

  def train(devices, *more):
    command = [sys.executable, '-c', textwrap.dedent(_TRAIN_ON)]
    return subprocess.run(
      [*command, str(devices), *flags, '--strategy=mirrored', *more],
      capture_output=True,
      text=True,
      env=processes.environment(),
      check=False,
    )

  one = processes.run_module('train', *flags)
  assert one.returncode == 0, one.stderr
  (tmp_path / 'run' / 'DONE').unlink()  # As if killed before it was written.
  two = train(2)
  assert two.returncode == 2, two.stderr
  # TensorFlow, imported before us here, prints above.
  said = two.stderr.splitlines()[-1]
  assert said.startswith('error: ') and 'Traceback' not in two.stderr
  assert 'replicas stored 1, given 2 ' in said
  assert not (tmp_path / 'run' / 'DONE').exists()
  two = train(2, '--allow_config_change')
  assert two.returncode == 0 and 'Resuming from' in two.stdout, two.stderr
