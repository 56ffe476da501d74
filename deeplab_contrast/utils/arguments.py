"""Types of command line arguments, for argparse to report."""

import argparse


def count(text):
  """An int from 0 on."""
  if not text.isdecimal():
    raise argparse.ArgumentTypeError(f'{text!r} is not a number from 0 on')
  return int(text)


def positive(text):
  """An int above 0."""
  if not text.isdecimal() or int(text) < 1:
    raise argparse.ArgumentTypeError(f'{text!r} is not a number above 0')
  return int(text)


def share(text):
  """A float in [0, 1)."""
  try:
    value = float(text)
  except ValueError:
    value = -1.0
  if not 0 <= value < 1:
    raise argparse.ArgumentTypeError(f'{text!r} is not a share from 0 to 1')
  return value
