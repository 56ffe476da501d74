"""Two folders of runs, compared file by file, but for what clocks wrote."""

import json
import os
import pathlib

from deeplab_contrast.utils import metrics, run_files

# Times of day, speeds and logs of processes.
_CLOCKS = {'images_per_second', 'data_wait', 'minutes', 'commit'}
_LEFT_OUT = {run_files.STUDY_TIMES, run_files.STUDY_TABLE, '.lock'}
_FOLDERS_LEFT_OUT = {run_files.TENSORBOARD, run_files.SHARDS, 'logs'}


def differences(expected, actual):
  """What differs between two folders.

  Checkpoints are compared variable by variable, bit by bit; JSON without the
  values that a clock determines; all other files byte by byte.

  Args:
    expected: a folder.
    actual: another one.

  Returns:
    A sentence for each difference; [] if there is none.
  """
  expected, actual = pathlib.Path(expected), pathlib.Path(actual)
  before, after = _files(expected), _files(actual)
  found = [f'{name} is missing' for name in sorted(before - after)]
  found += [f'{name} is too much' for name in sorted(after - before)]
  for name in sorted(before & after):
    found += _compare(name, expected / name, actual / name)
  return found


def count(folder):
  """How many files of each kind are compared: {kind: number}."""
  kinds = ('checkpoints', 'label PNGs', 'other files')
  found = dict.fromkeys(kinds, 0)
  for name in _files(pathlib.Path(folder)):
    kind = 'other files'
    if name.endswith('.index'):
      kind = 'checkpoints'
    elif f'/{run_files.LABELS}/' in name:
      kind = 'label PNGs'
    found[kind] += 1
  return found


def _files(folder):
  """The names of the files to compare; a checkpoint is its index."""
  return {
    str(path.relative_to(folder))
    for path in folder.rglob('*')
    if path.is_file()
    and path.name not in _LEFT_OUT
    and _FOLDERS_LEFT_OUT.isdisjoint(path.relative_to(folder).parts)
    and '.data-' not in path.name
  }


def _compare(name, expected, actual):
  if name.endswith('.index'):
    return [f'{name}: {fault}' for fault in _variables(expected, actual)]
  if name.endswith('.jsonl'):
    pair = [
      list(map(_timeless, metrics.read_lines(p))) for p in (expected, actual)
    ]
  elif name.endswith('.json'):
    pair = [_timeless(json.loads(p.read_text())) for p in (expected, actual)]
  else:
    pair = [p.read_bytes() for p in (expected, actual)]
  return [] if pair[0] == pair[1] else [f'{name} differs']


def _timeless(value):
  """JSON without the values of clocks."""
  if isinstance(value, dict):
    return {k: _timeless(v) for k, v in value.items() if k not in _CLOCKS}
  return [_timeless(v) for v in value] if isinstance(value, list) else value


def _variables(expected, actual):
  """Yields the variables of two checkpoints that differ."""
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
  import tensorflow as tf

  try:
    old, new = (
      tf.train.load_checkpoint(str(path).removesuffix('.index'))
      for path in (expected, actual)
    )
    shapes = old.get_variable_to_shape_map()
    if shapes != new.get_variable_to_shape_map():
      yield 'other variables or shapes'
      return
    for key in sorted(shapes):
      if _bits(old.get_tensor(key)) != _bits(new.get_tensor(key)):
        yield f'{key} differs'
  except (tf.errors.OpError, IndexError, ValueError, RuntimeError) as error:
    yield f'unreadable ({str(error).splitlines()[0][:100]})'


def _bits(value):
  """A tensor as bytes: as numbers, 0.0 == -0.0, and NaN != NaN."""
  return value if isinstance(value, bytes) else value.tobytes()
