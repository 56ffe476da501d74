"""Locks on folders: one process at a time.

The lock is the kernel's (flock): it ends with the process in any case, so no
stale lock has to be removed.
"""

import contextlib
import errno
import fcntl
import json
import math
import os
import socket
import sys
import time
from collections.abc import Iterator
from typing import TextIO

from absl import logging

from deeplab_contrast.utils import errors

FILE = '.lock'

_patience = 0.0  # Seconds to wait for a lock that another process holds.

_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)
_NAP = 0.1  # Seconds between two attempts.


def wait_for_others(seconds: float = 60.0) -> None:
  """Makes `model_dir_lock` wait before it gives up.

  For a stage whose recipe was killed and started again: the earlier process of
  the stage may still be saving its work.

  Args:
    seconds: how long at most.
  """
  global _patience
  _patience = seconds


@contextlib.contextmanager
def model_dir_lock(model_dir: str) -> Iterator[None]:
  """Locks a folder for this process while inside; makes the folder.

  The file only says who holds the lock.

  Args:
    model_dir: the folder; may not exist yet.

  Raises:
    BusyError: another process holds it; names its pid and host.
    SystemFault: the folder cannot be made or written.
  """
  try:
    file = _open(model_dir)
  except OSError as error:
    raise errors.SystemFault(
      f'Cannot write to model_dir {model_dir} ({error.strerror}); give'
      ' another --model_dir.'
    ) from error
  with file:
    try:
      _acquire(file, model_dir, _patience)
    except BlockingIOError as error:
      raise errors.BusyError(
        f'{_owner(file)} is using model_dir {model_dir}; wait for it, stop it, '
        'or give another --model_dir.'
      ) from error
    _write_owner(file)
    try:
      yield
    finally:
      file.truncate(0)


@contextlib.contextmanager
def waiting_lock(folder: str, message: str = '') -> Iterator[bool]:
  """Locks a folder while inside, after any other process is done with it.

  Args:
    folder: it is made.
    message: printed to stderr when another process holds the lock.

  Yields:
    Whether it is locked: False for a remote folder, and on a file system
    without locks.
  """
  if '://' in folder:
    yield False
    return
  with _open(folder) as file:
    yield _acquire(file, folder, math.inf, message)


def _open(folder: str) -> TextIO:
  os.makedirs(folder, exist_ok=True)
  return open(os.path.join(folder, FILE), 'a+', encoding='utf-8')


def _acquire(
  file: TextIO, folder: str, seconds: float, message: str = ''
) -> bool:
  """Returns False without locks; raises BlockingIOError after `seconds`."""
  until = time.monotonic() + seconds
  while True:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
      return True
    except BlockingIOError:
      if time.monotonic() >= until:
        raise
    except OSError as error:
      if error.errno not in _NO_LOCKS:
        raise
      logging.warning(
        'The file system of %s has no locks: make sure that no other process'
        ' works there.',
        folder,
      )
      return False
    if message:
      print(message, file=sys.stderr, flush=True)
      message = ''
    time.sleep(_NAP)


def _write_owner(file: TextIO) -> None:
  file.truncate(0)
  json.dump({'pid': os.getpid(), 'host': socket.gethostname()}, file)
  file.flush()


def _owner(file: TextIO, attempts: int = 20) -> str:
  """Reads who holds the lock; the holder may be about to write it."""
  for _ in range(attempts):
    file.seek(0)
    try:
      owner = json.load(file)
    except ValueError:
      time.sleep(0.05)
    else:
      return f'Process {owner["pid"]} on {owner["host"]}'
  return 'Another process'
