"""Checks of settings that several transforms have."""

from deeplab_contrast.utils import errors


def height_and_width(name, size):
  """The (height, width) that one or two ints stand for; else ConfigError."""
  pair = (size, size) if isinstance(size, int) else size
  valid = (
    isinstance(pair, (tuple, list))
    and len(pair) == 2
    and all(type(side) is int and side > 0 for side in pair)
  )
  if not valid:
    raise errors.ConfigError(
      f'{name}.size must be one positive int or two (height, width): got '
      f'{size!r}.'
    )
  return tuple(pair)


def check_probability(name, value):
  """ConfigError unless the value lies between 0 and 1."""
  if not 0 <= value <= 1:
    raise errors.ConfigError(f'{name} must lie between 0 and 1: got {value}.')
