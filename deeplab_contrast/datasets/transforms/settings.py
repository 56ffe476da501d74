"""Checks of settings that several transforms share."""

from typing import Any

from deeplab_contrast.utils import errors


def height_and_width(name: str, size: Any) -> tuple[int, int]:
  """The (height, width) that one or two ints stand for; else ConfigError."""
  pair = (size, size) if isinstance(size, int) else size
  is_valid = (
    isinstance(pair, (tuple, list))
    and len(pair) == 2
    and all(type(side) is int and side > 0 for side in pair)
  )
  if not is_valid:
    raise errors.ConfigError(
      f'{name}.size must be one positive int or two (height, width): got '
      f'{size!r}.'
    )
  height, width = pair
  return height, width


def check_probability(name: str, value: float) -> None:
  """ConfigError unless the value is between 0 and 1."""
  if not 0 <= value <= 1:
    raise errors.ConfigError(f'{name} must be from 0 to 1: got {value}.')
