"""Cityscapes, fine annotations: the 19 evaluated classes of street scenes."""

import dataclasses

from deeplab_contrast.datasets import info, raw_builder
from deeplab_contrast.datasets.cityscapes_segmentation import (
  cityscapes_segmentation_dataset_builder as dataset_builder,
)

# In the order of the train ids. (cityscapesScripts: helpers/labels.py.)
_CLASSES = {
  'road': (128, 64, 128),
  'sidewalk': (244, 35, 232),
  'building': (70, 70, 70),
  'wall': (102, 102, 156),
  'fence': (190, 153, 153),
  'pole': (153, 153, 153),
  'traffic light': (250, 170, 30),
  'traffic sign': (220, 220, 0),
  'vegetation': (107, 142, 35),
  'terrain': (152, 251, 152),
  'sky': (70, 130, 180),
  'person': (220, 20, 60),
  'rider': (255, 0, 0),
  'car': (0, 0, 142),
  'truck': (0, 0, 70),
  'bus': (0, 60, 100),
  'train': (0, 80, 100),
  'motorcycle': (0, 0, 230),
  'bicycle': (119, 11, 32),
}

_INFO = info.DatasetInfo(
  name='cityscapes',
  class_names=tuple(_CLASSES),
  colors=tuple(_CLASSES.values()),
)


@dataclasses.dataclass(frozen=True)
class Cityscapes(info.Dataset):
  """Cityscapes, read from leftImg8bit and gtFine; splits train and val.

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
