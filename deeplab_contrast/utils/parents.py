"""A command that another one has started ends with it, however that ends.

A recipe may be killed by a signal that it cannot hand on. Its stage would then
train on, and keep a recipe that is started again from doing so.
"""

import ctypes
import os
import signal

_PARENT = 'DEEPLAB_CONTRAST_PARENT'
_PR_SET_PDEATHSIG = 1  # Of Linux; prctl(2).


def environment():
  """The environment of a command that is to end with this process."""
  return {**os.environ, _PARENT: str(os.getpid())}


def follow():
  """Asks for SIGTERM when the parent ends; nothing where there is none.

  Returns:
    Whether there is one.
  """
  # Not for the children of this process: their parent is another one.
  parent = os.environ.pop(_PARENT, None)
  if parent is None:
    return False
  try:
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
  except (OSError, AttributeError):
    return True  # Not Linux: it will not be told.
  if parent != str(os.getppid()):  # It ended before we asked.
    os.kill(os.getpid(), signal.SIGTERM)
  return True
