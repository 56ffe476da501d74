"""Refuses numbers that make no sense, where an object is made."""

import tensorflow as tf

from deeplab_contrast.utils import errors


def whole(values, least):
  """Refuses what is no whole number of at least `least`.

  Args:
    values: {name: value}.
    least: int.

  Raises:
    ValueError: names the first that is wrong.
  """
  for name, value in values.items():
    if type(value) is not int or value < least:
      raise ValueError(
        f'{name} is {value!r}; it must be a whole number'
        f'{" > 0" if least == 1 else f", at least {least}"}.'
      )


def not_negative(values):
  """Likewise for numbers that are to be 0 or more."""
  for name, value in values.items():
    if type(value) not in (int, float) or not value >= 0:
      raise ValueError(f'{name} is {value!r}; it must be a number >= 0.')


def learning_rates(rate_at, steps):
  """Refuses learning rates that are no numbers, or negative.

  Args:
    rate_at: maps a step to its learning rate.
    steps: to look at.

  Raises:
    ValueError: one is wrong.
  """
  try:
    lowest = min(map(rate_at, steps))
  except (TypeError, ValueError, tf.errors.OpError) as error:
    raise ValueError(
      'The learning rate is no number; look at LEARNING_RATE and its kin.'
    ) from error
  if lowest < 0:
    raise ValueError(f'The learning rate is {lowest}; it must be >= 0.')


def divides(batch_size, replicas):
  """Raises ConfigError for a batch that replicas cannot share evenly."""
  if batch_size % replicas:
    raise errors.ConfigError(
      f'Trainer.batch_size {batch_size} does not divide among {replicas} '
      'replicas; make it a multiple.'
    )
