"""Reads `metrics.jsonl`, without TensorFlow; `writers` writes it."""

import json
import os
from typing import Any

from deeplab_contrast.utils import files, run_files


def read(model_dir: str | os.PathLike) -> list[dict[str, Any]]:
  """The lines of `metrics.jsonl` as dicts; [] if there is no such file."""
  path = os.path.join(model_dir, run_files.METRICS)
  files.refuse_special(path)
  if not os.path.isfile(path):
    return []
  return read_lines(path)


def read_lines(path: str | os.PathLike) -> list[dict[str, Any]]:
  """The complete lines of such a file."""
  # A damaged log must not stop a training, so what is damaged is left out.
  with open(path, encoding='utf-8', errors='replace') as f:
    return [line for line in map(_parse, f) if line is not None]


def _parse(line):
  try:
    value = json.loads(line)
  except (ValueError, RecursionError):
    return None  # A line cut short by a kill.
  return value if isinstance(value, dict) else None
