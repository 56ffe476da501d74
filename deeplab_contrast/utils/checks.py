"""Checks of settings, called where an object is made."""

import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from deeplab_contrast.utils import errors

_PATTERN = frozenset('*?[\\')


def whole(values: Mapping[str, Any], least: int) -> None:
  """Refuses values that are not whole numbers >= `least`.

  Args:
    values: {name: value}.
    least: the smallest allowed value.

  Raises:
    ValueError: names the first wrong value.
  """
  for name, value in values.items():
    if type(value) is not int or value < least:
      raise ValueError(
        f'{name} is {value!r}; it must be a whole number'
        f'{" > 0" if least == 1 else f", at least {least}"}.'
      )


def not_negative(values: Mapping[str, Any]) -> None:
  """As `whole`, for numbers >= 0."""
  for name, value in values.items():
    if type(value) not in (int, float) or not value >= 0:
      raise ValueError(f'{name} is {value!r}; it must be a number >= 0.')


def learning_rates(
  rate_at: Callable[[int], float], steps: Iterable[int]
) -> None:
  """Refuses learning rates that are not numbers, or negative.

  Args:
    rate_at: maps a step to its learning rate.
    steps: the steps to check.

  Raises:
    ValueError: a learning rate is wrong.
  """
  # Imported here since --help imports this module.
  import tensorflow as tf

  try:
    lowest = min(map(rate_at, steps))
  except (TypeError, ValueError, tf.errors.OpError) as error:
    raise ValueError(
      'The learning rate is not a number; check LEARNING_RATE and what uses it.'
    ) from error
  if lowest < 0:
    raise ValueError(f'The learning rate is {lowest}; it must be >= 0.')


def place(path: str, flag: str = '--model_dir') -> None:
  """Refuses paths at which checkpoints cannot be saved and found again.

  TensorFlow reads the path of a checkpoint as a pattern: it saves to a folder
  `a[1]`, and then finds nothing there.

  Args:
    path: path of a folder or a checkpoint.
    flag: the name of the setting, for messages.

  Raises:
    ConfigError: it is such a path.
  """
  on_this_machine(path, flag)
  if path.startswith('~'):
    raise errors.ConfigError(
      f'{flag}={path} begins with ~, which is not expanded to your home folder '
      'here; write the whole path.'
    )
  if strange := ' '.join(sorted(_PATTERN.intersection(path))):
    raise errors.ConfigError(
      f'{flag}={path} contains {strange}, which TensorFlow reads as a pattern '
      'when it looks for checkpoints; give another path.'
    )


def on_this_machine(path: str, flag: str) -> None:
  """Raises ConfigError for the address of a remote folder."""
  if '://' in str(path):
    raise errors.ConfigError(
      f'{flag}={path} must be a folder on this machine, such as a mounted one.'
    )


def room(folder: str, needed: float, use: str, remedy: str) -> None:
  """Refuses work that the disk is too small for.

  Args:
    folder: where it would be; may not exist yet.
    needed: bytes.
    use: what needs them, such as 'the prepared images need'.
    remedy: what to do besides making room.

  Raises:
    SystemFault: less is free.
  """
  while not os.path.exists(folder):
    folder = os.path.dirname(folder) or '.'
  free = shutil.disk_usage(folder).free
  if free < needed:
    raise errors.SystemFault(
      f'{folder} has {free / 1e9:.2f} GB free, but {use} some '
      f'{needed / 1e9:.2f} GB: make room, or {remedy}.'
    )


def divides(batch_size: int, replicas: int) -> None:
  """Raises ConfigError if replicas cannot share a batch evenly."""
  if batch_size % replicas:
    raise errors.ConfigError(
      f'Trainer.batch_size {batch_size} is not divisible by the {replicas} '
      'replicas; make it a multiple.'
    )
