"""Sources of labelled examples: what to train or evaluate on.

A `Source` is a description that gin can hold; opened, it becomes `Examples`:
random access to encoded images and labels. A source over another source (a
label budget, ...) looks the same from outside.
"""

import abc
import contextlib
import dataclasses
import io
import json
import sys
import uuid
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from array_record.python import array_record_module

from deeplab_contrast.common import ID, IMAGE, LABEL
from deeplab_contrast.datasets import id_list
from deeplab_contrast.datasets import info as dataset_info
from deeplab_contrast.utils import errors


class Examples(abc.ABC):
  """Opened examples, each as often and in whatever order one likes.

  Attributes:
    info: DatasetInfo, what the labels mean.
    max_size: (height, width), ints no image exceeds.
  """

  info: dataset_info.DatasetInfo
  max_size: tuple[int, int]

  @abc.abstractmethod
  def __len__(self) -> int: ...

  @abc.abstractmethod
  def __getitem__(self, index: int) -> dict[str, bytes]:
    """{IMAGE: JPEG or PNG, LABEL: PNG of class ids, ID: name}, all bytes.

    Raises:
      IndexError: there is no such example.
      DataError: it cannot be read.
    """

  @abc.abstractmethod
  def ids(self) -> list[str]:
    """The name of every example, in order."""


class Subset(Examples):
  """Some of other examples, in an order of its own.

  Attributes:
    info: as of `examples`.
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

  def ids(self):
    """See base class."""
    names = self._examples.ids()
    return [names[i] for i in self._indices]


class Source(abc.ABC):
  """The description of a set of labelled examples.

  Attributes:
    info: DatasetInfo, what the labels mean.
  """

  info: dataset_info.DatasetInfo

  @abc.abstractmethod
  def open(self, data_dir: str | None) -> Examples:
    """Opens the examples, after preparing them if this is the first use.

    Args:
      data_dir: where prepared datasets live; None for TFDS' own default.

    Raises:
      DataError: the raw or prepared data are missing or wrong.
    """


@dataclasses.dataclass(frozen=True)
class TfdsSplit(Source):
  """One split of a dataset, prepared by TFDS as ArrayRecord on first use.

  Attributes:
    dataset: which one.
    split: a split it has, or a slice in TFDS' notation: 'train[:50%]'.
  """

  dataset: dataset_info.Dataset
  split: str

  @property
  def info(self):
    """What the labels mean."""
    return self.dataset.info

  def open(self, data_dir):
    """See base class."""
    builder = self.dataset.builder(data_dir)
    if not builder.data_path.exists():
      _prepare(builder, self.info)
      # Afresh from the disk: another process may have been quicker.
      builder = self.dataset.builder(data_dir)
      _write_ids(builder, self.info)
    return _TfdsExamples(self.info, builder, self.split)


@dataclasses.dataclass(frozen=True)
class LabelBudget(Source):
  """A few of the examples of another source, as if no others were labelled.

  A count takes the first ones of a random order of the ids, so that budgets
  of one seed are nested, and do not depend on the order on disk.

  Attributes:
    source: the source to take from.
    count: how many to take.
    seed: of the random order.
    ids_file: a text file that names them instead: one id per line, or the two
      columns of file names in which such lists are published.

  Raises:
    ConfigError: both are given, or a number is out of range. (With neither,
      all examples are taken.)
  """

  source: Source
  count: int | None = None
  seed: int = 0
  ids_file: str | None = None

  def __post_init__(self):
    if self.count is not None and self.ids_file is not None:
      raise errors.ConfigError(
        f'LabelBudget has both count={self.count} and ids_file='
        f'{self.ids_file!r}: give one of them.'
      )
    if self.count is not None and self.count < 1:
      raise errors.ConfigError(
        f'LabelBudget.count must be at least 1: got {self.count}.'
      )
    if self.seed < 0:
      raise errors.ConfigError(
        f'LabelBudget.seed must not be negative: got {self.seed}.'
      )

  @property
  def info(self):
    """What the labels mean."""
    return self.source.info

  def open(self, data_dir):
    """See base class."""
    examples = self.source.open(data_dir)
    if self.count is None and self.ids_file is None:
      return examples
    index_of = {name: i for i, name in enumerate(examples.ids())}
    names = self._drawn(index_of) if self.count else self._listed(index_of)
    return Subset(examples, [index_of[name] for name in names])

  def _drawn(self, available):
    if self.count > len(available):
      raise errors.ConfigError(
        f'LabelBudget.count is {self.count}, but only {len(available)} '
        'examples are there to choose from.'
      )
    # Raw words of PCG64, not Generator.permutation: NumPy promises to keep
    # only the former as they are in all later versions.
    keys = np.random.PCG64([self.seed]).random_raw(len(available))
    order = np.argsort(keys, kind='stable')
    names = sorted(available)
    return [names[i] for i in order[: self.count]]

  def _listed(self, available):
    names = id_list.read(self.ids_file)
    unknown = [name for name in names if name not in available]
    if unknown:
      raise errors.DataError(
        f'{self.ids_file} names {len(unknown)} ids that are not among the '
        f'{len(available)} examples: {id_list.some(unknown)}.'
      )
    return names


class _TfdsExamples(Examples):
  """A prepared split."""

  def __init__(self, info, builder, split):
    self.info = info
    self._folder = builder.data_path
    self._split = split
    _check_shards(_split_info(builder, split), self._folder)
    metadata = builder.info.metadata
    self.max_size = (metadata['max_height'], metadata['max_width'])
    skip = tfds.decode.SkipDecoding()
    self._records = builder.as_data_source(
      split, decoders={IMAGE: skip, LABEL: skip}
    )

  def __len__(self):
    return len(self._records)

  def __getitem__(self, index):
    if not 0 <= index < len(self):
      raise IndexError(index)  # Which also ends a `for`.
    try:
      return self._records[index]
    except Exception as error:
      raise errors.DataError(
        f'Example {index} of split {self._split} in {self._folder} cannot be '
        f'read ({error}): delete that folder to have it prepared again.'
      ) from error

  def ids(self):
    """See base class. From a file: reading all records takes minutes."""
    path = _ids_file(self._folder, self._split)
    if path.exists():
      return json.loads(path.read_text())
    return [self[i][ID].decode() for i in range(len(self))]


def _prepare(builder, info):
  """Writes the prepared folder; it appears whole, under its final name."""
  print(f'Preparing {info.name} in {builder.data_path}', flush=True)
  if not sys.stderr.isatty():
    tfds.disable_progress_bar()
  try:
    # TFDS would print, of unknown sizes, what the line above says.
    with contextlib.redirect_stdout(io.StringIO()):
      builder.download_and_prepare(
        file_format='array_record',
        download_config=tfds.download.DownloadConfig(try_download_gcs=False),
      )
  except (OSError, RuntimeError, tf.errors.OpError) as error:
    # ArrayRecord reports a full disk as a RuntimeError of many lines.
    # Another process may have finished the same folder in the meantime.
    if not builder.data_path.exists():
      raise errors.SystemFault(
        f'{info.name} cannot be prepared in {builder.data_path}: '
        f'{str(error).splitlines()[0][:200]}. Make room or choose another '
        '--data_dir.'
      ) from error


def _write_ids(builder, info):
  """Keeps the ids of each split beside its records, in their order."""
  for split in builder.info.splits:
    ids = _TfdsExamples(info, builder, split).ids()
    path = _ids_file(builder.data_path, split)
    temporary = path.with_name(f'{path.name}.{uuid.uuid4().hex}.tmp')
    temporary.write_text(json.dumps(ids))
    temporary.replace(path)


def _ids_file(folder, split):
  return folder / f'ids_{split}.json'


def _split_info(builder, split):
  try:
    return builder.info.splits[split]
  except (KeyError, ValueError):
    raise errors.DataError(
      f'{builder.data_path} has no split {split!r}; it has '
      f'{", ".join(sorted(builder.info.splits))}.'
    ) from None


def _check_shards(split, folder):
  """Counts the records: a cut off ArrayRecord file opens, as an empty one."""
  for shard in split.file_instructions:
    try:
      reader = array_record_module.ArrayRecordReader(shard.filename)
      count = reader.num_records()
      reader.close()
    except Exception:
      count = 'no'
    if count != shard.examples_in_shard:
      raise errors.DataError(
        f'{shard.filename} has {count} readable records instead of '
        f'{shard.examples_in_shard}: delete {folder} to have it prepared again.'
      )
