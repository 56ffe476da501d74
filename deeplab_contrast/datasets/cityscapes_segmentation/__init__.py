"""Cityscapes, fine annotations: the 19 evaluated classes of street scenes."""

import dataclasses

import tensorflow_datasets as tfds

from deeplab_contrast.datasets import info
from deeplab_contrast.datasets.cityscapes_segmentation import (
  cityscapes_segmentation_dataset_builder as dataset_builder,
)
from deeplab_contrast.datasets.raw import raw_builder

_INFO = info.DatasetInfo(
  name='cityscapes',
  class_names=tuple(dataset_builder.CLASSES),
  colors=tuple(dataset_builder.CLASSES.values()),
  categories=dataset_builder.CATEGORIES,
)


@dataclasses.dataclass(frozen=True)
class Cityscapes(info.Dataset):
  """Cityscapes, read from leftImg8bit and gtFine; splits train, val and test.

  Masks are *_gtFine_labelIds.png or, if there are none,
  *_gtFine_labelTrainIds.png. The images of test, whose labels are not
  published, are all IGNORE_LABEL.

  Attributes:
    root: the folder with leftImg8bit and gtFine, or its parent if it is named
      cityscapes; relative to the current directory; None for
      `<data_dir>/downloads/manual/cityscapes`.
  """

  root: str | None = None

  info = _INFO  # Not annotated, so not a field.

  def builder(self, data_dir: str | None) -> tfds.core.DatasetBuilder:
    """See base class. Raises DataError if these folders do not exist."""
    return raw_builder.make_builder(
      dataset_builder.Builder, dataset_builder.LAYOUT, self.root, data_dir
    )
