"""The contents of a checkpoint: names, shapes and parts of a network."""

import glob
import re
from collections.abc import Iterable, Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf

from deeplab_contrast.utils import errors, files

PARTS = ('backbone', 'trunk', 'head')

_STEP = 'step/.ATTRIBUTES/VARIABLE_VALUE'


# The name of every `DeepLab`; the paths of its variables begin with it.
_MODEL = 'deeplab'


def name_of(path: str, owner: str = _MODEL) -> str:
  """The name of a variable in checkpoints: its path below its owner.

  Keras may number the owner's name per process. Layers that were built before
  they became part of a network (a functional model as backbone) have paths that
  do not begin with it.
  """
  return path.removeprefix(f'{owner}/')


def names(variables: Iterable[keras.Variable]) -> dict[str, str]:
  """{path of a variable of a `DeepLab`: its name in checkpoints}, in order."""
  return {v.path: name_of(v.path) for v in variables}


def by_path(
  variables: Sequence[keras.Variable], owner: str = _MODEL
) -> dict[str, tf.Variable]:
  """{name: variable}, seed states included.

  Given a Keras object instead, tf.train.Checkpoint silently leaves out all
  layers kept in lists, and the seed states (keras#19796).

  Args:
    variables: variables of a `DeepLab`, a part of it, or an optimizer.
    owner: the name of the optimizer.

  Raises:
    ConfigError: several variables have the same name.
  """
  called = [name_of(v.path, owner) for v in variables]
  named = dict(zip(called, (v.value for v in variables), strict=True))
  if len(named) != len(variables):
    twice = sorted(name for name in named if called.count(name) > 1)
    raise errors.ConfigError(
      'Several layers of the network share a name, so checkpoints could not '
      f'tell their weights apart ({", ".join(twice[:5])}); rename them.'
    )
  return named


class Unreadable(Exception):
  """A checkpoint's files are damaged or incomplete."""


def key(name: str, of: str = 'model') -> str:
  """The key of a model's variable, or of its 'average', in a checkpoint."""
  # As TensorFlow escapes the keys of a dict.
  escaped = name.replace('.', '..').replace('/', '.S')
  return f'{of}/{escaped}/.ATTRIBUTES/VARIABLE_VALUE'


def stored_shapes(path: str) -> dict[str, list[int]]:
  """{key: shape} of a checkpoint.

  Raises:
    DataError: one of its files is a pipe or a device.
    Unreadable: they are damaged or incomplete.
  """
  for name in (path, *glob.glob(f'{glob.escape(path)}.*')):
    files.refuse_special(name)
  try:
    return tf.train.load_checkpoint(path).get_variable_to_shape_map()
  except (tf.errors.OpError, IndexError, ValueError) as e:
    raise Unreadable(first_line(e)) from e


def averaged(path: str, names: Iterable[str]) -> set[str]:
  """The variables whose moving averages a checkpoint holds.

  Args:
    path: path of a checkpoint.
    names: names of variables of the model.

  Returns:
    A set of names.
  """
  stored = stored_shapes(path)
  return {name for name in names if key(name, 'average') in stored}


def check_shapes(
  path: str,
  variables: Mapping[str, tf.Variable],
  stored: Mapping[str, Sequence[int]],
) -> None:
  """Raises ConfigError if a variable is absent or has a different shape."""
  for name, variable in variables.items():
    shape = stored.get(key(name))
    if shape is None or tuple(shape) != tuple(variable.shape):
      there = 'absent' if shape is None else f'of shape {tuple(shape)}'
      raise errors.ConfigError(
        f'{path} belongs to another network: {name} is {there} there, of shape '
        f'{tuple(variable.shape)} here. Use the gin file it was trained with, '
        'or another --model_dir; a new training can start from its trunk: '
        '--gin_file=gin_configs/tasks/warm_start.gin.'
      )


def check_training_state(path: str) -> None:
  """Raises ConfigError if there are only weights to resume from."""
  if _STEP not in stored_shapes(path):
    raise errors.ConfigError(
      f'{path} holds only weights, no training to resume; train in another '
      '--model_dir and start from this one with --gin_file='
      'gin_configs/tasks/warm_start.gin.'
    )


def check_whole(
  path: str, variables: Mapping[str, tf.Variable], model: keras.Model
) -> None:
  """Raises ConfigError unless a checkpoint holds exactly the whole network.

  Converted weights of ImageNet, for example, hold only the backbone.
  """
  stored = stored_shapes(path)
  known = {key(name) for name in variables}
  unused = sorted(
    k for k in stored if k.startswith('model/') and k not in known
  )
  if unused and not known - set(stored):
    name = unused[0].split('/')[1].replace('.S', '/').replace('..', '.')
    raise errors.ConfigError(
      f'{path} belongs to another network: it also has {name} and '
      f'{len(unused) - 1} more. Use the gin file it was trained with.'
    )
  held = _held(stored, model)
  absent = [name for name in variables if key(name) not in stored]
  if absent and held and _STEP not in stored:
    raise errors.ConfigError(
      f'{path} holds only the {" and ".join(held)}, not {absent[0]} and '
      f'{len(absent) - 1} more; a training can start from it '
      f'(WarmStart.parts = {held[-1:]!r}), but it is not a whole network.'
    )


def check_part(
  path: str,
  part: str,
  variables: Mapping[str, tf.Variable],
  model: keras.Model,
) -> None:
  """Raises ConfigError if a checkpoint lacks a part, or its shapes differ."""
  stored = stored_shapes(path)
  absent = [name for name in variables if key(name) not in stored]
  if absent:
    held = _held(stored, model)
    advice = 'It belongs to another network; use the gin file of that run.'
    if not any(k.startswith('model/') for k in stored):
      advice = (
        'It is not a checkpoint of this project; python -m '
        'deeplab_contrast.convert import makes a run of one of TensorFlow 1.'
      )
    if held:
      advice = f'Of this network it has {", ".join(held)}; use only those.'
    raise errors.ConfigError(
      f'WarmStart.parts names {part!r}, but {path} lacks {len(absent)} of its '
      f'{len(variables)} variables, such as {absent[0]}. {advice}'
    )
  if part == 'head':
    advice = (
      "For different classes leave out the head: WarmStart.parts = ('trunk',)."
    )
  else:
    advice = 'Use the network of that run.'
  for name, variable in variables.items():
    there, here = tuple(stored[key(name)]), tuple(variable.shape)
    if there != here:
      raise errors.ConfigError(
        f'The {part} of {path} has a different size: {name} has shape {there} '
        f'there, {here} here. {advice}'
      )


def check_finite(path: str, arrays: Mapping[str, np.ndarray]) -> None:
  """Raises ConfigError for weights that are NaN or infinite."""
  broken = [n for n, value in arrays.items() if not np.isfinite(value).all()]
  if broken:
    raise errors.ConfigError(
      f'{path} holds values that are NaN or infinite, in {broken[0]} '
      f'({len(broken)} variables in all); use another checkpoint.'
    )


def _held(stored, model):
  """The parts that a checkpoint holds completely, as a tuple."""
  return tuple(
    part
    for part in PARTS
    if all(key(n) in stored for n in by_path(part_of(model, part).variables))
  )


def part_of(model: keras.Model, name: str) -> keras.layers.Layer:
  """The layer of a part of a `DeepLab`; ConfigError if unknown."""
  parts = {
    'backbone': model.trunk.backbone,
    'trunk': model.trunk,
    'head': model.head,
  }
  if name not in parts:
    raise errors.ConfigError(
      f'WarmStart.parts names {name!r}; known: {", ".join(parts)}.'
    )
  return parts[name]


def first_line(error: BaseException) -> str:
  """The first line of an error's text, as a sentence."""
  # Without the place in TensorFlow's graph, which does not help a user.
  text = re.sub(r'\{\{function_node .*?\}\} ?| \[Op:\w+\]', '', str(error))
  return text.strip().split('\n')[0][:300].rstrip('.') + '.'
