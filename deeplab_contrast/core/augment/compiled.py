"""Compiles chains of pixel operations with XLA where that is faster.

TensorFlow runs such a chain op by op, each one a pass over memory; XLA fuses it
into one loop. But XLA compiles again for every shape, a few tenths of a second
each time, so small images and eager calls run op by op: the same numbers, up to
rounding.
"""

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

# At 513 x 513, compiling pays off after 100 images.
LEAST_PIXELS = 256 * 256


def pays(height: int | None, width: int | None) -> bool:
  """Whether to compile for images of this size (None if unknown)."""
  if tf.executing_eagerly() or height is None or width is None:
    return False
  return height * width >= LEAST_PIXELS


def call(
  function: Callable[..., Any], is_compiled: bool, *arguments: Any
) -> Any:
  """Runs a module-level function, compiled or op by op.

  Args:
    function: maps tensors to tensors; has no settings.
    is_compiled: bool, see `pays`. Compilation happens at run time, for every
      new shape of the arguments.
    *arguments: tensors, or nested tuples of them.

  Returns:
    The function's result.
  """
  return (_compiled(function) if is_compiled else function)(*arguments)


@functools.cache
def _compiled(function):
  return tf.function(function, jit_compile=True, autograph=False)
