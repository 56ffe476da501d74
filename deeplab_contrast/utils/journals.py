"""Results stored line by line, so that a killed job need not repeat them."""

import contextlib
import json
import os
import time
from typing import Any, BinaryIO

from absl import logging

# Seconds between writing through to the disk.
_FLUSH_EVERY = 0.2


class Journal:
  """A file of JSON lines [key, value]; a context that closes it.

  A line that was cut off by a kill, or is not JSON, is ignored. If the file
  cannot be written (a read-only or remote folder, a full disk), nothing is
  stored, which costs only time.

  Attributes:
    known: {key: value} of earlier runs.

  Args:
    path: a local file, made with its folder; None stores nothing.
  """

  def __init__(self, path: str | os.PathLike | None):
    self._path = None if path is None or '://' in str(path) else str(path)
    self._file: BinaryIO | None = None
    self._flushed = 0.0
    self.known: dict[str, Any] = {}

  def __enter__(self) -> 'Journal':
    if self._path is not None:
      self.known = _read(self._path)
      with self._trying():
        self._file = _open(self._path)
    return self

  def __exit__(self, *_):
    if self._file is not None:
      with self._trying():
        self._file.close()

  def write(self, key: str, value: Any) -> None:
    """Stores a value that JSON can hold."""
    if self._file is None:
      return
    with self._trying():
      self._file.write((json.dumps([key, value]) + '\n').encode())
      now = time.monotonic()
      if now - self._flushed > _FLUSH_EVERY:
        self._file.flush()
        self._flushed = now

  @contextlib.contextmanager
  def _trying(self):
    try:
      yield
    except OSError as error:
      logging.warning('%s is not stored: %s', self._path, error.strerror)
      self._file = None


def _open(path: str) -> BinaryIO:
  os.makedirs(os.path.dirname(path), exist_ok=True)
  file = open(path, 'a+b')  # noqa: SIM115
  if file.tell():
    # Ends a line that a kill has cut off.
    file.seek(-1, os.SEEK_END)
    if file.read(1) != b'\n':
      file.write(b'\n')
  return file


def _read(path):
  if not os.path.isfile(path):  # Or a device that never ends.
    return {}
  try:
    with open(path, 'rb') as file:
      lines = file.read().splitlines()
  except OSError:
    return {}
  known = {}
  for line in lines:
    try:
      key, value = json.loads(line)
      known[key] = value
    except (ValueError, TypeError):
      continue
  return known
