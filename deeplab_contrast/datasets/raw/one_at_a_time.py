"""A TFDS builder that can safely be killed and run again."""

import os
import shutil
from typing import Any

import tensorflow_datasets as tfds

from deeplab_contrast.utils import locking


# The argument belongs to a base class without types.
class Builder(  # type: ignore[call-arg]
  tfds.core.GeneratorBasedBuilder, skip_registration=True
):
  """Lets only one process at a time prepare a folder.

  A second process waits for the first and then uses its folder. Leftovers of
  killed processes are deleted. (TFDS writes to `incomplete.*` and renames that
  at the end, so leftovers are never mistaken for data.)
  """

  def download_and_prepare(self, **kwargs: Any) -> None:
    """See base class."""
    folder = os.fspath(self.data_path.parent)
    message = f'Another process is preparing {folder}; waiting for it.'
    with locking.waiting_lock(folder, message) as is_ours:
      if is_ours:
        _sweep(folder)
      super().download_and_prepare(**kwargs)


def _sweep(folder):
  for name in os.listdir(folder):
    if name.startswith('incomplete.'):
      shutil.rmtree(os.path.join(folder, name), ignore_errors=True)
