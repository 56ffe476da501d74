"""Raw datasets: image and mask files, collected, checked, made into examples.

A dataset says where its files lie and what the values in its masks mean
(`Layout`, `MaskValues`); here every file is read and every fault reported
before anything is written. `raw_builder` makes TFDS datasets of it.
"""

import concurrent.futures
import dataclasses
import hashlib
import json
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import tqdm

from deeplab_contrast import common
from deeplab_contrast.utils import errors, images

# How many pairs are read ahead, in threads, of the one that is written.
_CHUNK = 64

_MOST_SHOWN = 20


@dataclasses.dataclass(frozen=True)
class Pair:
  """One image and its mask, as files that may turn out to be missing."""

  id: str
  image: pathlib.Path
  mask: pathlib.Path


@dataclasses.dataclass(frozen=True)
class MaskValues:
  """What the values in the masks of a dataset mean.

  Attributes:
    classes: from a value in a mask file to a class id or IGNORE_LABEL.
    hint: what to tell about any other value, as a sentence.
  """

  classes: Mapping[int, int]
  hint: str

  def read(self, path):
    """Reads a mask file as class ids: uint8 [height, width].

    Raises:
      DataError: the file is unreadable or has values without a meaning.
    """
    mask = images.read_mask(path)
    table = np.full([256], -1, np.int16)
    table[list(self.classes)] = list(self.classes.values())
    labels = table[mask]
    if labels.min() < 0:
      unknown = np.unique(mask[labels < 0]).tolist()
      raise errors.DataError(f'{path} has the values {unknown}: {self.hint}')
    return labels.astype(np.uint8)


@dataclasses.dataclass(frozen=True)
class RawData:
  """The raw files of a dataset, found but not yet read.

  Attributes:
    root: the folder below which they lie.
    splits: the pairs of each split by its name.
    values: what the masks mean.
  """

  root: pathlib.Path
  splits: Mapping[str, tuple[Pair, ...]]
  values: MaskValues

  def fingerprint(self):
    """16 hex digits that change with the lists, file names and file sizes.

    Neither the place of the folder nor the age of the files matters, so a copy
    has the fingerprint of the original.
    """
    files = [
      [split, pair.id, *self._name_and_size(path)]
      for split, pairs in sorted(self.splits.items())
      for pair in pairs
      for path in (pair.image, pair.mask)
    ]
    contents = json.dumps([sorted(self.values.classes.items()), files])
    return hashlib.sha256(contents.encode()).hexdigest()[:16]

  def _name_and_size(self, path):
    name = pathlib.PurePath(os.path.relpath(path, self.root)).as_posix()
    try:
      return name, path.stat().st_size
    except OSError:
      return name, None


@dataclasses.dataclass(frozen=True)
class Layout:
  """How to find the raw files of a dataset.

  Attributes:
    name: what to call the dataset in messages.
    places: where its folder may lie, seen from the folder the user names.
    marks: the subfolders it is recognized by.
    collect: makes RawData of the folder.
  """

  name: str
  places: tuple[str, ...]
  marks: tuple[str, ...]
  collect: Callable[[pathlib.Path], RawData]

  def find(self, root):
    """The folder of the dataset at or below `root`; None if there is none."""
    for place in self.places:
      folder = pathlib.Path(root) / place
      if all((folder / mark).is_dir() for mark in self.marks):
        return folder
    return None

  def read(self, root):
    """RawData of the folder at or below `root`.

    Raises:
      DataError: there is none, or its lists are wrong.
    """
    folder = self.find(root)
    if folder is None:
      raise errors.DataError(self.missing(root))
    return self.collect(folder)

  def missing(self, root):
    """The sentence that says what was expected in `root`."""
    return (
      f'{self.name} is not in {root}: expected a folder with '
      f'{" and ".join(self.marks)}, there or in '
      f'{" or ".join(place for place in self.places if place)}.'
    )


def check(raw):
  """Reads all files once, before anything is written.

  Args:
    raw: RawData.

  Returns:
    {'max_height': int, 'max_width': int} over all splits.

  Raises:
    DataError: names every file at fault (the first 20, and how many).
  """
  pairs = list(dict.fromkeys(p for ps in raw.splits.values() for p in ps))
  found = _in_threads(lambda pair: _examine(pair, raw.values), pairs)
  # disable=None: no bar in log files.
  found = tqdm.tqdm(found, 'Checking', len(pairs), unit=' pairs', disable=None)
  sizes, problems = zip(*found, strict=True)
  problems = [problem for several in problems for problem in several]
  if problems:
    raise errors.DataError(_report(raw.root, problems))
  heights, widths = zip(*sizes, strict=True)
  return {'max_height': max(heights), 'max_width': max(widths)}


def examples(pairs, values) -> Iterator[tuple[str, dict]]:
  """Key and features of each pair, in order, for TFDS to write."""

  def load(pair):
    encoded, _ = images.read_image(pair.image)
    label = images.encode_png(values.read(pair.mask))
    return pair.id, {
      common.IMAGE: encoded,
      common.LABEL: label,
      common.ID: pair.id,
    }

  return _in_threads(load, pairs)


def _in_threads(function, items):
  """Like map, but several at a time; holds a bounded number of results."""
  with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    for start in range(0, len(items), _CHUNK):
      yield from pool.map(function, items[start : start + _CHUNK])


def _examine(pair, values):
  """((height, width), problems) of one pair; without a size if it has any."""
  problems = []

  def attempt(read, path):
    try:
      return read(path)
    except errors.DataError as error:
      problems.append(str(error))
      return None

  image = attempt(images.read_image, pair.image)
  labels = attempt(values.read, pair.mask)
  if problems:
    return None, problems
  _, size = image
  if size != labels.shape:
    problems.append(_sizes_differ(pair, size, labels.shape))
  return size, problems


def _sizes_differ(pair, size, mask_size):
  turned = ' (turned by its EXIF tag?)' if size == mask_size[::-1] else ''
  return (
    f'{pair.mask} is {_by(mask_size)}, but its image {pair.image} is '
    f'{_by(size)}{turned}.'
  )


def _by(size):
  return f'{size[0]} x {size[1]} (height x width)'


def _report(root, problems):
  lines = problems[:_MOST_SHOWN]
  if len(problems) > _MOST_SHOWN:
    lines = [*lines, f'... and {len(problems) - _MOST_SHOWN} more.']
  return '\n  '.join(
    [f'{root} has {len(problems)} faults to mend before training:', *lines]
  )
