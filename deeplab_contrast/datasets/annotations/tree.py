"""The files of an export: listed once, and nothing else is ever opened.

What an annotation file says about other files is only looked up in this list,
so a name such as `../../secret.png` leads nowhere.
"""

import contextlib
import functools
import json
import os
import pathlib
import posixpath
import re
import struct
import unicodedata
import urllib.parse
import zlib
from collections.abc import Iterator
from typing import Any

from deeplab_contrast.datasets.annotations import folder_pairs, splits
from deeplab_contrast.datasets.raw import file_pairs
from deeplab_contrast.imaging import image_list
from deeplab_contrast.utils import errors, files

# Ours; it describes an export, but is not part of it.
DESCRIPTION = 'dataset.json'

# No annotation tool writes more, and Python needs ten times as much memory.
_MOST_BYTES = 2 << 30

# Files that may hold annotations, or lists of classes.
_TEXTS = ('.json', '.xml', '.txt', '.yaml', '.yml', '.csv')

# What reading damaged values raises.
_WRONG = (
  *(KeyError, IndexError, TypeError, ValueError, AttributeError),
  *(ArithmeticError, RecursionError, MemoryError),
  *(OSError, EOFError, SyntaxError, struct.error, zlib.error),
)


class Tree:
  """The files in a folder and all its subfolders.

  Args:
    root: the folder; hidden files and what systems add are left out.
  """

  def __init__(self, root: str | os.PathLike):
    self.root = pathlib.Path(root)

  @functools.cached_property
  def files(self) -> tuple[str, ...]:
    """Paths below the root, with `/`, sorted.

    Raises:
      DataError: there is a pipe or a device.
    """
    found, seen = [], set()
    for place, folders, names in os.walk(self.root, followlinks=True):
      real = os.path.realpath(place)
      if real in seen:
        folders.clear()
        continue
      seen.add(real)
      folders[:] = [n for n in folders if not file_pairs.is_rubbish(n)]
      below = pathlib.Path(place).relative_to(self.root).as_posix()
      found += [
        posixpath.normpath(posixpath.join(below, name))
        for name in names
        if not file_pairs.is_rubbish(name)
      ]
    for file in found:
      files.refuse_special(self.path(file))
    return tuple(sorted(found))

  @functools.cached_property
  def images(self) -> tuple[str, ...]:
    """Those that are images or masks, by their endings."""
    return self.ending(*image_list.ENDINGS)

  @functools.cached_property
  def jsons(self) -> tuple[str, ...]:
    """The JSON files, except our own."""
    found = self.ending('.json')
    return tuple(f for f in found if posixpath.basename(f) != DESCRIPTION)

  @functools.cached_property
  def _known(self):
    return frozenset(self.files)

  def has(self, file: str) -> bool:
    """Whether there is such a file."""
    return file in self._known

  def ending(self, *endings: str) -> tuple[str, ...]:
    """Files with one of these endings, in lower or upper case."""
    return tuple(f for f in self.files if f.lower().endswith(endings))

  def named(self, *names: str) -> tuple[str, ...]:
    """Files with one of these names, in any folder."""
    return tuple(f for f in self.files if posixpath.basename(f) in names)

  def path(self, file: str) -> pathlib.Path:
    """The path to open a file of the list."""
    return self.root / file

  def state(self) -> tuple:
    """Changes with any file that may hold annotations."""
    return (
      str(self.root.absolute()),
      self.files,
      tuple(_stamp(self.path(file)) for file in self.ending(*_TEXTS)),
    )

  def text(self, file: str) -> str:
    """The text of a file. Raises DataError if it is not UTF-8."""
    path = self.path(file)
    with self.reading(file, 'UTF-8 text'):
      if path.stat().st_size > _MOST_BYTES:
        raise ValueError(f'it has more than {_MOST_BYTES >> 30} GB')
      try:
        return path.read_text(encoding='utf-8-sig')
      except UnicodeDecodeError as error:
        raise errors.DataError(
          f'{path} is not UTF-8 text ({error.reason} at byte {error.start}): '
          'save it as UTF-8, or export it again if it is damaged.'
        ) from error

  def json(self, file: str) -> Any:
    """The value of a JSON file. Raises DataError if it is damaged."""
    text = self.text(file)
    with self.reading(file, 'JSON'):
      return json.loads(text, parse_constant=_no_number)

  @contextlib.contextmanager
  def reading(self, file: str, what: str) -> Iterator[None]:
    """Turns what damaged values raise into one sentence.

    Args:
      file: the file they are from.
      what: what it should be.

    Raises:
      DataError: instead of anything that damaged values raise.
    """
    try:
      yield
    except _WRONG as error:
      detail = ' '.join(str(error).split())[:200] or type(error).__name__
      if isinstance(error, KeyError):
        detail = f'{detail} is missing or unknown'
      raise errors.DataError(
        f'{self.path(file)} is not {what} ({detail}): it is damaged, or cut '
        'off; export it again.'
      ) from error

  @functools.cached_property
  def _by_stem(self):
    result: dict[str, list[str]] = {}
    for file in self.images:
      result.setdefault(posixpath.splitext(file)[0], []).append(file)
    return result

  def beside(self, file: str, name: object = '') -> str | None:
    """The image of the same name and folder, but for its ending.

    Args:
      file: any file.
      name: which one, if there are several: its mask may be among them.
    """
    found = self._by_stem.get(posixpath.splitext(file)[0], [])
    ending = posixpath.splitext(str(name))[1].lower()
    same = [f for f in found if f.lower().endswith(ending)]
    return next(iter(same or found), None)

  @functools.cached_property
  def _by_name(self):
    return self._named_by(_key)

  @functools.cached_property
  def _by_upload(self):
    return self._named_by(lambda file: _uploaded(_key(file)))

  def _named_by(self, key):
    result: dict[str, list[str]] = {}
    for file in self.images:
      for name in {key(file), key(posixpath.splitext(file)[0])}:
        result.setdefault(name, []).append(file)
    return result

  def image(self, name: str, near: str, split: str | None = None) -> str:
    """The image that an annotation file names.

    Args:
      name: as stated: a file name or any path, also of a different computer,
        or a URL; its ending may be missing.
      near: the file that states it.
      split: of that file.

    Returns:
      A file of the list, or where it should be if there is none.

    Raises:
      DataError: several fit equally well.
    """
    parts = _parts(name)
    found = self._by_name.get(_key('/'.join(parts)), [])
    if not found:  # Label Studio puts eight digits before an uploaded file.
      upload = _key(parts[-1]).partition('-')[2]
      found = self._by_upload.get(upload, []) if upload else []
    if not found:
      return posixpath.join(posixpath.dirname(near), parts[-1])

    folders = near.split('/')[:-1]

    def fit(file):
      return (
        _common(reversed(parts), reversed(file.split('/'))),
        splits.of_path(file) == split,
        -_masks_below(folders, file.split('/')[:-1]),
        _common(folders, file.split('/')),
      )

    best, *rest = sorted(found, key=fit, reverse=True)
    if rest and fit(rest[0]) == fit(best):
      raise errors.DataError(
        f'{self.path(near)} names {name!r}, which may be {best} or {rest[0]}: '
        'export with folders, or rename one of them.'
      )
    return best


def _stamp(path):
  try:
    found = os.stat(path)
  except OSError:  # Such as a link to nowhere, which is refused when read.
    return None
  return found.st_size, found.st_mtime_ns


def _parts(name):
  """The parts of a stated path; at least one."""
  if not isinstance(name, str):
    raise TypeError(f'a file name is {name!r}')
  url = urllib.parse.urlsplit(name) if '://' in name or '?d=' in name else None
  if url is not None:
    name = dict(urllib.parse.parse_qsl(url.query)).get('d') or url.path
    name = urllib.parse.unquote(name)
  parts = [p for p in name.replace('\\', '/').split('/') if p not in ('', '.')]
  if not parts or parts[-1] == '..' or not parts[-1].isprintable():
    raise ValueError(f'{name!r} is not the name of a file')
  return parts


def _key(file):
  """What names of the same file have in common."""
  return unicodedata.normalize('NFC', posixpath.basename(file)).lower()


def _uploaded(name):
  """What Label Studio (Django) makes of the name of an uploaded file."""
  return re.sub(r'[^-\w.]', '', name.strip().replace(' ', '_'))


def _masks_below(near, folders):
  """How many folders have a name of masks, of those that are not shared."""
  own = folders[_common(near, folders) :]
  return sum(map(folder_pairs.is_of_masks, own))


def _common(one, other):
  """How many items two sequences share from their start."""
  count = 0
  for a, b in zip(one, other, strict=False):
    if a != b:
      break
    count += 1
  return count


def _no_number(text):
  raise ValueError(f'it has {text}, which is not a number')
