"""Reads `metrics.jsonl`, without TensorFlow; `writers` writes it."""

import json
import os

from deeplab_contrast.utils import run_files


def read(model_dir):
  """The lines of `metrics.jsonl` as dicts; [] when there is no such file."""
  path = os.path.join(model_dir, run_files.METRICS)
  if not os.path.exists(path):
    return []
  return read_lines(path)


def read_lines(path):
  """The lines of such a file that are whole."""
  # Also of one that a disk has damaged: a log must not stop a training.
  with open(path, encoding='utf-8', errors='replace') as f:
    return [line for line in map(_parse, f) if line is not None]


def _parse(line):
  try:
    value = json.loads(line)
  except json.JSONDecodeError:
    return None  # A line cut short by a kill.
  return value if isinstance(value, dict) else None
