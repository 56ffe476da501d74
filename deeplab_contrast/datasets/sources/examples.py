"""What all sources share: a description, and examples with random access.

A `Source` is a description that gin can hold; opened, it becomes `Examples`:
random access to encoded images and labels. A source made from another source
(a label budget, ...) looks the same from outside.
"""

import abc
import pathlib
from collections.abc import Callable, Sequence

import tensorflow as tf

from deeplab_contrast.datasets import info as dataset_info
from deeplab_contrast.utils import errors


class Examples(abc.ABC):
  """Opened examples, to be read in any order, as often as needed.

  Attributes:
    info: what the labels mean.
    max_size: (height, width) that no image exceeds.
    order: maps a position of a run, int64 [], and the run's seed to the index
      of the example it sees, int64 []. None: epochs of all of them, each epoch
      a different permutation (`order.shuffled`).
    class_file: where `class_counts` may keep what it finds out about these
      examples; None if nowhere.
  """

  info: dataset_info.DatasetInfo
  max_size: tuple[int, int]
  order: Callable[[tf.Tensor, int], tf.Tensor] | None = None
  class_file: pathlib.Path | None = None

  @abc.abstractmethod
  def __len__(self) -> int: ...

  @abc.abstractmethod
  def __getitem__(self, index: int) -> dict[str, bytes]:
    """{IMAGE: JPEG or PNG, LABEL: PNG of class ids, ID: name}, all bytes.

    Raises:
      IndexError: there is no example with this index.
      DataError: it cannot be read.
    """

  @abc.abstractmethod
  def ids(self) -> list[str]:
    """The name of every example, in order."""


class Subset(Examples):
  """Some of the given examples, in a given order.

  Attributes:
    info: that of `examples`.
    max_size: likewise, though no image of the subset may be that large.
  """

  def __init__(self, examples: Examples, indices: Sequence[int]):
    self.info = examples.info
    self.max_size = examples.max_size
    self._examples = examples
    self._indices = indices

  def __len__(self):
    return len(self._indices)

  def __getitem__(self, index):
    return self._examples[self._indices[index]]

  def ids(self) -> list[str]:
    """See base class."""
    names = self._examples.ids()
    return [names[i] for i in self._indices]


class Source(abc.ABC):
  """The description of a set of labelled examples."""

  @property
  @abc.abstractmethod
  def info(self) -> dataset_info.DatasetInfo:
    """What the labels mean; derived classes may use a class attribute."""

  @abc.abstractmethod
  def open(self, data_dir: str | None) -> Examples:
    """Opens the examples, after preparing them if this is the first use.

    Args:
      data_dir: the folder of prepared datasets; None for TFDS' default.

    Raises:
      DataError: the raw or prepared data are missing or wrong.
    """


def open_inner(source: Source, data_dir: str | None) -> Examples:
  """Opens a source for another one that is made from it.

  Raises:
    ConfigError: it has its own order, which would be lost.
    DataError: see `Source.open`.
  """
  examples = source.open(data_dir)
  if examples.order is not None:
    raise errors.ConfigError(
      f'{type(source).__name__} must be the outermost source, since a source '
      'made from it would lose its proportions: put the other one inside.'
    )
  return examples
