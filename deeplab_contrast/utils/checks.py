"""Refuses numbers that make no sense, where an object is made."""

from deeplab_contrast.utils import errors

_PATTERN = frozenset('*?[\\')


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
  # Here, as this module is imported for --help, too.
  import tensorflow as tf

  try:
    lowest = min(map(rate_at, steps))
  except (TypeError, ValueError, tf.errors.OpError) as error:
    raise ValueError(
      'The learning rate is no number; look at LEARNING_RATE and its kin.'
    ) from error
  if lowest < 0:
    raise ValueError(f'The learning rate is {lowest}; it must be >= 0.')


def place(path, flag='--model_dir'):
  """Refuses a place where no checkpoints can be, or none are meant to be.

  TensorFlow reads the path of a checkpoint as a pattern: in a folder `a[1]` it
  saves, and then finds nothing.

  Args:
    path: of a folder, or the path of a checkpoint.
    flag: that gives it.

  Raises:
    ConfigError: it is such a place.
  """
  if '://' in path:
    raise errors.ConfigError(
      f'{flag}={path} must be a folder of this machine, mounted at least.'
    )
  if path.startswith('~'):
    raise errors.ConfigError(
      f'{flag}={path} begins with ~, which is a name like any other here, not '
      'your home; write the whole path.'
    )
  if strange := ' '.join(sorted(_PATTERN.intersection(path))):
    raise errors.ConfigError(
      f'{flag}={path} has {strange} in it, which TensorFlow takes for a '
      'pattern where it looks for checkpoints; give another.'
    )


def divides(batch_size, replicas):
  """Raises ConfigError for a batch that replicas cannot share evenly."""
  if batch_size % replicas:
    raise errors.ConfigError(
      f'Trainer.batch_size {batch_size} does not divide among {replicas} '
      'replicas; make it a multiple.'
    )
