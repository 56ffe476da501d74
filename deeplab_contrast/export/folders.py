"""Folders that appear whole or not at all."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator

from deeplab_contrast.utils import errors


def check_free(path: str, mark: str, overwrite: bool = False) -> None:
  """Refuses a path where files would be lost.

  Args:
    path: the folder to make.
    mark: name of a file that every such folder contains; only a folder with it
      may be replaced.
    overwrite: whether to replace an existing folder.

  Raises:
    ConfigError: something exists there, and may not be replaced.
  """
  if not os.path.lexists(path) or (os.path.isdir(path) and not _listed(path)):
    return
  if not overwrite:
    raise errors.ConfigError(
      f'{path} exists; give another --out, or --overwrite to replace it.'
    )
  if os.path.islink(path) or not os.path.isfile(os.path.join(path, mark)):
    raise errors.ConfigError(
      f'{path} is not an export (it has no {mark}), so it is not replaced; '
      'give another --out.'
    )


@contextlib.contextmanager
def in_one_piece(
  path: str, mark: str, overwrite: bool = False
) -> Iterator[str]:
  """Yields a temporary folder, which becomes `path` in the end.

  If anything is raised inside, nothing is left and `path` is as it was.

  Args:
    path: the folder to make; parent folders are made too.
    mark: see `check_free`.
    overwrite: see `check_free`.

  Raises:
    ConfigError: see `check_free`.
    SystemFault: it cannot be written.
  """
  path = os.path.abspath(path)
  check_free(path, mark, overwrite)
  temporary = None
  try:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    temporary = tempfile.mkdtemp(
      prefix=f'.{os.path.basename(path)}.',
      suffix='.tmp',
      dir=os.path.dirname(path),
    )
    yield temporary
    os.chmod(
      temporary, 0o777 & ~_umask()
    )  # mkdtemp gives access to the owner only.
    _move(temporary, path)
  except OSError as error:
    raise errors.SystemFault(
      f'Cannot write {path} ({error.strerror or error}); make room or give '
      'another --out.'
    ) from error
  finally:
    if temporary is not None:
      shutil.rmtree(temporary, ignore_errors=True)


def _move(temporary, path):
  """Replaces the old folder by the new one, and deletes the old one."""
  if not os.path.isdir(path):
    os.rename(temporary, path)
    return
  aside = f'{temporary}.old'
  os.rename(path, aside)
  os.rename(temporary, path)
  shutil.rmtree(aside, ignore_errors=True)


def _listed(path):
  try:
    return os.listdir(path)
  except OSError as error:
    raise errors.SystemFault(
      f'Cannot read {path} ({error.strerror}).'
    ) from error


def _umask():
  current = os.umask(0)
  os.umask(current)
  return current
