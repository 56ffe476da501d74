"""Profiles a few training steps for TensorBoard.

The trace is in `tensorboard/plugins/profile`; the package
tensorboard-plugin-profile shows it.
"""

import contextlib
import os
from collections.abc import Iterator

import tensorflow as tf
from absl import logging

from deeplab_contrast.utils import run_files

_WARM_UP = 10  # Steps that trace, compile and fill buffers.


@contextlib.contextmanager
def recorded(
  model_dir: str, start: int, stop: int, count: int
) -> Iterator['Profile']:
  """Yields the `Profile` of a training, which is written at the end.

  Args:
    model_dir: the run's folder.
    start: the step the training resumes from.
    stop: its last step.
    count: the number of steps to record; 0 records nothing.
  """
  first = max(start + 1, min(start + 1 + _WARM_UP, stop - count + 1))
  profile = Profile(model_dir, range(first, min(first + count, stop + 1)))
  try:
    yield profile
  finally:
    profile.close()


class Profile:
  """Records some steps.

  Args:
    model_dir: the run's folder.
    steps: the range of steps to record.
  """

  def __init__(self, model_dir: str, steps: range):
    self._folder = os.path.join(model_dir, run_files.TENSORBOARD)
    self._steps = steps
    self._runs = False

  @contextlib.contextmanager
  def step(self, number: int) -> Iterator[None]:
    """Records the code inside as one training step."""
    if number not in self._steps:
      yield
      return
    if number == self._steps[0]:
      self._start()
    with tf.profiler.experimental.Trace('train', step_num=number, _r=1):
      yield
    if number == self._steps[-1]:
      self.close()

  def close(self) -> None:
    """Writes the profile, if there is one."""
    if not self._runs:
      return
    self._runs = False
    try:
      tf.profiler.experimental.stop()
    except Exception as e:  # noqa: BLE001  A profile must not stop a training.
      logging.warning('The profile could not be written: %s', e)

  def _start(self):
    try:
      tf.profiler.experimental.start(self._folder)
      self._runs = True
    except Exception as e:  # noqa: BLE001
      logging.warning('No profile will be recorded: %s', e)
