"""What the command lines of the benchmarks share."""

import argparse


def positive(text):
  """An int above 0, or an error that argparse reports."""
  if not text.isdecimal() or int(text) < 1:
    raise argparse.ArgumentTypeError(f'{text!r} is not a number above 0')
  return int(text)


def share(text):
  """A float in [0, 1), or an error that argparse reports."""
  try:
    value = float(text)
  except ValueError:
    value = -1.0
  if not 0.0 <= value < 1.0:
    raise argparse.ArgumentTypeError(f'{text!r} is not in [0, 1)')
  return value
