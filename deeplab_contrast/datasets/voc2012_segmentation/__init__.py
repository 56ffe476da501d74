"""PASCAL VOC 2012 segmentation: 20 kinds of objects and the background."""

import dataclasses

from deeplab_contrast.datasets import info
from deeplab_contrast.datasets.raw import raw_builder
from deeplab_contrast.datasets.voc2012_segmentation import (
  sbd,
)
from deeplab_contrast.datasets.voc2012_segmentation import (
  voc2012_segmentation_dataset_builder as dataset_builder,
)
from deeplab_contrast.imaging import images

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
  trainval, val, test, those of them that are there. Masks are palette PNGs
  from SegmentationClass, or from SegmentationClassAug where that lacks the
  image. The images of test have no labels: all of theirs are IGNORE_LABEL.

  With SBD, train_aug is VOC's train and all images of SBD's train and val that
  are not in VOC's val: 10,582. VOC's own masks go before those of SBD, which
  have no void along the outlines. (Hariharan et al., ICCV 2011.)

  Attributes:
    root: the folder VOC2012, VOCdevkit, or the one that holds VOCdevkit; seen
      from the current directory if relative; None for VOCdevkit in TFDS'
      `<data_dir>/downloads/manual`.
    sbd: the folder of SBD: benchmark_RELEASE/dataset, with cls, img, train.txt
      and val.txt, or the one that holds benchmark_RELEASE; None to take
      train_aug.txt as it is.
  """

  root: str | None = None
  sbd: str | None = None

  info = _INFO  # Not annotated, so not a field.

  def builder(self, data_dir):
    """See base class. Raises DataError if there are no such folders."""
    layout = dataset_builder.LAYOUT
    if self.sbd is not None:
      layout = dataclasses.replace(layout, collect=self._collect)
    return raw_builder.make_builder(
      dataset_builder.Builder, layout, self.root, data_dir
    )

  def _collect(self, folder):
    return dataset_builder.collect(folder, sbd.find(self.sbd))
