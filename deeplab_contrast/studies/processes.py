"""Child processes that share our terminal and our signals."""

import contextlib
import dataclasses
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable

from deeplab_contrast.utils import errors, parents

_POLL_SECONDS = 0.1

# What went wrong with one task, its data or its numbers, says nothing about
# another. A full disk, a signal or a crash does.
_OF_ITS_OWN = frozenset(
  (errors.DataError.exit_code, errors.NumericalError.exit_code)
)


class ChildFailed(errors.UserError):
  """A child process ended badly; it has said why itself."""

  def __init__(self, message, exit_code):
    super().__init__(message)
    self.exit_code = exit_code


@dataclasses.dataclass(frozen=True)
class Task:
  """A command to run, some time.

  Attributes:
    key: names the task to others.
    command: list of strings.
    title: how messages call it.
    needs: keys of tasks that must have ended well before.
    log: file for what it prints; None is our terminal.
    done: called with the seconds it took, whether it ended well or not.
  """

  key: str
  command: list[str]
  title: str
  needs: tuple[str, ...] = ()
  log: str | None = None
  done: Callable[[float], None] = lambda seconds: None


def run(command, title):
  """Runs a command to its end, printing it first.

  SIGTERM is handed on to the child, which may need a moment to save its work;
  a command of this package gets it too when this process is killed.
  (SIGINT reaches it from the terminal by itself.)

  Args:
    command: list of strings.
    title: how messages call it.

  Raises:
    ChildFailed: with the child's exit code; 128 + n if signal n ended it.
  """
  run_all([Task('', command, title)])


def run_all(tasks, at_once=1):
  """Runs tasks, each when those that it needs are done, as `run` does.

  When one fails those that run go on to their end. Others are started only if
  its exit code tells of bad data or numbers, and they don't need it.

  Args:
    tasks: `Task`s; needs that are none of them count as done.
    at_once: how many may run at a time.

  Raises:
    ChildFailed: of the first that failed, those of bad data and numbers last.
    Preempted: a signal came when none was running.
  """
  waiting = list(tasks)
  running, failures, left_out = {}, [], []
  with _signals_for(running) as caught:
    while running or waiting:
      if caught and not running:
        raise errors.Preempted(
          f'Stopped by {caught[0].name}; start the same command again to go on.'
        )
      if not caught:
        _start_some(waiting, running, at_once)
      for child in [c for c in running if c.poll() is not None]:
        task, began = running.pop(child)
        task.done(time.monotonic() - began)
        if child.returncode != 0:
          failures.append((task, child.returncode))
          left_out += _drop(waiting, task, child.returncode)
      if running:
        time.sleep(_POLL_SECONDS)
  if failures:
    raise _failure(failures, left_out)


def _drop(waiting, failed, code):
  """Takes the tasks off the list that are not to run now; returns them."""
  lost, dropped = {failed.key}, []
  found = [True]
  while found:  # Until no other needs one of them.
    found = [
      task
      for task in waiting
      if code not in _OF_ITS_OWN or not lost.isdisjoint(task.needs)
    ]
    for task in found:
      waiting.remove(task)
    lost.update(task.key for task in found)
    dropped += found
  return dropped


def _failure(failures, left_out):
  """The ChildFailed that tells of the worst failure, and of what else."""
  # A full disk or a signal is worse news than bad data.
  failures = sorted(failures, key=lambda failure: failure[1] in _OF_ITS_OWN)
  (task, code), *others = failures
  code = code if code > 0 else 128 - code
  where = f' (see {task.log})' if task.log else ''
  told = ''
  if others:
    told += f', and so did {_titles([t for t, _ in others])}'
  if left_out:
    told += f'; not run: {_titles(left_out)}'
  return ChildFailed(
    f'{task.title} ended with exit code {code}{where}{told}; mend what it says '
    'and give the same command again: what is finished will not be repeated.',
    code,
  )


def _titles(tasks):
  """Some titles, and how many more there are."""
  shown = ', '.join(task.title for task in tasks[:5])
  return shown + (f' and {len(tasks) - 5} more' if len(tasks) > 5 else '')


def _start_some(waiting, running, at_once):
  """Starts what is ready, in order."""
  for task in list(waiting):
    if len(running) >= at_once:
      return
    ahead = {t.key for t in waiting} | {t.key for t, _ in running.values()}
    if ahead.isdisjoint(task.needs):
      waiting.remove(task)
      running[_start(task)] = task, time.monotonic()


def _start(task):
  to = f' > {task.log}' if task.log else ''
  print(f'{task.title}\n$ {shlex.join(task.command)}{to}', flush=True)
  environment = parents.environment()
  if task.log is None:
    return subprocess.Popen(task.command, env=environment)
  os.makedirs(os.path.dirname(task.log) or '.', exist_ok=True)
  with open(task.log, 'a', encoding='utf-8') as log:
    return subprocess.Popen(
      task.command, stdout=log, stderr=log, env=environment
    )


@contextlib.contextmanager
def _signals_for(running):
  """Hands SIGTERM on to all that run while inside.

  Yields the list of the signals that came. SIGINT reaches the children from
  the terminal by itself.
  """
  caught = []

  def hand_on(number, frame):
    del frame
    caught.append(signal.Signals(number))
    if number == signal.SIGTERM:
      for child in list(running):
        child.send_signal(number)

  previous = {
    number: signal.signal(number, hand_on)
    for number in (signal.SIGTERM, signal.SIGINT)
  }
  try:
    yield caught
  finally:
    for number, handler in previous.items():
      signal.signal(number, handler)
