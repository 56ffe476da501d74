"""Types of command line arguments, whose errors argparse reports."""

import argparse


def count(text: str) -> int:
  """An int >= 0."""
  if not text.isdecimal():
    raise argparse.ArgumentTypeError(f'{text!r} is not a whole number >= 0')
  return int(text)


def positive(text: str) -> int:
  """An int > 0."""
  if not text.isdecimal() or int(text) < 1:
    raise argparse.ArgumentTypeError(f'{text!r} is not a whole number > 0')
  return int(text)


def share(text: str) -> float:
  """A float in [0, 1)."""
  try:
    value = float(text)
  except ValueError:
    value = -1.0
  if not 0 <= value < 1:
    raise argparse.ArgumentTypeError(f'{text!r} is not a share in [0, 1)')
  return value
