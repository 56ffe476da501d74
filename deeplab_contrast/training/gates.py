"""Ends the reading of a stream of data when its training ends."""

import contextlib

import numpy as np
import tensorflow as tf


class Gate:
  """Ends the reading of a stream, however its training ended.

  An iterator that is dropped while Python code reads for it waits for that code
  with the lock that the code waits for.
  """

  def __init__(self):
    self._open = True

  def is_open(self):
    """Whether more is to be read."""
    return np.bool_(self._open)

  @contextlib.contextmanager
  def drained(self, batches):
    """Reads `batches` to their end on the way out."""
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
