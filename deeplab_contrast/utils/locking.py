"""One training process to a model_dir."""

import contextlib
import errno
import fcntl
import json
import os
import socket
import time

from absl import logging

from deeplab_contrast.utils import errors

FILE = '.lock'

_patience = 0.0  # Seconds to wait for a lock that another process holds.

_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)


def wait_for_others(seconds=60.0):
  """Lets this process wait for locks before it gives up.

  For a stage whose recipe was killed and started again: the stage of before is
  saving its work.

  Args:
    seconds: how long at most.
  """
  global _patience
  _patience = seconds


@contextlib.contextmanager
def model_dir_lock(model_dir: str):
  """Holds a folder for this process while inside; makes the folder.

  The lock is the kernel's (flock): it ends with the process, however that
  ends, so there is no stale lock to remove. The file only tells who holds it.

  Args:
    model_dir: the folder; may not exist yet.

  Raises:
    BusyError: another process holds it; names its pid and host.
    SystemFault: the folder cannot be made or written.
  """
  with _open(model_dir) as file:
    _acquire(file, model_dir)
    _tell_owner(file)
    try:
      yield
    finally:
      file.truncate(0)


def _open(model_dir):
  try:
    os.makedirs(model_dir, exist_ok=True)
    return open(os.path.join(model_dir, FILE), 'a+', encoding='utf-8')
  except OSError as error:
    raise errors.SystemFault(
      f'Cannot write into model_dir {model_dir} ({error.strerror}); give'
      ' another --model_dir.'
    ) from error


def _acquire(file, model_dir):
  until = time.monotonic() + _patience
  try:
    while not _is_ours(file):
      if time.monotonic() < until:
        time.sleep(0.1)
        continue
      raise errors.BusyError(
        f'{_owner(file)} works in model_dir {model_dir}; wait for it, stop it, '
        'or give another --model_dir.'
      )
  except OSError as error:
    if error.errno not in _NO_LOCKS:
      raise
    logging.warning(
      'The file system of %s has no locks: make sure that no other process'
      ' trains there.',
      model_dir,
    )


def _is_ours(file):
  try:
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except BlockingIOError:
    return False
  return True


def _tell_owner(file):
  file.truncate(0)
  json.dump({'pid': os.getpid(), 'host': socket.gethostname()}, file)
  file.flush()


def _owner(file, attempts=20):
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
