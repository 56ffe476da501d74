"""What the settings of a training depend on: sizes, classes, image counts."""

import dataclasses
import os
from collections.abc import Iterator, Mapping

import numpy as np

from deeplab_contrast.datasets import info as dataset_info
from deeplab_contrast.datasets import sources
from deeplab_contrast.datasets.preparation import statistics
from deeplab_contrast.datasets.sources import id_list, tfds_split
from deeplab_contrast.utils import checks, errors

# Those that experiments train on and are evaluated on.
TRAIN, VAL = 'train', 'val'
# Never trained on, not even without labels.
_TEST = 'test'


@dataclasses.dataclass(frozen=True)
class Facts:
  """What a prepared dataset is like.

  Attributes:
    name: of the dataset.
    classes: the names of the classes.
    labelled: the number of training images with a label.
    val: the number of validation images.
    unlabelled: {split without labels: the number of its images}, without test.
    size: (height, width), the medians of the training images.
    largest: (height, width), the largest sides of the validation images.
    shares: of each class among the labelled pixels of the training images.
    thickness: of each class in pixels, see `SplitCounts.thickness`; 0 for
      absent classes.
    absent_in_val: the names of the classes that the validation images lack.
  """

  name: str
  classes: tuple[str, ...]
  labelled: int
  val: int
  unlabelled: Mapping[str, int]
  size: tuple[int, int]
  largest: tuple[int, int]
  shares: tuple[float, ...]
  thickness: tuple[float, ...]
  absent_in_val: tuple[str, ...] = ()

  def warnings(self) -> Iterator[str]:
    """Yields sentences about classes that cannot be learnt or evaluated."""
    absent = [
      name
      for name, share in zip(self.classes, self.shares, strict=True)
      if not share
    ]
    if absent:
      yield (
        f'No image of {TRAIN} shows {id_list.some(absent, 5)}, so no network '
        'will predict it: label some, or leave it out of "classes" in '
        'dataset.json.'
      )
    rest = [name for name in self.absent_in_val if name not in absent]
    if rest:
      names = id_list.some(rest, 5)
      yield f'No image of {VAL} shows {names}, so it gets no IoU.'


def read(dataset: dataset_info.Dataset, data_dir: str | None) -> Facts:
  """Prepares a dataset if need be, and counts what is in it.

  Args:
    dataset: the dataset.
    data_dir: the folder of prepared datasets; None for TFDS' default.

  Raises:
    DataError: images or masks are wrong, the split train or val is missing or
      has no labels, or only one class occurs.
    SystemFault: not enough disk space to prepare them.
  """
  _check_splits(tfds_split.builder_of(dataset, data_dir), dataset.info.name)
  sources.TfdsSplit(dataset, TRAIN).open(data_dir)
  builder = tfds_split.builder_of(dataset, data_dir)
  counts = {
    split: statistics.count(dataset, split, data_dir, with_lines=True)
    for split in builder.info.splits
  }
  return of_counts(dataset.info, counts)


def of_counts(
  info: dataset_info.DatasetInfo,
  counts: Mapping[str, statistics.SplitCounts],
) -> Facts:
  """The facts of counted splits, among them train and val; see `read`."""
  _check_labels(info.name, counts)
  train, val = counts[TRAIN], counts[VAL]
  of_classes = train.pixels[:, :-1].sum(0)
  height, width = np.median(train.sizes, 0).astype(int).tolist()
  seen = val.pixels[:, :-1].sum(0) > 0
  return Facts(
    name=info.name,
    classes=info.class_names,
    labelled=int((train.pixels[:, :-1].sum(1) > 0).sum()),
    val=len(val.ids),
    unlabelled={
      split: len(found.ids)
      for split, found in counts.items()
      if not found.is_labelled and split != _TEST
    },
    size=(height, width),
    largest=tuple(val.sizes.max(0).tolist()),
    shares=tuple((of_classes / of_classes.sum()).tolist()),
    thickness=tuple(train.thickness.tolist()),
    absent_in_val=tuple(np.array(info.class_names)[~seen].tolist()),
  )


def _check_splits(builder, name):
  """Refuses what lacks a split, before minutes of reading."""
  raw = getattr(builder.builder_config, 'raw', None)
  there = builder.info.splits or (raw.splits if raw else ())
  for split in (TRAIN, VAL):
    if split not in there:
      raise errors.DataError(
        f'{name} has no split {split}, only {", ".join(sorted(there))}: name '
        'one in "splits" of dataset.json, or have a part of the images drawn '
        'for it with "fractions": {"val": 0.2} (docs/own_data.md).'
      )
  if raw and not builder.data_path.exists():
    _check_room(os.fspath(builder.data_path), raw)


def _check_room(folder, raw):
  """Refuses to prepare images that would not fit on the disk."""
  pairs = [pair for of_split in raw.splits.values() for pair in of_split]
  needed = sum(
    pair.image.stat().st_size for pair in pairs if pair.image.exists()
  )
  use, remedy = 'the prepared images need', 'give another --data_dir'
  checks.room(folder, needed, use, remedy)


def _check_labels(name, counts):
  for split in (TRAIN, VAL):
    if not counts[split].is_labelled:
      raise errors.DataError(
        f'No mask of split {split} of {name} shows any class: label at least '
        'one of its images, or check "ids" and "ignored" in dataset.json.'
      )
  pixels = counts[TRAIN].pixels[:, :-1].sum(0)
  if np.count_nonzero(pixels) < 2:
    raise errors.DataError(
      f'The masks of split {TRAIN} of {name} show a single class, so there is '
      'nothing to tell apart: check the masks, and "ids" in dataset.json.'
    )
