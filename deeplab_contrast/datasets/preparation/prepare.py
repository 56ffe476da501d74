"""From raw files to a prepared dataset with its report."""

import argparse
import contextlib
import dataclasses
import json
import os
import shlex
import signal
import sys
import time

import tensorflow_datasets as tfds

from deeplab_contrast.datasets import (
  ade20k_segmentation,
  cityscapes_segmentation,
  folder_segmentation,
  info,
  scenes,
  sources,
  voc2012_segmentation,
)
from deeplab_contrast.datasets.preparation import recognised, report
from deeplab_contrast.datasets.raw import archives, raw_builder, raw_check
from deeplab_contrast.datasets.sources import tfds_split
from deeplab_contrast.datasets.voc2012_segmentation import download
from deeplab_contrast.utils import errors

# Below this, importing TensorFlow in each worker process (a few seconds) takes
# longer than the checks in threads (280 pairs a second of VOC on two cores).
_FEW_PAIRS = 2000


@dataclasses.dataclass(frozen=True)
class _Checked(info.Dataset):
  """A dataset that is checked differently when it is prepared."""

  dataset: info.Dataset
  checking: raw_check.Checking

  @property
  def info(self) -> info.DatasetInfo:
    """What the labels mean."""
    return self.dataset.info

  def builder(self, data_dir: str | None) -> tfds.core.DatasetBuilder:
    """See base class."""
    builder = self.dataset.builder(data_dir)
    if isinstance(builder.builder_config, raw_builder.RawConfig):
      builder.builder_config.checking = self.checking
    return builder


def run(arguments: argparse.Namespace) -> None:
  """Prepares, reports, and prints the next command.

  Args:
    arguments: those of `deeplab_contrast.prepare`.

  Raises:
    UserError: see `errors`; Preempted after SIGTERM or SIGINT.
  """
  began = time.monotonic()
  out = sys.stderr if arguments.json else sys.stdout
  with contextlib.redirect_stdout(out):
    builder = _run(arguments, began)
  if arguments.json:
    print((builder.data_path / report.JSON).read_text(), end='')


def _run(arguments, began):
  with _stopping():
    _get_raw_files(arguments)
    dataset = make(arguments)
    recognised.say(dataset)
    builder = tfds_split.builder_of(dataset, arguments.data_dir)
    is_new = not builder.data_path.exists()
    _check_raw(builder, dataset, arguments)
    _prepare(dataset, builder, arguments)
    builder = tfds_split.builder_of(dataset, arguments.data_dir)
    text = report.read(builder)
    if text is None:
      samples = max(1, arguments.samples)
      text = report.write(dataset, builder, arguments.data_dir, samples)
    recognised.write(dataset, arguments, builder)
  print(text)
  print(f'\nLook at {builder.data_path / report.PICTURE}')
  state = 'Prepared' if is_new else 'Was already prepared; checked'
  print(f'{state} in {time.monotonic() - began:.0f} s.')
  if arguments.name == 'folder':
    print(_configure_command(arguments))
    print(_next_command(arguments))
  return builder


def _next_command(arguments):
  """How to train on own data; the other datasets have their own files."""
  command = [
    'python -m deeplab_contrast.train',
    '--gin_file=gin_configs/camvid/softmax_scratch.gin',
    '--gin_file=gin_configs/datasets/own.gin',
    _binding('OWN_DATA', arguments.raw_dir or _default_root(arguments)),
  ]
  if arguments.description:
    command.append(
      _binding('folder_segmentation.Folder.description', arguments.description)
    )
  if arguments.data_dir:
    command.append(shlex.quote(f'--data_dir={arguments.data_dir}'))
  return 'Train: ' + ' '.join([*command, '--model_dir=runs/mine'])


def _configure_command(arguments):
  """How to get settings that suit the data."""
  raw_dir = arguments.raw_dir or _default_root(arguments)
  flags = [f'--raw_dir={raw_dir}']
  for name in ('description', 'data_dir'):
    if value := getattr(arguments, name):
      flags.append(f'--{name}={value}')
  command = f'python -m deeplab_contrast.configure {shlex.join(flags)}'
  return f'Choose settings that suit these data: {command} --out=mine.gin'


def _binding(name, value):
  text = json.dumps(value, ensure_ascii=False)  # Its quotes need no escapes.
  return shlex.quote(f'--gin_bindings={name} = {text}')


def _default_root(arguments):
  data_dir = arguments.data_dir or tfds.core.constants.DATA_DIR
  return os.path.join(os.path.expanduser(data_dir), 'downloads', 'manual')


def make(arguments: argparse.Namespace) -> info.Dataset:
  """The `Dataset` that the command line names.

  Raises:
    ConfigError: the description of a folder dataset is missing or wrong.
  """
  root = arguments.raw_dir
  if arguments.name == 'voc2012':
    return voc2012_segmentation.Voc2012(root, arguments.sbd_dir)
  if arguments.name == 'cityscapes':
    return cityscapes_segmentation.Cityscapes(root)
  if arguments.name == 'ade20k':
    return ade20k_segmentation.Ade20k(root)
  if arguments.name == 'folder':
    return folder_segmentation.Folder(root, arguments.description)
  return scenes.Scenes()


def _get_raw_files(arguments):
  """Downloads or unpacks what the command line asks for."""
  if arguments.download:
    download.download(arguments.data_dir)
  default = _default_root(arguments)
  if arguments.name == 'cityscapes':
    default = os.path.join(default, 'cityscapes')
  for archive in arguments.archive:
    archives.extract(archive, arguments.raw_dir or default)


def _check_raw(builder, dataset, arguments):
  """Refuses a --raw_dir without raw files, instead of using older data."""
  raw = getattr(builder.builder_config, 'raw', None)
  if arguments.raw_dir is not None and raw is None:
    raise errors.DataError(
      f'There is no {dataset.info.name} in {arguments.raw_dir}, only older '
      f'prepared data in {builder.data_path}.'
    )


def _prepare(dataset, builder, arguments):
  """Does the same as the first training would, but shows more."""
  raw = getattr(builder.builder_config, 'raw', None)
  workers = arguments.workers
  if workers is None:
    workers = (os.cpu_count() or 1) if _is_large(raw) else 0
  checking = raw_check.Checking(
    arguments.on_error, arguments.max_skipped, workers
  )
  checked = _Checked(dataset, checking)
  first = next(iter(builder.info.splits or (raw.splits if raw else ['train'])))
  sources.TfdsSplit(checked, first).open(arguments.data_dir)
  for split in dataset.builder(arguments.data_dir).info.splits:
    # Counts the records: those of older data may have been damaged.
    sources.TfdsSplit(dataset, split).open(arguments.data_dir)


def _is_large(raw):
  return raw is not None and sum(map(len, raw.splits.values())) > _FEW_PAIRS


@contextlib.contextmanager
def _stopping():
  """Ends at once on SIGTERM and SIGINT: all files are written atomically."""

  def stop(number, frame):
    del frame
    name = signal.Signals(number).name
    raise errors.Preempted(
      f'Stopped by {name}; run the same command again to continue: checked '
      'files are not checked again.'
    )

  numbers = (signal.SIGTERM, signal.SIGINT)
  previous = {number: signal.signal(number, stop) for number in numbers}
  try:
    yield
  finally:
    for number, handler in previous.items():
      signal.signal(number, handler)
