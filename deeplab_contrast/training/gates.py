"""Stops reading a stream of data when its training ends."""

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf


class Gate:
  """Stops reading a stream, no matter how its training ends.

  Otherwise there may be a deadlock: an iterator that is deleted while Python
  code reads for it waits for that code, and holds the lock the code needs.
  """

  def __init__(self):
    self._open = True

  def is_open(self) -> np.bool_:
    """Whether to read more."""
    return np.bool_(self._open)

  @contextlib.contextmanager
  def drained(self, batches: Iterator[Any]) -> Iterator[None]:
    """Reads `batches` to their end when the block ends."""
    try:
      yield
    finally:
      self._open = False
      while True:
        try:
          next(batches)
        except (StopIteration, tf.errors.OutOfRangeError):
          break
        except tf.errors.OpError:
          continue  # It has been reported, or no longer matters.
