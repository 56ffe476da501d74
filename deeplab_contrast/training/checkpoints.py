"""Checkpoints: atomic, verified, newest good one first; and warm starts."""

import contextlib
import dataclasses
import glob
import hashlib
import os
import re
import shutil

import tensorflow as tf
from absl import logging

from deeplab_contrast.training import averages, contents
from deeplab_contrast.utils import checks, errors, run_files


class Checkpoints:
  """The checkpoints of one run, with everything an exact resume needs.

  Args:
    model_dir: the run's folder; checkpoints go to `model_dir/checkpoints`.
    model: a built Keras model.
    optimizer: its built optimizer.
    step: int64 variable, the number of steps done.
    keep: how many of the newest to keep.
    writes: whether this process writes; of several, one does for all, which
      have the same state. No variable of it is gathered from them on saving.
  """

  def __init__(self, model_dir, model, optimizer, step, keep=3, writes=True):
    self._variables = contents.by_path(model.variables)
    self._checkpoint = tf.train.Checkpoint(
      model=self._variables,
      optimizer=contents.by_path(optimizer.variables, optimizer.name),
      step=step,
      **_averages(averages.of(optimizer, model)),
    )
    _ = self._checkpoint.save_counter  # Makes it; older checkpoints hold it.
    self._step = step
    self._keep = keep
    self._writes = writes
    self._folder = os.path.join(model_dir, run_files.CHECKPOINTS)

  def save(self):
    """Saves under the number of the current step; returns the path.

    Raises:
      SystemFault: when it cannot be written; older checkpoints stay.
    """
    path = os.path.join(self._folder, f'ckpt-{_number(self._step)}')
    if not self._writes:
      return path
    try:
      self._checkpoint.write(path)
    except (tf.errors.OpError, OSError) as e:
      free = shutil.disk_usage(os.path.dirname(self._folder)).free
      raise errors.SystemFault(
        f'Cannot write a checkpoint to {self._folder} '
        f'({free / 2**20:.0f} MiB free): {contents.first_line(e)} Make room or '
        'choose another --model_dir; the checkpoints before it are still good.'
      ) from e
    # What is newer than this one is damaged, or it would not have been passed
    # over.
    done = [
      p for p in list_checkpoints(self._folder) if step_of(p) <= step_of(path)
    ]
    for old in done[self._keep :]:
      remove(old)
    return path

  def current(self):
    """The path of the checkpoint of the current step; saves it if need be."""
    path = os.path.join(self._folder, f'ckpt-{_number(self._step)}')
    return path if tf.io.gfile.exists(path + '.index') else self.save()

  def state_digest(self):
    """A SHA-256 digest, in hexadecimal, of all weights as they are now."""
    result = hashlib.sha256()
    for name in sorted(self._variables):
      result.update(self._variables[name].numpy().tobytes())
    return result.hexdigest()

  def restore(self):
    """Restores the newest checkpoint that can be read.

    Returns:
      Its path, or None when there is none at all.

    Raises:
      SystemFault: when there are checkpoints, but none can be read.
      ConfigError: when a checkpoint belongs to another network.
    """
    if self._writes:
      _sweep(self._folder)
    paths = list_checkpoints(self._folder)
    for path in paths:
      try:
        contents.check_training_state(path)
        _restore(self._checkpoint, path, self._variables, exact=True)
      except contents.Unreadable as e:
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

  Like an evaluation, it takes the averages of weights where there are some.

  Attributes:
    path: a model_dir (its newest checkpoint is taken) or a checkpoint's path.
    parts: what to take over: 'backbone', 'trunk' (all but the head) or 'head'.
  """

  path: str
  parts: tuple[str, ...] = ('trunk',)

  def __call__(self, model):
    """Restores the parts; returns the path of the checkpoint used.

    Raises:
      ConfigError: when there is no checkpoint, it lacks a part, its shapes
        differ, or it holds NaN.
      SystemFault: when it cannot be read.
    """
    paths = self._find()
    parts = {
      part: contents.by_path(contents.part_of(model, part).variables)
      for part in self.parts
    }
    named = {name: v for part in parts.values() for name, v in part.items()}

    def restore(path):
      for part, variables in parts.items():
        contents.check_part(path, part, variables, model)
      _restore_weights(path, named)

    return _newest_readable(paths, restore)[0]

  def _find(self):
    checks.place(self.path, 'WarmStart.path')
    if tf.io.gfile.exists(self.path + '.index'):
      return [self.path]
    paths = list_checkpoints(os.path.join(self.path, run_files.CHECKPOINTS))
    if not paths:
      raise errors.ConfigError(
        f'WarmStart.path {self.path!r} is neither a checkpoint nor a model_dir '
        'that holds one (a path without .index); train that stage first, or '
        'correct the path.'
      )
    return paths


def restore_model(model_dir, model, path=None):
  """Restores the whole model from the newest readable checkpoint of a run.

  Args:
    model_dir: the run's folder.
    model: a built Keras model.
    path: this very checkpoint instead.

  Returns:
    (path, step) of the checkpoint used.

  Raises:
    ConfigError: when the folder holds no checkpoint, another network's, or one
      with NaN.
    SystemFault: when none can be read.
  """
  paths = [path] if path else _some_checkpoints(model_dir)
  named = contents.by_path(model.variables)

  def restore(path):
    contents.check_whole(path, named, model)
    _restore_weights(path, named)

  path, _ = _newest_readable(paths, restore)
  return path, step_of(path)


def list_checkpoints(folder):
  """Paths of the complete checkpoints of a folder, newest (by step) first."""
  found = tf.io.gfile.glob(os.path.join(folder, 'ckpt-*.index'))
  paths = [p.removesuffix('.index') for p in found]
  return sorted(
    (p for p in paths if re.search(r'ckpt-\d+$', p)), key=step_of, reverse=True
  )


def files_of(path):
  """The files of a checkpoint that are there; first what makes it one."""
  inside = glob.escape(path)
  return glob.glob(f'{inside}.index') + glob.glob(f'{inside}.data-*')


def remove(path):
  """Deletes a checkpoint; another process may be doing the same."""
  for file in files_of(path):
    with contextlib.suppress(FileNotFoundError):
      os.remove(file)


def path_of(model_dir, step):
  """The path of a run's checkpoint of a step."""
  return os.path.join(model_dir, run_files.CHECKPOINTS, f'ckpt-{step}')


def step_of(path):
  """The step in the name of a checkpoint: 300 for `.../ckpt-300`."""
  return int(path.rsplit('-', 1)[1])


def digest(path):
  """A SHA-256 digest, in hexadecimal, of a checkpoint's files."""
  result = hashlib.sha256()
  for name in sorted(tf.io.gfile.glob([f'{path}.index', f'{path}.data-*'])):
    with tf.io.gfile.GFile(name, 'rb') as file:
      while block := file.read(1 << 24):
        result.update(block)
  return result.hexdigest()


def read_weights(model_dir, model):
  """Reads what the newest readable checkpoint of a run holds of a model.

  Args:
    model_dir: the run's folder.
    model: a built Keras model; its variables are not changed.

  Returns:
    (path, {name as of `contents.names`: array}, averages where there are some;
    the number of variables of the optimizer there).

  Raises:
    ConfigError: when the folder holds no checkpoint, or another network's.
    SystemFault: when none can be read.
  """
  named = contents.by_path(model.variables)

  def read(path):
    stored = contents.stored_shapes(path)
    here = {
      name: v for name, v in named.items() if contents.key(name) in stored
    }
    contents.check_shapes(path, here or named, stored)
    averaged = contents.averaged(path, here)
    keys = {n: contents.key(n, 'average') for n in averaged}
    reader = tf.train.load_checkpoint(path)
    others = [key for key in stored if key.startswith('optimizer/')]
    try:
      arrays = {
        name: reader.get_tensor(keys.get(name, contents.key(name)))
        for name in here
      }
    except (tf.errors.OpError, IndexError) as e:
      raise contents.Unreadable(contents.first_line(e)) from e
    return arrays, len(others)

  path, (arrays, others) = _newest_readable(_some_checkpoints(model_dir), read)
  return path, arrays, others


def write_weights(model_dir, weights, step=0):
  """Writes weights without the state of a training, as a new checkpoint.

  Args:
    model_dir: the run's folder.
    weights: {name as of `contents.names`: array} of a model or its parts.
    step: the number in the checkpoint's name.

  Returns:
    The checkpoint's path.

  Raises:
    SystemFault: when it cannot be written.
  """
  path = os.path.join(model_dir, run_files.CHECKPOINTS, f'ckpt-{step}')
  variables = {name: tf.Variable(value) for name, value in weights.items()}
  checkpoint = tf.train.Checkpoint(model=variables)
  _ = checkpoint.save_counter  # Makes it; restoring a whole model expects it.
  try:
    return checkpoint.write(path)
  except (tf.errors.OpError, OSError) as e:
    raise errors.SystemFault(
      f'Cannot write {path}: {contents.first_line(e)}'
    ) from e


def _some_checkpoints(model_dir):
  paths = list_checkpoints(os.path.join(model_dir, run_files.CHECKPOINTS))
  if not paths:
    raise errors.ConfigError(
      f'{model_dir} holds no checkpoint; train it first with '
      f'python -m deeplab_contrast.train --model_dir={model_dir}.'
    )
  return paths


def _newest_readable(paths, read):
  """(path, read(path)) of the first path that can be read."""
  for path in paths:
    try:
      return path, read(path)
    except contents.Unreadable as e:
      logging.warning('%s cannot be read (%s); trying an older one.', path, e)
  raise errors.SystemFault(
    f'No checkpoint can be read, of: {", ".join(paths)}. Bring them back from '
    'a copy, or train again.'
  )


def _restore(checkpoint, path, variables, exact):
  """Restores all of `checkpoint`, of whose model `variables` are a part."""
  try:
    contents.check_shapes(path, variables, contents.stored_shapes(path))
    status = checkpoint.restore(path)
    status.assert_existing_objects_matched()
    if exact:
      status.assert_consumed()
    else:
      status.expect_partial()
  except (tf.errors.OpError, IndexError) as e:
    # A short data file surfaces as an IndexError of the reader.
    raise contents.Unreadable(contents.first_line(e)) from e
  except (ValueError, AssertionError) as e:
    raise errors.ConfigError(
      f'{path} belongs to another network or optimizer: '
      f'{contents.first_line(e)} Use the gin file it was trained with, or '
      'another --model_dir.'
    ) from e


def _restore_weights(path, named):
  """Gives variables what a checkpoint was judged by."""
  _restore(tf.train.Checkpoint(model=named), path, named, exact=False)
  averaged = {name: named[name] for name in contents.averaged(path, named)}
  if averaged:
    average = tf.train.Checkpoint(average=averaged)
    _restore(average, path, averaged, exact=False)
  contents.check_finite(path, {n: v.numpy() for n, v in named.items()})


def _averages(named):
  """The averages as a part of a checkpoint; none without an average."""
  if not named:
    return {}
  return {
    'average': {
      contents.name_of(path): average.value for path, average in named.items()
    }
  }


def _sweep(folder):
  """Removes what a save that was killed left behind."""
  inside = glob.escape(folder)
  parts = [
    path
    for path in glob.glob(os.path.join(inside, 'ckpt-*.data-*'))
    if not os.path.exists(path.rpartition('.data-')[0] + '.index')
  ]
  # TensorFlow's list of the checkpoints, which earlier versions kept, is old.
  others = [
    path
    for pattern in ('*_temp*', 'checkpoint', 'checkpoint.tmp*')
    for path in glob.glob(os.path.join(inside, pattern))
  ]
  for leftover in [*others, *parts]:
    logging.info('Removing an unfinished save: %s', leftover)
    if os.path.isdir(leftover):
      shutil.rmtree(leftover, ignore_errors=True)
    else:
      os.remove(leftover)


def _number(step):
  return int(tf.convert_to_tensor(step).numpy())
