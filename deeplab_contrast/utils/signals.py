"""Stopping on SIGTERM and SIGINT, at a moment when the state can be saved."""

import contextlib
import os
import signal

from deeplab_contrast.utils import errors


class StopRequest:
  """Remembers that a signal asked to stop; `poll` where it is safe to.

  Args:
    agree: makes of the number of the signal that came here, or 0, the one to
      obey: several processes stop together, whichever of them was told. They
      must then ask (`came`, `poll`) equally often.
  """

  def __init__(self, agree=None):
    self.signal = None
    self._agree = agree

  def came(self):
    """Whether a signal came."""
    if self._agree is None:
      return self.signal is not None
    agreed = self._agree(self.signal or 0)
    if agreed:  # Else one that came meanwhile, which the others do not know.
      self.signal = agreed
    return bool(agreed)

  def poll(self):
    """Raises Preempted if a signal came."""
    if self.came():
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
def stop_request(agree=None):
  """Catches SIGTERM and SIGINT while inside; yields the `StopRequest`.

  The handler only sets a flag: saving inside a handler would meet a half-done
  step.

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
