"""Any folders of images and masks, with class names and colours: own data."""

import dataclasses
import functools
import os

from deeplab_contrast.datasets import info as info_lib
from deeplab_contrast.datasets.folder_segmentation import (
  folder_segmentation_dataset_builder as dataset_builder,
)
from deeplab_contrast.datasets.folder_segmentation.description import (
  Description,
  load,
)
from deeplab_contrast.datasets.raw import raw_builder
from deeplab_contrast.utils import errors

# Beside images and masks, when no other is given.
FILE = 'dataset.json'

__all__ = ['Description', 'Folder', 'load']


@dataclasses.dataclass(frozen=True)
class Folder(info_lib.Dataset):
  """Images and masks of one's own: see docs/own_data.md.

  Attributes:
    root: the folder that holds the folders of images and masks, or the one
      that holds it under the dataset's name; seen from the current directory
      if relative; None for `<data_dir>/downloads/manual`.
    description: a JSON file, seen from the current directory or else from the
      repository, or a Description; None for dataset.json in `root`.

  Raises (`info` and `builder` too):
    ConfigError: the description is missing or wrong.
  """

  root: str | None = None
  description: str | Description | None = None

  @functools.cached_property
  def about(self):
    """The Description."""
    if isinstance(self.description, Description):
      return self.description
    if self.description is None and self.root is None:
      raise errors.ConfigError(
        'Folder.description is not given: name the JSON file that describes '
        'the dataset, see docs/own_data.md.'
      )
    return load(
      self.description or os.path.join(os.path.expanduser(self.root), FILE)
    )

  @property
  def info(self):
    """What the labels mean."""
    return self.about.info

  def builder(self, data_dir):
    """See base class. Raises DataError if there are no such folders."""
    return raw_builder.make_builder(
      dataset_builder.Builder,
      dataset_builder.make_layout(self.about),
      self.root,
      data_dir,
      name=self.about.name,
    )
