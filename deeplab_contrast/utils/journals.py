"""Results kept line by line, so that work that was killed is not repeated."""

import json
import os
import time

from absl import logging

# Seconds between writing through to the disk.
_FLUSH_EVERY = 0.2


class Journal:
  """A file of JSON lines [key, value]; a context that closes it.

  A line that was cut off by a kill, or is no JSON, is as if it were not there.
  Where the file cannot be written (a read-only or remote folder, a full disk)
  nothing is kept, which costs only time.

  Attributes:
    known: {key: value} of what earlier runs wrote.

  Args:
    path: a local file, made with its folder; None keeps nothing.
  """

  def __init__(self, path):
    self._path = None if path is None or '://' in str(path) else str(path)
    self._file = None
    self._flushed = 0.0
    self.known = {}

  def __enter__(self):
    if self._path is not None:
      self.known = _read(self._path)
      self._try(self._open)
    return self

  def __exit__(self, *_):
    if self._file is not None:
      self._try(self._file.close)

  def write(self, key, value):
    """Keeps a value that JSON can hold under a str."""
    if self._file is not None:
      self._try(self._write, json.dumps([key, value]) + '\n')

  def _open(self):
    os.makedirs(os.path.dirname(self._path), exist_ok=True)
    self._file = open(self._path, 'a+b')  # noqa: SIM115
    if self._file.tell():
      # Ends a line that a kill has cut off.
      self._file.seek(-1, os.SEEK_END)
      if self._file.read(1) != b'\n':
        self._file.write(b'\n')

  def _write(self, line):
    self._file.write(line.encode())
    now = time.monotonic()
    if now - self._flushed > _FLUSH_EVERY:
      self._file.flush()
      self._flushed = now

  def _try(self, function, *arguments):
    try:
      function(*arguments)
    except OSError as error:
      logging.warning('%s is not kept: %s', self._path, error.strerror)
      self._file = None


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
