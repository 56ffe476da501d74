"""Waiting for the checkpoints of a training that goes on elsewhere."""

import os
import time

from deeplab_contrast.training import checkpoints
from deeplab_contrast.utils import errors, results, run_files

_NAP = 0.1


def new_checkpoints(model_dir, known, poll, timeout=None, interval=10.0):
  """Yields the paths of checkpoints as they come, older ones first.

  Ends when the training is done and no checkpoint is left.

  Args:
    model_dir: the run's folder; may be empty yet.
    known: a set of steps that are not wanted; grows by what was yielded.
    poll: called often, e.g. to stop on a signal.
    timeout: gives up when nothing came for so many seconds; None never does.
    interval: seconds between two looks.

  Raises:
    SystemFault: after `timeout`.
  """
  began = time.monotonic()
  while True:
    # Looked at before the folder: what is there then is all there will be.
    is_done = results.is_done(model_dir)
    path = _oldest(model_dir, known)
    if path is not None:
      known.add(checkpoints.step_of(path))
      yield path
      began = time.monotonic()
      continue
    if is_done:
      return
    _wait(began, interval, poll, timeout, model_dir)


def _oldest(model_dir, known):
  folder = os.path.join(model_dir, run_files.CHECKPOINTS)
  paths = checkpoints.list_checkpoints(folder)
  unknown = [p for p in paths if checkpoints.step_of(p) not in known]
  return unknown[-1] if unknown else None


def _wait(began, interval, poll, timeout, model_dir):
  end = time.monotonic() + interval
  while time.monotonic() < end:
    poll()
    if timeout is not None and time.monotonic() - began > timeout:
      raise errors.SystemFault(
        f'No new checkpoint in {model_dir} for {timeout:g} s, and its training '
        'is not done; is it still alive?'
      )
    time.sleep(_NAP)
