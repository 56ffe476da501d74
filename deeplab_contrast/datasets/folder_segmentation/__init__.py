"""Any folders of images and masks, with class names and colours: own data."""

import dataclasses
import functools
import os

import tensorflow_datasets as tfds

from deeplab_contrast.datasets import info as info_lib
from deeplab_contrast.datasets.annotations import recognition
from deeplab_contrast.datasets.folder_segmentation import (
  folder_segmentation_dataset_builder as dataset_builder,
)
from deeplab_contrast.datasets.folder_segmentation import resolving
from deeplab_contrast.datasets.folder_segmentation.description import (
  Description,
)
from deeplab_contrast.datasets.folder_segmentation.description_file import load
from deeplab_contrast.datasets.raw import raw_builder
from deeplab_contrast.utils import errors

# Next to images and masks, if no other file is given.
FILE = 'dataset.json'

__all__ = ['Description', 'Folder', 'load']


@dataclasses.dataclass(frozen=True)
class Folder(info_lib.Dataset):
  """Your own images and masks: see docs/own_data.md.

  Attributes:
    root: the folder with the folders of images and masks, or its parent if it
      has the dataset's name; relative to the current directory; None for
      `<data_dir>/downloads/manual`.
    description: a JSON file, relative to the current directory or else to the
      repository, or a Description; None for dataset.json in `root`. What it
      does not state, or all without one, is recognised.

  Raises (`info` and `builder` too):
    ConfigError: the description is missing or wrong.
  """

  root: str | None = None
  description: str | Description | None = None

  @functools.cached_property
  def about(self) -> Description:
    """The description as read, completed by what lies in `root`."""
    return self._resolved[0]

  @property
  def recognised(self) -> recognition.Recognised | None:
    """What was found in `root`; None if the description says it all."""
    return self._resolved[1]

  @functools.cached_property
  def _resolved(self):
    if isinstance(self.description, Description):
      return self.description, None
    if self.description:
      return resolving.resolve(self.root, self.description)
    if self.root is None:
      raise errors.ConfigError(
        'Folder.description is not given: bind it to the JSON file that '
        'describes the dataset, see docs/own_data.md.'
      )
    root = os.path.expanduser(self.root)
    return resolving.resolve(root, os.path.join(root, FILE))

  @property
  def info(self) -> info_lib.DatasetInfo:
    """What the labels mean."""
    return self.about.info

  def builder(self, data_dir: str | None) -> tfds.core.DatasetBuilder:
    """See base class. Raises DataError if these folders do not exist."""
    return raw_builder.make_builder(
      dataset_builder.Builder,
      dataset_builder.make_layout(self.about),
      self.root,
      data_dir,
      name=self.about.name,
    )
