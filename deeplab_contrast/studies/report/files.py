"""Reads the files of runs and studies, and reports which one is damaged."""

import csv
import json
import os
from typing import Any

from deeplab_contrast.config import run_folder
from deeplab_contrast.studies.report.study import Stage
from deeplab_contrast.utils import errors, run_files
from deeplab_contrast.utils import files as files_lib
from deeplab_contrast.utils import metrics as metrics_lib

# As `isinstance` takes it.
Kind = type | tuple[type, ...]

COLUMNS = ('arm', 'labels', 'seed', 'miou')


def metrics(model_dir: str) -> list[dict[str, Any]]:
  """The lines of a run's `metrics.jsonl`; [] where there are none.

  Raises:
    DataError: the file cannot be read.
  """
  path = os.path.join(model_dir, run_files.METRICS)
  try:
    lines = metrics_lib.read(model_dir)
  except (OSError, UnicodeDecodeError) as error:
    raise damaged(path, str(error)) from error
  return [
    line
    for line in lines
    if isinstance(line, dict) and isinstance(line.get('step'), int)
  ]


def config(model_dir: str) -> str:
  """The text of a run's `config.gin`; '' where there is none."""
  try:
    path = run_folder.config_file(model_dir)
    with open(path, encoding='utf-8', errors='replace') as file:
      return file.read()
  except errors.ConfigError:
    return ''


def macros(text: str) -> dict[str, str]:
  """{name: value as text} of the macros of an operative configuration."""
  found = {}
  for line in text.splitlines():
    name, equals, value = line.partition(' = ')
    if equals and name.isidentifier() and name.isupper():
      found[name] = value
  return found


def manifest(stage: Stage) -> dict[str, Any] | None:
  """The `manifest.json` of a pseudo-labelling stage, or None.

  Raises:
    DataError: it is damaged.
  """
  path = os.path.join(stage.model_dir, run_files.MANIFEST)
  if not os.path.exists(path):
    return None
  found = read_json(path)
  for key in ('thresholds', 'coverage'):
    if not isinstance(found.get(key), dict):
      raise damaged(path, f'{key!r} is not a dict of classes')
  agreement = found.get('agreement')
  if agreement is not None and not isinstance(agreement, dict):
    raise damaged(path, f"'agreement' is {agreement!r}")
  return found


def result(model_dir: str, where: str) -> dict[str, Any]:
  """The dict of a run's evaluation.

  Args:
    model_dir: the run's folder.
    where: what refers to the run, for messages.

  Raises:
    DataError: it was not evaluated, or the file is damaged.
  """
  path = os.path.join(model_dir, run_files.RESULTS)
  if not os.path.exists(path):
    raise errors.DataError(
      f'{where} names the run {model_dir}, which has no '
      f'{run_files.RESULTS}; run '
      f'python -m deeplab_contrast.eval --model_dir={model_dir}, or the study '
      'again.'
    )
  found = read_json(path)
  for key, kind in {'iou': dict, 'colors': dict, 'matrix': list}.items():
    get(found, key, kind, path)
  get(found, 'miou', (float, int, type(None)), path)
  get(found, 'dataset', str, path)
  classes = len(found['iou'])
  sizes = {len(row) for row in found['matrix']} | {len(found['matrix'])}
  if sizes != {classes} or list(found['colors']) != list(found['iou']):
    raise damaged(path, 'iou, colors and matrix are not of the same classes')
  return found


def table(path: str) -> dict[tuple[str, int, int], float | None]:
  """{(arm, labels, seed): mIoU or None} of a study's table.

  Raises:
    DataError: it is damaged.
  """
  files_lib.refuse_special(path)
  try:
    with open(path, encoding='utf-8', newline='') as file:
      rows = list(csv.DictReader(file, strict=True))
  except (OSError, UnicodeDecodeError, csv.Error) as error:
    raise damaged(path, str(error)) from error
  found: dict[tuple[str, int, int], float | None] = {}
  for number, row in enumerate(rows, start=2):
    try:
      if None in row or None in row.values():
        raise ValueError('wrong number of cells')
      key = row['arm'], int(row['labels']), int(row['seed'])
      found[key] = None if row['miou'] == '' else float(row['miou'])
    except (KeyError, TypeError, ValueError) as error:
      raise damaged(
        path, f'line {number} lacks a proper {", ".join(COLUMNS)}'
      ) from error
  return found


def read_json(path: str) -> dict[str, Any]:
  """The dict that a JSON file holds.

  Raises:
    DataError: it is damaged, or holds something else.
  """
  files_lib.refuse_special(path)
  try:
    with open(path, encoding='utf-8') as file:
      found = json.load(file)
  except (OSError, ValueError, RecursionError) as error:
    raise damaged(path, str(error)) from error
  if not isinstance(found, dict):
    raise damaged(path, f'it is a {type(found).__name__}, not a dict')
  return found


def get(values: Any, key: str, kind: Kind, where: str) -> Any:
  """The value of a key.

  Args:
    values: the dict that should hold it.
    key: its key.
    kind: a type or several; bool does not count as int.
    where: file, or place in it, for messages.

  Raises:
    DataError: it is missing or of a different type.
  """
  found = values.get(key) if isinstance(values, dict) else None
  missing = not isinstance(values, dict) or key not in values
  if missing or not isinstance(found, kind) or isinstance(found, bool):
    why = 'is missing' if missing else f'is {found!r}'
    raise damaged(where, f'{key!r} {why}')
  return found


def optional(values: Any, key: str, kind: Kind, where: str) -> Any:
  """As `get`, but None where the key is missing or null."""
  if isinstance(values, dict) and values.get(key) is None:
    return None
  return get(values, key, kind, where)


def damaged(where: str, why: str) -> errors.DataError:
  """The `DataError` that names a damaged file."""
  return errors.DataError(
    f'{where} is damaged ({why}); run the command that wrote it again, or fix '
    'it.'
  )
