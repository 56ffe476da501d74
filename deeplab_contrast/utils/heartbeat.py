"""Ends a command that has made no progress for a long time, and says where.

A read from a network folder, a device or another process may never answer. The
main thread then waits inside TensorFlow, where no exception and no signal
handler reaches it, so a second thread watches, and ends the process.
"""

import faulthandler
import os
import sys
import threading

from deeplab_contrast.utils import errors

MINUTES = 30.0

# Causes, as the end of a sentence.
READER = 'a reader hangs, mostly on a disk or a network folder'
DEVICE = 'a device or its driver hangs'
OTHERS = 'another process of the cluster hangs; its own output has the reason'
DISK = 'the disk of model_dir does not answer'

_LONGEST_TICK = 10.0  # Seconds.


class _Watch(threading.Thread):
  """Ends the process once `beat` was not called for some time."""

  def __init__(self, seconds: float, traces: bool):
    super().__init__(daemon=True)
    self._seconds = seconds
    self._traces = traces
    self._idle = 0.0
    self._doing = self._cause = ''
    self._stopped = threading.Event()

  def beat(self, doing: str, cause: str) -> None:
    self._doing, self._cause, self._idle = doing, cause, 0.0
    if not self.ident:
      self.start()

  def stop(self) -> None:
    self._stopped.set()

  def run(self) -> None:
    tick = min(_LONGEST_TICK, self._seconds / 20)
    # Ticks are counted, not the clock: a process that was stopped for an hour
    # (SIGSTOP) has not been idle.
    while not self._stopped.wait(tick):
      self._idle += tick
      if self._idle > self._seconds:
        self._end()

  def _end(self):
    text = (
      f'error: No progress for {self._seconds / 60:.3g} minutes while '
      f'{self._doing}: {self._cause}. Run the same command again, which '
      'resumes from what is saved; if it is only slow, give a larger '
      '--stuck_minutes (0: no limit).\n'
    )
    if self._traces:
      faulthandler.dump_traceback(all_threads=True)
    # Without Python's buffers, which a stuck thread may have locked.
    os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, text.encode())
    os._exit(errors.Stuck.exit_code)


_watch: _Watch | None = None


def limit(minutes: float, traces: bool = False) -> None:
  """Sets how long this process may go without a `beat`, from the first on.

  Without this, as in Python programs that use the package, nothing is watched.

  Args:
    minutes: the limit; 0 for none.
    traces: whether to write also where each thread is.
  """
  global _watch
  stop()
  if minutes:
    _watch = _Watch(60 * minutes, traces)


def beat(doing: str, cause: str) -> None:
  """Notes that there was progress.

  Args:
    doing: what comes next, as in 'while waiting for a batch'.
    cause: what is wrong if that never ends, such as `READER`.
  """
  if _watch is not None:
    _watch.beat(doing, cause)


def stop() -> None:
  """Ends the watch."""
  global _watch
  if _watch is not None:
    _watch.stop()
  _watch = None
