"""Cityscapes, fine annotations: the 19 evaluated classes of street scenes."""

import dataclasses

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

  Masks are *_gtFine_labelIds.png, or where there are none of these
  *_gtFine_labelTrainIds.png. The images of test, whose labels are not
  published, are all IGNORE_LABEL.

  Attributes:
    root: the folder that holds leftImg8bit and gtFine, or the one that holds
      it under the name cityscapes; seen from the current directory if
      relative; None for `<data_dir>/downloads/manual/cityscapes`.
  """

  root: str | None = None

  info = _INFO  # Not annotated, so not a field.

  def builder(self, data_dir):
    """See base class. Raises DataError if there are no such folders."""
    return raw_builder.make_builder(
      dataset_builder.Builder, dataset_builder.LAYOUT, self.root, data_dir
    )
