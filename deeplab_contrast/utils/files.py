"""Files that appear whole or not at all, and JSON."""

import contextlib
import json
import os
import pathlib
import stat
import uuid
from collections.abc import Iterator
from typing import Any

from deeplab_contrast.utils import errors


@contextlib.contextmanager
def replacing(path: Any) -> Iterator[Any]:
  """Yields a temporary path, which becomes `path` at the end.

  A reader sees the old file or the new one, never half of one. If anything is
  raised inside, the old file stays and the temporary one is removed.

  Args:
    path: the file, a str or a `pathlib.Path` (also the remote ones of TFDS);
      its folder is made.
  """
  path = pathlib.Path(path) if isinstance(path, str) else path
  path.parent.mkdir(parents=True, exist_ok=True)
  # Hidden, short even where names are as long as they can be, and different for
  # every process and thread: of several writers the last one wins.
  temporary = path.parent / f'.{uuid.uuid4().hex}.tmp'
  try:
    yield temporary
    temporary.replace(path)
  finally:
    # Still there after an error, or if both were names of the same file.
    with contextlib.suppress(OSError):
      temporary.unlink(missing_ok=True)


def write_bytes(path: Any, content: bytes, sync: bool = False) -> None:
  """Writes a file atomically; see `replacing`.

  Args:
    path: path of the file.
    content: the bytes.
    sync: whether to wait until they are on the disk (local files only).
  """
  with replacing(path) as temporary, temporary.open('wb') as file:
    file.write(content)
    if sync:
      file.flush()
      os.fsync(file.fileno())


def write_text(path: Any, text: str, sync: bool = False) -> None:
  """Writes text as UTF-8, atomically; see `write_bytes`."""
  write_bytes(path, text.encode(), sync)


def write_json(path: Any, value: Any) -> None:
  """Writes JSON atomically; see `write_bytes`."""
  write_text(path, json.dumps(value, indent=1) + '\n')


def refuse_special(path: Any) -> None:
  """Raises DataError for pipes and devices, which may never end.

  Args:
    path: of a local file that someone else may have made; it may be missing.
  """
  try:
    mode = os.stat(path).st_mode
  except (OSError, ValueError):
    return  # Whoever opens it has a better sentence.
  if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
    raise errors.DataError(
      f'{path} is a pipe or a device, not a file: put the file itself there.'
    )


def read_json(path: str | os.PathLike, kind: type = object) -> Any:
  """The content of a JSON file; None if it does not exist.

  Args:
    path: path of the file.
    kind: what it must hold, such as dict.

  Raises:
    DataError: it is not JSON, or holds something else.
  """
  if not os.path.exists(path):
    return None
  refuse_special(path)
  with as_expected(path), open(path, encoding='utf-8') as file:
    value = json.load(file)
    if not isinstance(value, kind):
      raise ValueError(f'not a {kind.__name__}')
    return value


@contextlib.contextmanager
def as_expected(path: str | os.PathLike) -> Iterator[None]:
  """Raises DataError if what a file of ours holds turns out to be wrong.

  Args:
    path: path of the file, whose content is used inside.
  """
  try:
    yield
  except (
    *(ValueError, KeyError, IndexError, TypeError, AttributeError),
    *(RecursionError, IsADirectoryError),
  ) as error:
    raise errors.DataError(
      f'{path} is damaged ({" ".join(str(error).split())[:200]}): delete it, '
      'and it will be made again when needed.'
    ) from error


def as_json(value: Any) -> Any:
  """A value as it comes back from a JSON file, to compare with one."""
  return json.loads(json.dumps(value))
