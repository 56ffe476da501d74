"""Stopping on SIGTERM and SIGINT, when the state can be saved."""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator

from deeplab_contrast.utils import errors, heartbeat


class StopRequest:
  """Remembers a signal to stop; call `poll` where it is safe to stop.

  Args:
    agree: maps the number of the signal that came here, or 0, to the one to
      obey, so that several processes stop together, whichever of them got it.
      All must then call `came` and `poll` equally often.
  """

  def __init__(self, agree: Callable[[int], int] | None = None):
    self.signal = 0  # Its number; 0 if none came.
    self._agree = agree

  def came(self) -> bool:
    """Whether a signal came."""
    if self._agree is None:
      return bool(self.signal)
    agreed = self._agree(self.signal)
    if agreed:  # Keeps one that came meanwhile, which the others do not know.
      self.signal = agreed
    return bool(agreed)

  def poll(self) -> None:
    """Raises Preempted if a signal came; otherwise that is progress."""
    if self.came():
      name = signal.Signals(self.signal).name
      raise errors.Preempted(
        f'Stopped by {name}; run the same command again to resume.'
      )
    heartbeat.beat('reading and predicting images', heartbeat.READER)


def end_at_once() -> None:
  """Makes SIGTERM and SIGINT end this process with a message and code 143.

  Used before there is anything to save, and by commands whose files appear
  whole or not at all.
  """
  owner = os.getpid()

  def end(number, frame):
    del frame
    if os.getpid() != owner:  # A worker, forked later.
      os._exit(errors.Preempted.exit_code)
    name = signal.Signals(number).name
    text = f'error: Stopped by {name}; run the same command again.\n'
    os.write(2, text.encode())
    # Without cleaning up, which could wait for threads that wait for this one.
    os._exit(errors.Preempted.exit_code)

  for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, end)


@contextlib.contextmanager
def stop_request(
  agree: Callable[[int], int] | None = None,
) -> Iterator[StopRequest]:
  """Catches SIGTERM and SIGINT while inside; yields the `StopRequest`.

  The handler only sets a flag: inside a handler a step may be half done.

  Args:
    agree: see `StopRequest`.
  """
  request = StopRequest(agree)

  def handle(number, frame):
    del frame
    request.signal = number

  previous = {
    number: signal.signal(number, handle)
    for number in (signal.SIGTERM, signal.SIGINT)
  }
  try:
    yield request
  finally:
    for number, handler in previous.items():
      signal.signal(number, handler)
