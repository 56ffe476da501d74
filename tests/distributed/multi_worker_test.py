"""Two real processes on this machine, as --strategy=multi_worker makes them."""

import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from deeplab_contrast.training import checkpoints
from deeplab_contrast.utils import errors, metrics, results, run_files
from tests import processes

STEPS = 16
# Masks of dropout differ from replica to replica.
BINDINGS = (
  f'STEPS = {STEPS}',
  'BATCH_SIZE = 4',
  'SAVE_EVERY = 2',
  'EVAL_EVERY = 8',
  'LEARNING_RATE = 0.01',
  'aspp.ASPP.dropout_rate = 0.0',
)
LIMIT = 600  # Seconds, for a machine that is busy with other things.


def addresses():
  """Two, with ports that are free."""
  return [f'localhost:{port}' for port in processes.free_ports(2)]


def start(flags, model_dir, own=((), ())):
  """Starts two workers; `own` are flags of each. Returns the processes."""
  cluster = {'worker': addresses()}
  started = []
  for index in range(2):
    task = {'type': 'worker', 'index': index}
    tf_config = json.dumps({'cluster': cluster, 'task': task})
    command = [sys.executable, '-m', 'deeplab_contrast.train']
    command += [*flags, f'--model_dir={model_dir}', '--strategy=multi_worker']
    started.append(
      subprocess.Popen(
        [*command, *own[index]],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=processes.environment(TF_CONFIG=tf_config),
      )
    )
  return started


def end(started):
  """Waits for them; returns [(exit code, output, last line of errors)]."""
  try:
    told = [process.communicate(timeout=LIMIT) for process in started]
  finally:
    for process in started:
      process.kill()
  return [
    (process.returncode, output, (error.splitlines() or [''])[-1])
    for process, (output, error) in zip(started, told, strict=True)
  ]


def train(flags, model_dir):
  ended = end(start(flags, model_dir))
  assert [code for code, *_ in ended] == [0, 0], ended
  return ended


def flags(folder):
  return processes.scenes_flags('softmax_scratch', folder / 'data', *BINDINGS)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  """Holds the run 'whole' of two workers that nothing has interrupted."""
  found = tmp_path_factory.mktemp('workers')
  train(flags(found), found / 'whole')
  return found


def state(model_dir):
  """(step, {name: array}) of the newest checkpoint."""
  path = checkpoints.list_checkpoints(str(model_dir / 'checkpoints'))[0]
  reader = tf.train.load_checkpoint(path)
  values = {
    name: reader.get_tensor(name)
    for name in reader.get_variable_to_shape_map()
    if not name.startswith(('save_counter/', '_CHECKPOINTABLE'))
  }
  return checkpoints.step_of(path), values


def logged(model_dir, split):
  clocks = ('images_per_second', 'data_wait')
  return [
    {key: value for key, value in line.items() if key not in clocks}
    for line in metrics.read(str(model_dir))
    if line['split'] == split
  ]


@pytest.mark.slow
def test_two_workers_equal_one_process(folder):
  """In weights, losses and scores; and they leave the same files."""
  command = flags(folder)
  done = processes.run_module('train', *command, f'--model_dir={folder}/one')
  assert done.returncode == 0, done.stderr
  one, two = folder / 'one', folder / 'whole'
  for a, b in zip(logged(one, 'train'), logged(two, 'train'), strict=True):
    assert a.keys() == b.keys()
    for name in ('softmax', 'loss', 'softmax_count', 'weight_norm'):
      np.testing.assert_allclose(a[name], b[name], rtol=1e-5, err_msg=name)
  (step, expected), (same_step, actual) = state(one), state(two)
  assert step == same_step == STEPS
  assert actual.keys() == expected.keys() and len(actual) > 100
  for name, value in expected.items():
    np.testing.assert_allclose(
      actual[name], value, rtol=1e-5, atol=1e-5, err_msg=name
    )
  found = [results.read(str(path)) for path in (one, two)]
  assert found[0]['pixels'] == found[1]['pixels'] > 0
  assert found[0]['miou'] == pytest.approx(found[1]['miou'], abs=0.01)
  assert len(logged(two, 'val')) == 2
  assert files(one) == files(two)


def files(model_dir):
  """The names of all files; those of TensorBoard by their kind."""
  return sorted(
    str(path.relative_to(model_dir)).split('.tfevents')[0]
    for path in model_dir.rglob('*')
    if path.is_file()
  )


@pytest.mark.slow
def test_whatever_ends_one_worker_all_resume(folder):
  """A signal to one worker, then a death of either, then to the end."""
  model_dir = folder / 'broken'
  command = flags(folder)

  def interrupted(victim, number, step):
    started = start(command, model_dir)
    path = model_dir / run_files.METRICS
    processes.wait_for_lines(started[0], path, step, LIMIT)
    started[victim].send_signal(number)
    return end(started)

  ended = interrupted(1, signal.SIGTERM, 3)
  assert [code for code, *_ in ended] == [143, 143], ended
  assert {said for *_, said in ended} == {
    'error: Stopped by SIGTERM; run the same command again to resume.'
  }
  # Saved by the chief, at the step that is the last for both.
  saved = state(model_dir)[0]
  assert saved == logged(model_dir, 'train')[-1]['step'] < STEPS
  for victim, step in ((1, saved + 3), (0, saved + 6)):
    ended = interrupted(victim, signal.SIGKILL, step)
    assert ended[victim][0] == -signal.SIGKILL, ended
    code, _, said = ended[1 - victim]
    assert code == errors.WorkerLost.exit_code, ended
    assert said.startswith(f'error: Lost worker {victim} (localhost:'), said
  train(command, model_dir)
  (_, expected), (step, actual) = state(folder / 'whole'), state(model_dir)
  assert step == STEPS and actual.keys() == expected.keys()
  for name, value in expected.items():
    np.testing.assert_array_equal(actual[name], value, err_msg=name)
  for split in ('train', 'val'):
    assert logged(model_dir, split) == logged(folder / 'whole', split)


def another_configuration(folder):
  return ['--gin_bindings=LEARNING_RATE = 0.02'], 'in the configuration'


def other_data(folder):
  """A copy in which the examples have other names."""
  shutil.copytree(folder / 'data', folder / 'other')
  (path,) = (folder / 'other').rglob('ids_train.json')
  path.write_text(path.read_text().replace('train_', 'other_'))
  return [f'--data_dir={folder}/other'], 'in the train data'


def another_folder(folder):
  return [f'--model_dir={folder}/elsewhere'], 'in the file config.gin'


@pytest.mark.slow
@pytest.mark.parametrize(
  'make', [another_configuration, other_data, another_folder]
)
def test_workers_that_differ_do_not_start(folder, make):
  own, part = make(folder)
  model_dir = folder / make.__name__
  ended = end(start(flags(folder), model_dir, ((), own)))
  assert [code for code, *_ in ended] == [2, 2], ended
  assert ended[0][2] == ended[1][2]
  said = ended[0][2]
  assert said.startswith('error: Workers differ from worker 0 (localhost:')
  assert 'worker 1 (localhost:' in said and part in said
  assert not (model_dir / 'checkpoints').exists()
  assert not (folder / 'elsewhere').exists()


@pytest.mark.slow
def test_a_worker_that_sees_other_checkpoints_does_not_start(folder):
  """A copy of the folder that was left behind at an earlier step."""
  for name in ('new', 'old'):
    shutil.copytree(folder / 'whole', folder / name)
    os.remove(folder / name / run_files.DONE)
  checkpoints.remove(checkpoints.path_of(folder / 'old', STEPS))
  own = [f'--model_dir={folder}/old']
  command = flags(folder)
  ended = end(start(command, folder / 'new', ((), own)))
  assert [code for code, *_ in ended] == [2, 2], ended
  for *_, said in ended:
    assert 'in the step to resume from;' in said and 'in the weights' in said


@pytest.mark.parametrize(
  ('module', 'tf_config', 'sentence'),
  [
    ('train', '{', 'TF_CONFIG must be JSON'),
    (
      'eval',
      json.dumps(
        {
          'cluster': {'worker': ['a:1', 'b:2']},
          'task': {'type': 'worker', 'index': 0},
        }
      ),
      'TF_CONFIG names 2 tasks, but only the command train works with several',
    ),
  ],
)
def test_a_wrong_start_ends_at_once(tmp_path, module, tf_config, sentence):
  done = processes.run_apart(
    module,
    '--strategy=multi_worker',
    f'--model_dir={tmp_path}',
    TF_CONFIG=tf_config,
  )
  assert done.returncode == 2
  assert done.stderr.startswith(f'error: {sentence}')
  assert done.stderr.count('\n') == 1
