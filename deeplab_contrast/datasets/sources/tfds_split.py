"""Splits of datasets, prepared by TFDS as ArrayRecord, with random access."""

import contextlib
import dataclasses
import io
import json
import sys
import urllib.parse

import tensorflow as tf
import tensorflow_datasets as tfds
from array_record.python import array_record_module
from google.protobuf import json_format

from deeplab_contrast.common import ID, IMAGE, LABEL
from deeplab_contrast.datasets import info as dataset_info
from deeplab_contrast.datasets.sources import examples
from deeplab_contrast.utils import checks, errors, files


@dataclasses.dataclass(frozen=True)
class TfdsSplit(examples.Source):
  """One split of a dataset, prepared by TFDS as ArrayRecord on first use.

  Attributes:
    dataset: the dataset.
    split: one of its splits, or a slice in TFDS' notation: 'train[:50%]'.
  """

  dataset: dataset_info.Dataset
  split: str

  @property
  def info(self) -> dataset_info.DatasetInfo:
    """What the labels mean."""
    return self.dataset.info

  def open(self, data_dir: str | None) -> examples.Examples:
    """See base class."""
    builder = builder_of(self.dataset, data_dir)
    if not builder.data_path.exists():
      _check_split(builder, self.split)
      _prepare(builder, self.info)
      # Read again from disk: another process may have prepared it.
      builder = self.dataset.builder(data_dir)
      _write_ids(builder, self.info)
    with _damage_reported(self.info, data_dir):
      return _TfdsExamples(self.info, builder, self.split)


def builder_of(
  dataset: dataset_info.Dataset, data_dir: str | None
) -> tfds.core.DatasetBuilder:
  """The TFDS builder of a `Dataset`.

  Raises:
    ConfigError: `data_dir` is remote: ArrayRecord reads only local files.
    DataError: its files are damaged.
  """
  checks.on_this_machine(data_dir or '', '--data_dir')
  with _damage_reported(dataset.info, data_dir):
    return dataset.builder(data_dir)


@contextlib.contextmanager
def _damage_reported(info, data_dir):
  try:
    yield
  except (ValueError, json_format.ParseError) as error:  # In its JSON files.
    raise errors.DataError(
      f'The prepared {info.name} in {data_dir or "its data_dir"} is '
      f'damaged ({" ".join(str(error).split())[:200]}): delete its folder '
      'to have it prepared again.'
    ) from error


class _TfdsExamples(examples.Examples):
  """A prepared split."""

  def __init__(
    self,
    info: dataset_info.DatasetInfo,
    builder: tfds.core.DatasetBuilder,
    split: str,
  ):
    self.info = info
    self._folder = builder.data_path
    self._split = split
    # Slices have characters that file names should not have: 'train[:50%]'.
    quoted = urllib.parse.quote(split, safe='')
    self.class_file = self._folder / f'class_pixels_{quoted}.npy'
    _check_shards(_split_info(builder, split), self._folder)
    metadata = builder.info.metadata
    overall = metadata['max_height'], metadata['max_width']
    # Sums of splits, and data of older versions, do not have their own size.
    sizes = metadata.get('split_sizes') or {}
    own = '' if '+' in split else split.partition('[')[0]
    self.max_size = tuple(sizes.get(own, overall))
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

  def ids(self) -> list[str]:
    """See base class. Read from a file: reading all records takes minutes."""
    path = _ids_file(self._folder, self._split)
    if path.exists():
      return files.read_json(path, list)
    return [self[i][ID].decode() for i in range(len(self))]


def _prepare(builder, info):
  """Writes the prepared folder; it appears complete, under its final name."""
  print(f'Preparing {info.name} in {builder.data_path}', flush=True)
  if not sys.stderr.isatty():
    tfds.disable_progress_bar()
  try:
    # TFDS would print the line above again, with unknown sizes.
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
  """Writes the ids of each split next to its records, in their order."""
  for split in builder.info.splits:
    ids = _TfdsExamples(info, builder, split).ids()
    path = _ids_file(builder.data_path, split)
    files.write_text(path, json.dumps(ids))


def _ids_file(folder, split):
  return folder / f'ids_{split}.json'


def _split_info(builder, split):
  try:
    return builder.info.splits[split]
  except (KeyError, ValueError):
    raise _no_split(builder, builder.data_path, split) from None


def _check_split(builder, split):
  """Refuses a split that the raw files lack, before minutes of reading."""
  raw = getattr(builder.builder_config, 'raw', None)
  if raw and _absent(split, raw.splits):
    raise _no_split(builder, raw.root, split)


def _no_split(builder, place, split):
  raw = getattr(builder.builder_config, 'raw', None)
  there = builder.info.splits or (raw.splits if raw else ())
  name = next(iter(_absent(split, there)), split)
  how = raw.absent.get(name) if raw else None
  how = how or 'make one of these images (for own data: docs/own_data.md)'
  return errors.DataError(
    f'{place} has no split {name!r}; it has {", ".join(sorted(there))}. To '
    f'get it, {how}; or bind a different TfdsSplit.split.'
  )


def _absent(split, there):
  """Which of the summed or sliced splits do not exist."""
  names = [part.partition('[')[0].strip() for part in split.split('+')]
  return [name for name in names if name not in (*there, 'all')]


def _check_shards(split, folder):
  """Counts the records: a truncated ArrayRecord file opens as an empty one."""
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
