"""A TFDS builder that can be killed and repeated without harm."""

import os
import shutil
from typing import Any

import tensorflow_datasets as tfds

from deeplab_contrast.utils import locking


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
    folder = os.fspath(self.data_path.parent)
    message = f'Another process prepares {folder}; waiting for it.'
    with locking.waiting_lock(folder, message) as is_ours:
      if is_ours:
        _sweep(folder)
      super().download_and_prepare(**kwargs)


def _sweep(folder):
  for name in os.listdir(folder):
    if name.startswith('incomplete.'):
      shutil.rmtree(os.path.join(folder, name), ignore_errors=True)
