"""Commands run as child processes that share our terminal and our signals."""

import contextlib
import dataclasses
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence

from deeplab_contrast.utils import errors, heartbeat, parents

_POLL_SECONDS = 0.1

# Bad data or numbers of one task say nothing about another. A full disk, a
# signal or a crash does.
_ITS_OWN_FAULT = frozenset(
  (errors.DataError.exit_code, errors.NumericalError.exit_code)
)


class ChildFailed(errors.UserError):
  """A child process failed; it has reported why itself."""

  def __init__(self, message: str, exit_code: int):
    super().__init__(message)
    self.exit_code = exit_code


@dataclasses.dataclass(frozen=True)
class Flags:
  """Flags that a command of this package passes on to those it starts.

  Attributes:
    strategy: how to use several devices.
    data_dir: folder of prepared datasets; None is the default.
    allow_config_change: whether a run may hold a different configuration.
    allow_imports: packages that gin files may import.
    stuck_minutes: after how long without progress it ends; 0 for never.
  """

  strategy: str = 'one'
  data_dir: str | None = None
  allow_config_change: bool = False
  allow_imports: Sequence[str] = ()
  stuck_minutes: float = heartbeat.MINUTES

  def command(self, name: str, model_dir: str, *arguments: str) -> list[str]:
    """The command line of `deeplab_contrast.<name>` on a run."""
    command = [sys.executable, '-m', f'deeplab_contrast.{name}', *arguments]
    command.append(f'--model_dir={model_dir}')
    command.append(f'--strategy={self.strategy}')
    if self.data_dir is not None:
      command.append(f'--data_dir={self.data_dir}')
    if self.allow_config_change:
      command.append('--allow_config_change')
    if self.stuck_minutes != heartbeat.MINUTES:
      command.append(f'--stuck_minutes={self.stuck_minutes}')
    return [*command, *(f'--allow_import={p}' for p in self.allow_imports)]


@dataclasses.dataclass(frozen=True)
class Task:
  """A command to run.

  Attributes:
    key: identifies the task in `needs` of others.
    command: list of strings.
    title: its name in messages.
    needs: keys of tasks that must have succeeded before.
    log: file for its output; None is our terminal.
    done: called with the seconds it took, whether it succeeded or not.
  """

  key: str
  command: list[str]
  title: str
  needs: tuple[str, ...] = ()
  log: str | None = None
  done: Callable[[float], None] = lambda seconds: None


def run(command: list[str], title: str) -> None:
  """Runs a command to its end, printing it first.

  SIGTERM is passed on to the child, which may need a moment to save its work;
  a command of this package also gets it when this process is killed. (SIGINT
  reaches it from the terminal by itself.)

  Args:
    command: list of strings.
    title: its name in messages.

  Raises:
    ChildFailed: with the child's exit code; 128 + n if signal n ended it.
  """
  run_all([Task('', command, title)])


def run_all(tasks: Sequence[Task], at_once: int = 1) -> None:
  """Runs tasks, each when those that it needs are done, as `run` does.

  When one fails, those that are running finish. Others are started only if its
  exit code means bad data or numbers, and they don't need it.

  Args:
    tasks: what to run; needs that are not among them count as done.
    at_once: how many may run at a time.

  Raises:
    ChildFailed: for the first failure, bad data and numbers coming last.
    Preempted: a signal arrived when none was running.
  """
  waiting = list(tasks)
  running: dict[subprocess.Popen, tuple[Task, float]] = {}
  failures: list[tuple[Task, int]] = []
  left_out: list[Task] = []
  with _signals_for(running) as caught:
    while running or waiting:
      if caught and not running:
        raise errors.Preempted(
          f'Stopped by {caught[0].name}; run the same command again to resume.'
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


def _drop(waiting: list[Task], failed: Task, code: int) -> list[Task]:
  """Drops the waiting tasks that must not run any more; returns them."""
  lost = {failed.key}
  dropped: list[Task] = []
  while found := [
    task
    for task in waiting
    if code not in _ITS_OWN_FAULT or not lost.isdisjoint(task.needs)
  ]:  # Until no remaining task needs one of them.
    for task in found:
      waiting.remove(task)
    lost.update(task.key for task in found)
    dropped += found
  return dropped


def _failure(
  failures: list[tuple[Task, int]], left_out: list[Task]
) -> ChildFailed:
  """The ChildFailed that reports the worst failure, then the others."""
  # A full disk or a signal is worse than bad data.
  failures = sorted(failures, key=lambda failure: failure[1] in _ITS_OWN_FAULT)
  (task, code), *others = failures
  code = code if code > 0 else 128 - code
  where = f' (see {task.log})' if task.log else ''
  more = ''
  if others:
    more += f', and so did {_titles([t for t, _ in others])}'
  if left_out:
    more += f'; not run: {_titles(left_out)}'
  return ChildFailed(
    f'{task.title} ended with exit code {code}{where}{more}; fix what it '
    'reports and run the same command again; it skips finished stages.',
    code,
  )


def _titles(tasks: list[Task]) -> str:
  """Some titles, and how many more there are."""
  shown = ', '.join(task.title for task in tasks[:5])
  return shown + (f' and {len(tasks) - 5} more' if len(tasks) > 5 else '')


def _start_some(
  waiting: list[Task],
  running: dict[subprocess.Popen, tuple[Task, float]],
  at_once: int,
) -> None:
  """Starts the tasks that are ready, in order."""
  for task in list(waiting):
    if len(running) >= at_once:
      return
    ahead = {t.key for t in waiting} | {t.key for t, _ in running.values()}
    if ahead.isdisjoint(task.needs):
      waiting.remove(task)
      running[_start(task)] = task, time.monotonic()


def _start(task: Task) -> subprocess.Popen:
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
def _signals_for(
  running: dict[subprocess.Popen, tuple[Task, float]],
) -> Iterator[list[signal.Signals]]:
  """Passes SIGTERM on to all running children while inside.

  Yields the list of signals received so far. SIGINT reaches the children from
  the terminal by itself.
  """
  caught: list[signal.Signals] = []

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
