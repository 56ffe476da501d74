"""A TFDS builder that can be killed and repeated without harm."""

import contextlib
import fcntl
import os
import shutil
import sys
from typing import Any

import tensorflow_datasets as tfds
from absl import logging


# The argument is that of a base class without types.
class Builder(  # type: ignore[call-arg]
  tfds.core.GeneratorBasedBuilder, skip_registration=True
):
  """Lets only one process at a time prepare a folder.

  A second process that wants the same folder waits and then uses it. What a
  killed process has left is deleted. (TFDS writes into `incomplete.*` and
  renames that at the end, so remains are never mistaken for data.)
  """

  def download_and_prepare(self, **kwargs: Any) -> None:
    """See base class."""
    with _lock(os.fspath(self.data_path.parent)) as is_ours:
      if is_ours:
        _sweep(os.fspath(self.data_path.parent))
      super().download_and_prepare(**kwargs)


@contextlib.contextmanager
def _lock(folder):
  """Holds a folder; yields False where the file system has no locks."""
  if '://' in folder:
    yield False
    return
  os.makedirs(folder, exist_ok=True)
  with open(os.path.join(folder, '.lock'), 'a', encoding='utf-8') as file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      print(
        f'Another process is preparing {folder}; waiting for it.',
        file=sys.stderr,
      )
      fcntl.flock(file, fcntl.LOCK_EX)
    except OSError:
      logging.warning('The file system of %s has no locks.', folder)
      yield False
      return
    yield True


def _sweep(folder):
  for name in os.listdir(folder):
    if name.startswith('incomplete.'):
      shutil.rmtree(os.path.join(folder, name), ignore_errors=True)
