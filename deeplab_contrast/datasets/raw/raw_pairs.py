"""Raw datasets: image and mask files, collected and made into examples.

A dataset says where its files are (`Layout`) and what its masks mean
(`mask_values`). `raw_check` reads every file and reports every fault before
anything is written; `raw_builder` makes TFDS datasets from it.
"""

import collections
import concurrent.futures
import dataclasses
import functools
import glob
import hashlib
import json
import os
import pathlib
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

import numpy as np

from deeplab_contrast import common
from deeplab_contrast.datasets.raw import drawings, mask_values, upright
from deeplab_contrast.datasets.sources import id_list
from deeplab_contrast.imaging import conversion, images
from deeplab_contrast.utils import errors

_Item = TypeVar('_Item')
_Result = TypeVar('_Result')

# How many pairs are read at once, in threads, before they are written.
_CHUNK = 64

# How many levels down to search for a dataset that is not in its place.
_MOST_DEEP = 3

# Files whose last bytes say little about the rest are read whole, up to a size.
_UNPACKED = ('.bmp', '.tif', '.tiff')
_MOST_READ = 1 << 22


@dataclasses.dataclass(frozen=True)
class Pair:
  """One image and its mask: files that may be missing.

  Attributes:
    id: the name of the example.
    image: the image file.
    mask: the mask file, or shapes to draw it; None for an image without
      labels.
  """

  id: str
  image: pathlib.Path
  mask: drawings.Mask | None


@dataclasses.dataclass(frozen=True)
class RawData:
  """The raw files of a dataset, found but not yet read.

  Attributes:
    root: the folder of the files.
    splits: the pairs of each split by its name.
    values: what the values in the masks mean.
    disjoint: pairs of splits that must not share pictures, the one to train
      on first.
    allow_equal: whether they may share equal pictures all the same, such as
      blank tiles.
    other_roots: more folders with some of the files.
    absent: by missing split, a phrase that says how to get it.
    convert: how images of more bits or bands become 8-bit RGB, if stated.
    advice: (part of the sentence of a fault, what the user may state).
    about: anything else that the prepared data depend on, for JSON.
    notes: sentences on what was taken how, and what was left out.
    made: raised when the same files are made into different examples, so that
      they are prepared again. Runs resume if their examples are the same.
  """

  root: pathlib.Path
  splits: Mapping[str, tuple[Pair, ...]]
  values: mask_values.Values
  disjoint: tuple[tuple[str, str], ...] = ()
  allow_equal: bool = False
  other_roots: tuple[pathlib.Path, ...] = ()
  absent: Mapping[str, str] = dataclasses.field(default_factory=dict)
  convert: conversion.Conversion | None = None
  advice: tuple[tuple[str, str], ...] = ()
  about: object = None
  notes: tuple[str, ...] = ()
  made: int = 0

  def fingerprint(self) -> str:
    """16 hex digits that change with the lists, the files, and `made`.

    Only the name, the size and the last bytes of a file are used (those of a
    PNG have a checksum of its pixels), since reading 2 GB at every start takes
    too long. Neither the place of the folder nor the age of the files matters,
    so a copy has the fingerprint of the original.
    """
    roots = [os.fspath(root) for root in (*self.other_roots, self.root)]
    describe = functools.cache(lambda path: _name_and_mark(path, roots))
    files = [
      [split, pair.id, *describe(path)]
      for split, pairs in sorted(self.splits.items())
      for pair in pairs
      for path in (pair.image, pair.mask)
    ]
    contents: list[object] = [self.values.token(), files]
    contents += [self.about] if self.about is not None else []
    contents += [repr(self.convert)] if self.convert else []
    contents += [self.made] if self.made else []
    return hashlib.sha256(json.dumps(contents).encode()).hexdigest()[:16]

  def check_lists(self) -> None:
    """Refuses what is wrong before any file is opened.

    Raises:
      DataError: a split is empty, has an id twice, has an id that cannot be a
        file name, or shares images with a split that must be disjoint.
    """
    for split, pairs in self.splits.items():
      self._check_ids(split, [pair.id for pair in pairs])
    for one, other in self.disjoint:
      images_of = {pair.image for pair in self.splits.get(other, ())}
      shared = [p.id for p in self.splits.get(one, ()) if p.image in images_of]
      if shared:
        raise errors.DataError(
          f'The splits {one} and {other} of {self.root} share {len(shared)} '
          f'images: {id_list.some(sorted(shared))}; training on them would '
          'spoil the evaluation.'
        )

  def _check_ids(self, split, ids):
    if not ids:
      raise errors.DataError(f'The split {split} of {self.root} has no images.')
    strange = [i for i in ids if not is_name(i)]
    if strange:
      raise errors.DataError(
        f'The split {split} of {self.root} has {len(strange)} ids that are not '
        f'names of files in it: {id_list.some([repr(i) for i in strange])}; '
        'rename them.'
      )
    twice = [i for i, count in collections.Counter(ids).items() if count > 1]
    if twice:
      raise errors.DataError(
        f'The split {split} of {self.root} has {len(twice)} ids more than once '
        '(two files that differ only in their extension?): '
        f'{id_list.some(twice)}.'
      )


def _name_and_mark(path, roots):
  """(path below its root, mark of the contents) of a file; or (None, None)."""
  if path is None:
    return None, None
  if isinstance(path, drawings.Drawing):
    return None, path.mark()
  text = os.fspath(path)
  for root in roots:
    if text.startswith(os.path.join(root, '')):
      name = text[len(root) :].lstrip(os.sep)
      break
  else:  # The root is '.', which paths leave out.
    name = os.path.relpath(text, roots[-1])
  try:
    stat = os.stat(text)
    return name, _mark(text, stat.st_size, stat.st_mtime_ns)
  except OSError:
    return name, None


@functools.lru_cache(1 << 18)  # Called several times at each start.
def _mark(path, size, changed_at):
  """Changes with the contents of a file, without reading all of it."""
  del changed_at  # Part of the cache key: a changed file is read again.
  is_packed = not path.lower().endswith(_UNPACKED)
  with open(path, 'rb') as file:
    if is_packed or size > _MOST_READ:
      file.seek(max(0, size - 64))
    return f'{size} {zlib.crc32(file.read()):08x}'


def is_name(name: str) -> bool:
  """Whether an id can be a printable file name that stays in its folder."""
  parts = name.split('/')
  return (
    name.isprintable() and '\\' not in name and not {'', '.', '..'} & {*parts}
  )


def subfolders(folder: pathlib.Path, name: str) -> list[pathlib.Path]:
  """The subfolders with this name, in which `*` matches any text but a `/`."""
  if '*' not in name:
    return [folder / name] if (folder / name).is_dir() else []
  pattern = glob.escape(name).replace('[*]', '*')
  return [path for path in folder.glob(pattern) if path.is_dir()]


def _holder(root, name):
  """A folder at or not far below `root` that has `name`; or None."""
  level = [root] if root.is_dir() else []
  for _ in range(_MOST_DEEP + 1):
    found = next((folder for folder in level if subfolders(folder, name)), None)
    if found:
      return found
    level = [below for folder in level for below in _folders_in(folder)]
  return None


def _folders_in(folder):
  try:
    with os.scandir(folder) as entries:
      return sorted(pathlib.Path(e.path) for e in entries if e.is_dir())
  except OSError:  # No permission to read it.
    return []


@dataclasses.dataclass(frozen=True)
class Layout:
  """How to find the raw files of a dataset.

  Attributes:
    name: what to call the dataset in messages.
    places: where its folder may be, relative to the folder the user gives.
    marks: the subfolders it is recognized by, see `subfolders`.
    collect: makes RawData from the folder.
  """

  name: str
  places: tuple[str, ...]
  marks: tuple[str, ...]
  collect: Callable[[pathlib.Path], RawData]

  def find(self, root: str | os.PathLike) -> pathlib.Path | None:
    """The folder of the dataset at or below `root`; None if there is none."""
    for place in self.places:
      folder = pathlib.Path(root) / place
      if all(subfolders(folder, mark) for mark in self.marks):
        return folder
    return None

  def load(self, folder: pathlib.Path) -> RawData:
    """RawData of the folder that `find` has found.

    Raises:
      DataError: the lists are wrong.
    """
    raw = self.collect(folder)
    raw.check_lists()
    return raw

  def read(self, root: str | os.PathLike) -> RawData:
    """RawData of the folder at or below `root`.

    Raises:
      DataError: there is none, or its lists are wrong.
    """
    folder = self.find(root)
    if folder is None:
      raise errors.DataError(self.missing(root))
    return self.load(folder)

  def missing(self, root: str | os.PathLike) -> str:
    """A sentence that says what was expected in `root`."""
    places = [place for place in self.places if place]
    there = f', there or in {" or ".join(places)}' if places else ''
    holders = {mark: _holder(pathlib.Path(root), mark) for mark in self.marks}
    found = [
      f'{mark} is in {place}' for mark, place in holders.items() if place
    ]
    seen = f' ({", ".join(found)})' if found else ''
    return (
      f'{self.name} is not in {root}: expected a folder with '
      f'{" and ".join(self.marks)}{there}{seen}.'
    )


def examples(
  pairs: Sequence[Pair],
  values: mask_values.Values,
  convert: conversion.Conversion | None = None,
) -> Iterator[tuple[str, dict]]:
  """Key and features of each pair, in order, for TFDS to write.

  LABEL of an image without a mask is IGNORE_LABEL everywhere.
  """

  def load(pair):
    picture = images.read_picture(pair.image, convert)
    mask = drawings.examine(pair.mask, values) if pair.mask else None
    picture, labels = upright.turn(
      picture,
      mask.labels if mask else None,
      pair.image,
      drawings.is_upright(pair.mask),
    )
    if labels is None:
      size = picture.pixels.shape[:2]
      labels = np.full(size, common.IGNORE_LABEL, np.uint8)
    return pair.id, {
      common.IMAGE: picture.encoded(),
      common.LABEL: images.encode_png(labels),
      common.ID: pair.id,
    }

  return in_threads(load, pairs)


def in_threads(
  function: Callable[[_Item], _Result], items: Sequence[_Item]
) -> Iterator[_Result]:
  """Like map, but several at a time; holds a bounded number of results."""
  with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    for start in range(0, len(items), _CHUNK):
      yield from pool.map(function, items[start : start + _CHUNK])
