"""Compiles chains of pixel operations by XLA where that pays.

TensorFlow runs such a chain op by op, each of them a pass over memory; XLA
makes one loop of it. But it compiles anew for every shape, some tenths of a
second each time, so small images and eager calls run op by op: the same
numbers, up to rounding.
"""

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

# From this many pixels on: at 513 x 513 compiling has paid after 100 images.
LEAST_PIXELS = 256 * 256


def pays(height: int | None, width: int | None) -> bool:
  """Whether to compile for images of a size (None where it is not known)."""
  if tf.executing_eagerly() or None in (height, width):
    return False
  return height * width >= LEAST_PIXELS


def call(
  function: Callable[..., Any], is_compiled: bool, *arguments: Any
) -> Any:
  """Runs `function`, a module level one without settings, in either way.

  Args:
    function: of tensors to tensors.
    is_compiled: bool, see `pays`. If so, it compiles for every new shape of the
      arguments, at run time.
    *arguments: tensors, or nested tuples of them.

  Returns:
    What the function returns.
  """
  return (_compiled(function) if is_compiled else function)(*arguments)


@functools.cache
def _compiled(function):
  return tf.function(function, jit_compile=True, autograph=False)
