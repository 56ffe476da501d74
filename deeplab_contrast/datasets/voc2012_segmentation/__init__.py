"""PASCAL VOC 2012 segmentation: 20 kinds of objects and the background."""

import dataclasses

from deeplab_contrast.datasets import info, raw_builder
from deeplab_contrast.datasets.voc2012_segmentation import (
  voc2012_segmentation_dataset_builder as dataset_builder,
)
from deeplab_contrast.utils import images

_CLASS_NAMES = (
  'background aeroplane bicycle bird boat bottle bus car cat chair cow '
  'diningtable dog horse motorbike person pottedplant sheep sofa train '
  'tvmonitor'
)

_INFO = info.DatasetInfo(
  name='voc2012',
  class_names=tuple(_CLASS_NAMES.split()),
  colors=images.voc_colormap(dataset_builder.NUM_CLASSES),
)


@dataclasses.dataclass(frozen=True)
class Voc2012(info.Dataset):
  """PASCAL VOC 2012, read from the folders of the development kit.

  The splits are the lists in ImageSets/Segmentation: train, train_aug,
  trainval, val, those of them that are there. Masks are palette PNGs from
  SegmentationClassAug, or from SegmentationClass where that lacks the image.

  Attributes:
    root: the folder VOC2012, VOCdevkit, or the one that holds VOCdevkit; seen
      from the current directory if relative; None for VOCdevkit in TFDS'
      `<data_dir>/downloads/manual`.
  """

  root: str | None = None

  info = _INFO  # Not annotated, so not a field.

  def builder(self, data_dir):
    """See base class. Raises DataError if there are no such folders."""
    return raw_builder.make_builder(
      dataset_builder.Builder, dataset_builder.LAYOUT, self.root, data_dir
    )
