"""PASCAL VOC 2012 segmentation: 20 kinds of objects and the background."""

import dataclasses
import pathlib

import tensorflow_datasets as tfds

from deeplab_contrast.datasets import info
from deeplab_contrast.datasets.raw import raw_builder, raw_pairs
from deeplab_contrast.datasets.voc2012_segmentation import (
  sbd as sbd_lib,
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

  The splits are the lists that exist in ImageSets/Segmentation: train,
  train_aug, trainval, val, test. Masks are palette PNGs from SegmentationClass,
  or from SegmentationClassAug if that lacks the image. The images of test have
  no labels: all pixels are IGNORE_LABEL.

  With SBD, train_aug is VOC's train and all images of SBD's train and val that
  are not in VOC's val: 10,582. VOC's masks are preferred to those of SBD, which
  have no void along the outlines. (Hariharan et al., ICCV 2011.)

  Attributes:
    root: the folder VOC2012, VOCdevkit, or the parent of VOCdevkit; relative to
      the current directory; None for `<data_dir>/downloads/manual`.
    sbd: the folder of SBD: benchmark_RELEASE/dataset, with cls, img, train.txt
      and val.txt, or the parent of benchmark_RELEASE; None to use
      train_aug.txt.
  """

  root: str | None = None
  sbd: str | None = None

  info = _INFO  # Not annotated, so not a field.

  def builder(self, data_dir: str | None) -> tfds.core.DatasetBuilder:
    """See base class. Raises DataError if these folders do not exist."""
    layout = dataset_builder.LAYOUT
    if self.sbd is not None:
      layout = dataclasses.replace(layout, collect=self._collect)
    return raw_builder.make_builder(
      dataset_builder.Builder, layout, self.root, data_dir
    )

  def _collect(self, folder: pathlib.Path) -> raw_pairs.RawData:
    sbd_folder = None if self.sbd is None else sbd_lib.find(self.sbd)
    return dataset_builder.collect(folder, sbd_folder)
