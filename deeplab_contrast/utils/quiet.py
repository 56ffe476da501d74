"""Keeps the output of libraries out of our messages."""

import contextlib
import os
import sys
from collections.abc import Iterator

from absl import logging


@contextlib.contextmanager
def no_stderr() -> Iterator[None]:
  """Drops all output to stderr while inside, including that of C++ code.

  TensorFlow prints lines about processors and CUDA drivers before its log level
  can be set. Exceptions are not affected.
  """
  sys.stderr.flush()
  kept = os.dup(2)
  try:
    with open(os.devnull, 'w') as nowhere:
      os.dup2(nowhere.fileno(), 2)
    yield
  finally:
    os.dup2(kept, 2)
    os.close(kept)


def warnings_only() -> None:
  """Limits absl's log to warnings that matter to the user."""
  logging.set_verbosity(logging.WARNING)
  logging.get_absl_logger().addFilter(
    lambda record: 'custom data configuration' not in record.getMessage()
  )
