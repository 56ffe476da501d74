"""What the command lines of the benchmarks share."""

import argparse


def positive(text):
  """An int above 0, or an error that argparse reports."""
  if not text.isdecimal() or int(text) < 1:
    raise argparse.ArgumentTypeError(f'{text!r} is not a number above 0')
  return int(text)
