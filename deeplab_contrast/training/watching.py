"""Waits for the checkpoints of a training in another process."""

import os
import time
from collections.abc import Callable, Iterator

from deeplab_contrast.training import checkpoints
from deeplab_contrast.utils import errors, results, run_files

_NAP = 0.1


def new_checkpoints(
  model_dir: str,
  known: set[int],
  poll: Callable[[], object],
  timeout: float | None = None,
  interval: float = 10.0,
) -> Iterator[str]:
  """Yields the paths of checkpoints as they appear, older ones first.

  Ends when the training is done and no checkpoint is left.

  Args:
    model_dir: the run's folder; may still be empty.
    known: steps to leave out; those yielded are added.
    poll: called often, e.g. to stop on a signal.
    timeout: seconds without a new checkpoint before giving up; None waits
      forever.
    interval: seconds between two checks.

  Raises:
    SystemFault: after `timeout`.
  """
  began = time.monotonic()
  while True:
    # Read before the folder: if it is done, the folder is complete.
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
