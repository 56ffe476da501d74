"""Checkpoints of TensorFlow 1: names and tensors, as tf.train.Saver writes.

Read and written by TensorFlow's own reader and `SaveV2`; no graph is needed.
"""

import dataclasses
import glob
import os
import re
import tempfile
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from deeplab_contrast.training import contents
from deeplab_contrast.utils import errors

_ENDING = re.compile(r'\.(index|meta|data-\d{5}-of-\d{5})$')
_FAULTS = (tf.errors.OpError, IndexError, ValueError, OSError)


@dataclasses.dataclass(frozen=True)
class Source:
  """Named tensors to convert from.

  Attributes:
    path: path of the file, for messages.
    shapes: {original name: shape as a tuple}.
    types: {original name: NumPy dtype}.
    read: maps a name to its array; raises DataError if that is damaged.
    notes: sentences about what the conversion cannot preserve.
  """

  path: str
  shapes: Mapping[str, tuple[int, ...]]
  types: Mapping[str, np.dtype]
  read: Callable[[str], np.ndarray]
  notes: tuple[str, ...] = ()


def open_checkpoint(path: str) -> Source:
  """Opens a checkpoint of format version 1 or 2.

  Args:
    path: its prefix, one of its files, or a folder, for its newest checkpoint.

  Raises:
    ConfigError: there is none, or it is not a TensorFlow 1 checkpoint.
    DataError: it cannot be read.
  """
  path = _prefix(path)
  try:
    reader = tf.train.load_checkpoint(path)
    shapes = reader.get_variable_to_shape_map()
    types = reader.get_variable_to_dtype_map()
  except _FAULTS as error:
    raise _damaged(path, error) from error
  if '_CHECKPOINTABLE_OBJECT_GRAPH' in shapes:
    raise errors.ConfigError(
      f'{path} is a checkpoint of TensorFlow 2 (such as ours), not of '
      'TensorFlow 1; give one that tf.train.Saver wrote.'
    )

  def read(name):
    try:
      return reader.get_tensor(name)
    except _FAULTS as error:
      raise _damaged(path, error) from error

  return Source(
    path,
    {name: tuple(shape) for name, shape in shapes.items()},
    {name: kind.as_numpy_dtype for name, kind in types.items()},
    read,
  )


def write(path: str, tensors: Mapping[str, np.ndarray | np.generic]) -> None:
  """Writes a checkpoint of format version 2, completely or not at all.

  Args:
    path: its prefix.
    tensors: {name: array}.

  Raises:
    SystemFault: it cannot be written.
  """
  folder, base = os.path.split(os.path.abspath(path))
  try:
    os.makedirs(folder, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f'.{base}.', dir=folder) as draft:
      tf.raw_ops.SaveV2(
        prefix=os.path.join(draft, base),
        tensor_names=list(tensors),
        shape_and_slices=[''] * len(tensors),
        tensors=[tf.constant(value) for value in tensors.values()],
      )
      # The index is last: without it there is no checkpoint.
      for name in sorted(os.listdir(draft)):
        os.rename(os.path.join(draft, name), os.path.join(folder, name))
  except (tf.errors.OpError, OSError) as error:
    raise errors.SystemFault(
      f'Cannot write {path}: {contents.first_line(error)}'
    ) from error


def refuse_existing(path: str) -> None:
  """Raises ConfigError if a checkpoint, or a file of one, already exists."""
  found = [path] if os.path.exists(path) else []
  found += sorted(glob.glob(f'{glob.escape(path)}.*'))
  found = [f for f in found if f == path or _ENDING.search(f)]
  if found:
    raise errors.ConfigError(
      f'{found[0]} already exists; give another --checkpoint.'
    )


def _prefix(path):
  """TensorFlow's name of a checkpoint: the common prefix of its files."""
  path = _ENDING.sub('', path)
  if os.path.isdir(path):
    newest = tf.train.latest_checkpoint(path)
    found = sorted(glob.glob(os.path.join(glob.escape(path), '*.index')))
    if newest is None and len(found) == 1:
      newest = _ENDING.sub('', found[0])
    if newest is None:
      raise errors.ConfigError(
        f'The folder {path} does not say which checkpoint is the newest; give '
        'the path of one, without .index.'
      )
    return newest
  if not (os.path.isfile(path) or os.path.isfile(f'{path}.index')):
    raise errors.ConfigError(
      f'There is no checkpoint {path} (no {path}.index); correct --checkpoint.'
    )
  return path


def _damaged(path, error):
  return errors.DataError(
    f'{path} cannot be read as a checkpoint; it is damaged, incomplete or '
    f'a different kind of file: {contents.first_line(error)}'
  )
