"""Checkpoints: atomic, verified, newest good one first; and warm starts."""

import dataclasses
import glob
import os
import re
import shutil

import tensorflow as tf
from absl import logging

from deeplab_contrast.utils import averages, errors

FOLDER = 'checkpoints'


class Checkpoints:
  """The checkpoints of one run, with everything an exact resume needs.

  Args:
    model_dir: the run's folder; checkpoints go to `model_dir/checkpoints`.
    model: a built Keras model.
    optimizer: its built optimizer.
    step: int64 variable, the number of steps done.
    keep: how many of the newest to keep.
  """

  def __init__(self, model_dir, model, optimizer, step, keep=3):
    self._variables = _by_path(model.variables)
    self._checkpoint = tf.train.Checkpoint(
      model=self._variables,
      optimizer=_by_path(optimizer.variables),
      step=step,
      **_averages(averages.of(optimizer, model)),
    )
    self._step = step
    self._folder = os.path.join(model_dir, FOLDER)
    self._manager = tf.train.CheckpointManager(
      self._checkpoint, self._folder, max_to_keep=keep, checkpoint_name='ckpt'
    )

  def save(self):
    """Saves under the number of the current step; returns the path.

    Raises:
      SystemFault: when it cannot be written; older checkpoints stay.
    """
    try:
      return self._manager.save(checkpoint_number=_number(self._step))
    except (tf.errors.OpError, OSError) as e:
      free = shutil.disk_usage(os.path.dirname(self._folder)).free
      raise errors.SystemFault(
        f'Cannot write a checkpoint to {self._folder} '
        f'({free / 2**20:.0f} MiB free): {_first_line(e)} Make room or choose '
        'another --model_dir; the checkpoints before it are still good.'
      ) from e

  def restore(self):
    """Restores the newest checkpoint that can be read.

    Returns:
      Its path, or None when there is none at all.

    Raises:
      SystemFault: when there are checkpoints, but none can be read.
      ConfigError: when a checkpoint belongs to another network.
    """
    _sweep(self._folder)
    paths = list_checkpoints(self._folder)
    for path in paths:
      try:
        _restore(self._checkpoint, path, self._variables, exact=True)
      except _Unreadable as e:
        logging.warning('%s cannot be read (%s); trying an older one.', path, e)
        continue
      return path
    if paths:
      raise errors.SystemFault(
        f'None of the checkpoints can be read: {", ".join(paths)}. Remove '
        f'{self._folder} to start this run from its beginning.'
      )
    return None


@dataclasses.dataclass(frozen=True)
class WarmStart:
  """Starts a network from parts of another run's.

  Attributes:
    path: a model_dir (its newest checkpoint is taken) or a checkpoint's path.
    parts: what to take over: 'backbone', 'trunk' (all but the head) or 'head'.
  """

  path: str
  parts: tuple[str, ...] = ('trunk',)

  def __call__(self, model):
    """Restores the parts; returns the path of the checkpoint used.

    Raises:
      ConfigError: when there is no checkpoint, or its shapes differ.
      SystemFault: when it cannot be read.
    """
    path = self._find()
    variables = [v for part in self.parts for v in _part(model, part).variables]
    named = _by_path(variables)
    try:
      _restore(tf.train.Checkpoint(model=named), path, named, exact=False)
    except _Unreadable as e:
      raise errors.SystemFault(f'{path} cannot be read: {e}') from e
    return path

  def _find(self):
    if tf.io.gfile.exists(self.path + '.index'):
      return self.path
    paths = list_checkpoints(os.path.join(self.path, FOLDER))
    if not paths:
      raise errors.ConfigError(
        f'WarmStart.path {self.path!r} is neither a checkpoint nor a model_dir '
        'that holds one; train that stage first, or correct the path.'
      )
    return paths[0]


def restore_model(model_dir, model, averaged=False):
  """Restores the whole model from the newest readable checkpoint of a run.

  Args:
    model_dir: the run's folder.
    model: a built Keras model.
    averaged: takes the averaged weights of trainable variables.

  Returns:
    (path, step) of the checkpoint used.

  Raises:
    ConfigError: when the folder holds no checkpoint, or another network's.
    SystemFault: when none can be read.
  """
  paths = list_checkpoints(os.path.join(model_dir, FOLDER))
  if not paths:
    raise errors.ConfigError(
      f'{model_dir} holds no checkpoint; train it first with '
      f'python -m deeplab_contrast.train --model_dir={model_dir}.'
    )
  named = _by_path(model.variables)
  for path in paths:
    try:
      _restore(tf.train.Checkpoint(model=named), path, named, exact=False)
      if averaged:
        _restore_averages(path, model.trainable_variables)
    except _Unreadable as e:
      logging.warning('%s cannot be read (%s); trying an older one.', path, e)
      continue
    return path, step_of(path)
  raise errors.SystemFault(f'None can be read of: {", ".join(paths)}.')


def list_checkpoints(folder):
  """Paths of the complete checkpoints of a folder, newest (by step) first."""
  found = tf.io.gfile.glob(os.path.join(folder, 'ckpt-*.index'))
  paths = [p.removesuffix('.index') for p in found]
  return sorted(
    (p for p in paths if re.search(r'ckpt-\d+$', p)), key=step_of, reverse=True
  )


def step_of(path):
  """The step in the name of a checkpoint: 300 for `.../ckpt-300`."""
  return int(path.rsplit('-', 1)[1])


def _by_path(variables):
  """{path: tf.Variable}, seed states included.

  Handed a Keras object instead, tf.train.Checkpoint silently leaves out all
  layers kept in lists, and the seed states (keras#19796).
  """
  # The first part is the object's own name, which Keras numbers per process.
  named = {v.path.partition('/')[2]: v.value for v in variables}
  if len(named) != len(variables):
    paths = [v.path for v in variables]
    twice = sorted({p for p in paths if paths.count(p) > 1})
    raise ValueError(f'Several variables share a path: {twice[:5]}.')
  return named


class _Unreadable(Exception):
  """A checkpoint's files are damaged or incomplete."""


def _restore(checkpoint, path, variables, exact):
  """Restores all of `checkpoint`, of whose model `variables` are a part."""
  try:
    _check_shapes(path, variables)
    status = checkpoint.restore(path)
    status.assert_existing_objects_matched()
    if exact:
      status.assert_consumed()
    else:
      status.expect_partial()
  except (tf.errors.OpError, IndexError) as e:
    # A short data file surfaces as an IndexError of the reader.
    raise _Unreadable(_first_line(e)) from e
  except (ValueError, AssertionError) as e:
    raise errors.ConfigError(
      f'{path} belongs to another network or optimizer: {_first_line(e)} Use '
      'the gin file it was trained with, or another --model_dir.'
    ) from e


def _averages(named):
  """The averages as a part of a checkpoint; none without an average."""
  if not named:
    return {}
  return {
    'average': {
      path.partition('/')[2]: average.value for path, average in named.items()
    }
  }


def _restore_averages(path, variables):
  """Gives variables the averages that a checkpoint holds of them."""
  status = tf.train.Checkpoint(average=_by_path(variables)).read(path)
  try:
    status.assert_existing_objects_matched()
  except AssertionError as e:
    raise errors.ConfigError(
      f'{path} holds no averaged weights; it was trained without use_ema.'
    ) from e
  status.expect_partial()


def _check_shapes(path, variables):
  """Names the first variable that the checkpoint lacks or has otherwise."""
  stored = tf.train.load_checkpoint(path).get_variable_to_shape_map()
  for name, variable in variables.items():
    # As TensorFlow escapes the keys of a dict.
    escaped = name.replace('.', '..').replace('/', '.S')
    shape = stored.get(f'model/{escaped}/.ATTRIBUTES/VARIABLE_VALUE')
    if shape is None or tuple(shape) != tuple(variable.shape):
      there = 'absent' if shape is None else f'of shape {tuple(shape)}'
      raise errors.ConfigError(
        f'{path} belongs to another network: {name} is {there} there, of shape '
        f'{tuple(variable.shape)} here. Use the gin file it was trained with, '
        'or another --model_dir.'
      )


def _part(model, name):
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


def _sweep(folder):
  """Removes what a save that was killed left behind."""
  for leftover in glob.glob(os.path.join(glob.escape(folder), '*_temp*')):
    logging.info('Removing an unfinished save: %s', leftover)
    if os.path.isdir(leftover):
      shutil.rmtree(leftover, ignore_errors=True)
    else:
      os.remove(leftover)


def _number(step):
  return int(tf.convert_to_tensor(step).numpy())


def _first_line(error):
  return str(error).strip().split('\n')[0][:200].rstrip('.') + '.'
