"""Ends a command when the command that started it ends, for any reason.

A recipe may be killed by a signal that it cannot pass on. Its stage would then
keep training, and block a recipe that is started again.
"""

import ctypes
import os
import signal

_PARENT = 'DEEPLAB_CONTRAST_PARENT'
_PR_SET_PDEATHSIG = 1  # Of Linux; prctl(2).


def environment() -> dict[str, str]:
  """The environment of a command that must end with this process."""
  return {**os.environ, _PARENT: str(os.getpid())}


def follow() -> bool:
  """Asks for SIGTERM when the parent ends, if a parent was named.

  Returns:
    Whether one was.
  """
  # Children of this process do not inherit it: their parent is another one.
  parent = os.environ.pop(_PARENT, None)
  if parent is None:
    return False
  try:
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
  except (OSError, AttributeError):
    return True  # Not Linux, which alone has this signal.
  if parent != str(os.getppid()):  # It ended before we asked.
    os.kill(os.getpid(), signal.SIGTERM)
  return True
