"""A TFDS builder that leaves nothing half done, whoever kills or repeats it."""

import os
import shutil

import tensorflow_datasets as tfds

from deeplab_contrast.utils import locking


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
  """Prepares one folder in one process at a time.

  A second process that wants the same folder waits and then uses it. What a
  killed process has left is swept away. (TFDS writes into `incomplete.*` and
  renames that at the end, so nobody mistakes the rest for data.)
  """

  def download_and_prepare(self, **kwargs):
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
