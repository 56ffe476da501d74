"""A reader that hangs, and a bug while readers are busy: commands end."""

import subprocess
import sys
import textwrap

import pytest

from deeplab_contrast.training import checkpoints
from deeplab_contrast.utils import errors
from tests import processes

# `train`, with a source whose example number N of a stream is late.
_TRAIN = """
  import sys, time
  from deeplab_contrast import launch, train
  from deeplab_contrast.datasets import pipeline
  from deeplab_contrast.inference import evaluator
  from deeplab_contrast.utils import heartbeat

  class Late:
    def __init__(self, examples):
      self.examples, self.reads = examples, 0

    def __getitem__(self, index):
      self.reads += 1
      late(self.reads)
      return self.examples[index]

  read, slow = pipeline._read, {}
  def slowly(examples, index, seed):
    return read(slow.setdefault(id(examples), Late(examples)), index, seed)
  pipeline._read = slowly
"""

# From the seventh example of the training on. The limit is set once only that
# is missing, since the time until then depends on the machine.
_HANGS = """
  def late(reads):
    if reads > 6:
      while heartbeat._watch._doing != 'waiting for the batch of step 4':
        time.sleep(0.05)
      heartbeat._watch._seconds = 0.1
      time.sleep(3600)

  launch.run(train.main)
"""

_BUG = """
  def late(reads):
    time.sleep(0.5)

  def counter(*_):
    def count(images, labels):
      raise KeyError('a bug')
    return count

  evaluator.Evaluator.counter = counter
  launch.run(train.main)
"""


def train(code, folder, *flags):
  """Runs it in its own process."""
  return subprocess.run(
    [
      *(sys.executable, '-c', textwrap.dedent(_TRAIN + code)),
      *processes.scenes_flags('softmax_scratch', folder / 'data', *flags),
      f'--model_dir={folder}/run',
    ],
    capture_output=True,
    text=True,
    env=processes.environment(),
    check=False,
  )


@pytest.mark.slow
def test_a_reader_that_hangs_ends_the_training(tmp_path):
  done = train(_HANGS, tmp_path, 'STEPS = 8', 'SAVE_EVERY = 1')
  assert done.returncode == errors.Stuck.exit_code, done.stderr
  assert 'Traceback' not in done.stderr
  sentence = done.stderr.splitlines()[-1]
  assert sentence.startswith('error: No progress for ')
  assert 'while waiting for the batch of step 4: a reader hangs' in sentence
  newest = checkpoints.list_checkpoints(f'{tmp_path}/run/checkpoints')[0]
  assert checkpoints.step_of(newest) == 3


@pytest.mark.slow
def test_a_bug_while_examples_are_read_ends_the_training(tmp_path):
  done = train(_BUG, tmp_path, 'STEPS = 2', 'evaluator.Evaluator.limit = None')
  assert done.returncode == 1
  assert done.stderr.count('Traceback') == 1
  assert done.stderr.endswith("KeyError: 'a bug'\n")
