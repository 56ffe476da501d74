"""Errors that a user can act on, each with an exit code.

Raise one with a single sentence that names the file or value and says what to
do. `launch` prints that sentence, without a traceback, and exits with the code.
"""

import contextlib
import errno
import sys
from collections.abc import Callable, Iterator

# Errors of a disk, its permissions and its folders.
_DISK = frozenset(
  (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EEXIST,
    errno.ENOENT,
    errno.EIO,
  )
)

# The same errors in the words of TensorFlow, which has no numbers for them.
_DISK_TEXTS = (
  'No space left on device',
  'Disk quota exceeded',
  'File too large',
  'Read-only file system',
  'Permission denied',
  'Not a directory',
  'Is a directory',
)


class UserError(Exception):
  """An error the user can fix; the base of the errors below."""

  exit_code = 1


class ConfigError(UserError):
  """The command line or the gin configuration is wrong."""

  exit_code = 2


class DataError(UserError):
  """A dataset, image, mask or list file is missing or wrong."""

  exit_code = 3


class NumericalError(UserError):
  """A loss or a weight stopped being finite."""

  exit_code = 4


class SystemFault(UserError):
  """Disk, permission, missing package: the machine, not the experiment."""

  exit_code = 5


class BusyError(UserError):
  """Another running process uses this model_dir."""

  exit_code = 6


class Preempted(UserError):
  """Stopped by SIGTERM or SIGINT; the state is saved, start again to resume."""

  exit_code = 143


class WorkerLost(UserError):
  """Another process of the cluster ended; start all again to resume."""

  exit_code = 143


class Stuck(UserError):
  """No progress for a long time; start again to resume. See `heartbeat`."""

  exit_code = 142


def user_error(error: BaseException) -> UserError | None:
  """The UserError to report for an exception; None for a bug.

  Args:
    error: any exception: a UserError stays as it is; an OSError of a disk, its
      form in TensorFlow, and a missing package become a SystemFault.
  """
  if isinstance(error, UserError):
    return error
  if isinstance(error, ModuleNotFoundError):
    package = (error.name or '').partition('.')[0]
    if package in ('', 'deeplab_contrast'):
      return None
    return SystemFault(
      f'The package {package} is missing: install this project with its '
      "requirements, pip install -e '.' in its folder."
    )
  if isinstance(error, BrokenPipeError):
    return SystemFault(
      'Nothing reads the output of this command any more (head, tee, a closed '
      'terminal): run it again with its output in a file; a training resumes '
      'from its last checkpoint.'
    )
  if isinstance(error, OSError) and error.errno in _DISK and error.filename:
    return SystemFault(
      f'Cannot use {error.filename} ({error.strerror}): make room, or fix the '
      'folder and its permissions.'
    )
  text = ' '.join(str(error).split())
  is_tensorflow = type(error).__module__.startswith('tensorflow')
  if is_tensorflow and any(known in text for known in _DISK_TEXTS):
    return SystemFault(
      f'A file cannot be written or read ({text[:200]}): make room, or fix '
      'the folder and its permissions.'
    )
  return None


@contextlib.contextmanager
def as_user_errors() -> Iterator[None]:
  """Raises what `user_error` makes of an exception in place of it."""
  try:
    yield
  except Exception as error:
    found = user_error(error)
    if found is None or found is error:
      raise
    raise found from error


def exit_code(run: Callable[[], object]) -> int:
  """Runs a command; a user error becomes one line on stderr.

  Returns:
    0, or the exit code of the `UserError`.
  """
  try:
    with as_user_errors():
      run()
  except UserError as error:
    print(f'error: {error}', file=sys.stderr)
    return error.exit_code
  return 0
