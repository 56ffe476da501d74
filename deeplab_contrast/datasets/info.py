"""What a dataset is: its classes and colours, and how to prepare it."""

import abc
import dataclasses

import tensorflow_datasets as tfds

from deeplab_contrast import common
from deeplab_contrast.imaging import conversion
from deeplab_contrast.utils import errors


@dataclasses.dataclass(frozen=True)
class DatasetInfo:
  """What the labels of a dataset mean.

  Attributes:
    name: what folders and reports call the dataset.
    class_names: one name per class; class i is the label value i.
    colors: one (red, green, blue) per class, 0 to 255, to show labels with.
    ignore_label: the value of pixels without a class: 255 everywhere in this
      package; raw files may have others, see `raw_pairs`.
    convert: how images of more bits or bands became 8-bit RGB, if stated; the
      images to predict must be converted likewise.
    categories: the name of the category of each class, if scores are given for
      categories too; else empty.

  Raises:
    ConfigError: the attributes contradict each other.
  """

  name: str
  class_names: tuple[str, ...]
  colors: tuple[tuple[int, int, int], ...]
  ignore_label: int = common.IGNORE_LABEL
  categories: tuple[str, ...] = ()
  convert: conversion.Conversion | None = None

  def __post_init__(self):
    # gin gives lists for tuples; equality and hashing need tuples.
    object.__setattr__(self, 'class_names', tuple(self.class_names))
    object.__setattr__(self, 'colors', tuple(map(tuple, self.colors)))
    object.__setattr__(self, 'categories', tuple(self.categories))
    self._check_names()
    self._check_colors()
    if self.ignore_label != common.IGNORE_LABEL:
      raise errors.ConfigError(
        f'Dataset {self.name!r} has ignore_label {self.ignore_label}, but '
        f'losses and scores leave out {common.IGNORE_LABEL} only: map it when '
        'the dataset is prepared.'
      )
    if self.categories and len(self.categories) != self.num_classes:
      raise errors.ConfigError(
        f'Dataset {self.name!r} has {self.num_classes} class_names but '
        f'{len(self.categories)} categories: give one category per class.'
      )

  @property
  def num_classes(self) -> int:
    """The number of classes, without the ignored one."""
    return len(self.class_names)

  def _check_names(self):
    if not self.class_names:
      raise errors.ConfigError(
        f'Dataset {self.name!r} has no class: give class_names.'
      )
    odd = [
      n for n in self.class_names if not (isinstance(n, str) and n.strip())
    ]
    if odd:
      raise errors.ConfigError(
        f'Dataset {self.name!r} has {odd[0]!r} as the name of a class: give '
        'a string that is not blank.'
      )
    repeated = {n for n in self.class_names if self.class_names.count(n) > 1}
    if repeated:
      raise errors.ConfigError(
        f'Dataset {self.name!r} repeats the class names {sorted(repeated)}: '
        'give each class a different name.'
      )

  def _check_colors(self):
    if len(self.colors) != self.num_classes:
      raise errors.ConfigError(
        f'Dataset {self.name!r} has {self.num_classes} class_names but '
        f'{len(self.colors)} colors: give one color per class.'
      )
    for class_name, color in zip(self.class_names, self.colors, strict=True):
      if len(color) != 3 or not all(0 <= value <= 255 for value in color):
        raise errors.ConfigError(
          f'The color of class {class_name!r} of dataset {self.name!r} must '
          f'be three numbers from 0 to 255: got {color}.'
        )


class Dataset(abc.ABC):
  """The description of a dataset: cheap to make, touches no file.

  Each dataset is a frozen dataclass derived from this one, whose fields are all
  that its contents depend on (its root folder, a seed, ...).
  """

  @property
  @abc.abstractmethod
  def info(self) -> DatasetInfo:
    """What the labels mean; derived classes may use a class attribute."""

  @abc.abstractmethod
  def builder(self, data_dir: str | None) -> tfds.core.DatasetBuilder:
    """The TFDS builder of this dataset, not yet prepared.

    Its features are IMAGE (png or jpeg), LABEL (uint8 [height, width, 1] png
    of class ids or `info.ignore_label`) and ID (text). Preparation puts
    'max_height' and 'max_width' over all splits into `info.metadata`, and may
    put 'split_sizes', {split: [height, width]}.

    Args:
      data_dir: the folder of prepared datasets; None for TFDS' default.
    """
