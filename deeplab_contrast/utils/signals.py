"""Stopping on SIGTERM and SIGINT, at a moment when the state can be saved."""

import contextlib
import os
import signal

from deeplab_contrast.utils import errors


class StopRequest:
  """Remembers that a signal asked to stop; `poll` where it is safe to."""

  def __init__(self):
    self.signal = None

  def poll(self):
    """Raises Preempted if a signal came."""
    if self.signal is not None:
      name = signal.Signals(self.signal).name
      raise errors.Preempted(
        f'Stopped by {name}; start the same command again to go on.'
      )


def end_at_once():
  """Makes SIGTERM and SIGINT end this process with a sentence and code 143.

  For the time before there is anything to save, and for commands that leave
  nothing half done: their files appear whole or not at all.
  """
  owner = os.getpid()

  def end(number, frame):
    del frame
    if os.getpid() != owner:  # A worker, forked later.
      os._exit(errors.Preempted.exit_code)
    name = signal.Signals(number).name
    text = f'error: Stopped by {name}; start the same command again.\n'
    os.write(2, text.encode())
    # Without clean-up: it could wait for threads that wait for this one.
    os._exit(errors.Preempted.exit_code)

  for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, end)


@contextlib.contextmanager
def stop_request():
  """Catches SIGTERM and SIGINT while inside; yields the `StopRequest`.

  The handler only sets a flag: saving inside a handler would meet a half-done
  step.
  """
  request = StopRequest()

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
