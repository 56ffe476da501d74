"""Checkpoints, read from the newest intact one; and warm starts."""

import contextlib
import dataclasses
import glob
import hashlib
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import keras
import tensorflow as tf
from absl import logging

from deeplab_contrast.training import contents
from deeplab_contrast.utils import checks, errors, files, results, run_files

_T = TypeVar('_T')

# A checkpoint is named by this and its step.
_PREFIX = 'ckpt-'


class Checkpoints:
  """The checkpoints of one run, with all that an exact resume needs.

  Args:
    model_dir: the run's folder; checkpoints go to `model_dir/checkpoints`.
    model: a built Keras model.
    optimizer: its built optimizer.
    step: int64 variable, the number of steps done.
    keep: the number of newest checkpoints to keep.
    writes: whether this process writes. Of several processes, which have the
      same state, one writes for all; saving needs no collective.
    averages: {path of a variable of the model: its moving average}.
    state: {name: variable}, of the task.
  """

  def __init__(
    self,
    model_dir: str,
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    step: tf.Variable,
    keep: int = 3,
    writes: bool = True,
    averages: Mapping[str, tf.Variable] | None = None,
    state: Mapping[str, tf.Variable] | None = None,
  ):
    self._variables = contents.by_path(model.variables)
    items = {
      'average': {contents.name_of(p): v for p, v in (averages or {}).items()},
      'task': dict(state or {}),
    }
    self._checkpoint = tf.train.Checkpoint(
      model=self._variables,
      optimizer=contents.by_path(optimizer.variables, optimizer.name),
      step=step,
      **{name: item for name, item in items.items() if item},
    )
    _ = self._checkpoint.save_counter  # Makes it; older checkpoints have it.
    self._step = step
    self._keep = keep
    self._writes = writes
    self._folder = os.path.join(model_dir, run_files.CHECKPOINTS)

  def save(self) -> str:
    """Saves under the number of the current step; returns the path.

    Raises:
      SystemFault: it cannot be written; older checkpoints stay.
    """
    path = path_in(self._folder, _number(self._step))
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
    # Newer ones are damaged, or the run would have resumed from them.
    done = [
      p for p in list_checkpoints(self._folder) if step_of(p) <= step_of(path)
    ]
    for old in done[self._keep :]:
      remove(old)
    return path

  def current(self) -> str:
    """The checkpoint of the current step, saved if it is not there."""
    path = path_in(self._folder, _number(self._step))
    return path if tf.io.gfile.exists(path + '.index') else self.save()

  def state_digest(self) -> str:
    """A SHA-256 digest, in hexadecimal, of the current weights."""
    result = hashlib.sha256()
    for name in sorted(self._variables):
      result.update(self._variables[name].numpy().tobytes())
    return result.hexdigest()

  def restore(self) -> str | None:
    """Restores the newest checkpoint that can be read.

    Returns:
      Its path, or None if there are no checkpoints.

    Raises:
      SystemFault: there are checkpoints, but none can be read.
      ConfigError: a checkpoint belongs to another network.
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
        f'{self._folder} to start this run from the beginning.'
      )
    return None


@dataclasses.dataclass(frozen=True)
class WarmStart:
  """Starts a network from parts of another run's.

  As in an evaluation, averaged weights are used where there are any.

  Attributes:
    path: a model_dir (its newest checkpoint is used) or a checkpoint's path.
    parts: what to load: 'backbone', 'trunk' (all but the head) or 'head'.
  """

  path: str
  parts: tuple[str, ...] = ('trunk',)

  def __call__(self, model: keras.Model) -> str:
    """Restores the parts; returns the path of the checkpoint used.

    Raises:
      ConfigError: there is no checkpoint, it lacks a part, its shapes differ,
        or it holds NaN.
      SystemFault: it cannot be read, see also `check_last`.
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

    path, _ = newest_readable(paths, restore)
    check_last(self.path, step_of(path))
    return path

  def _find(self):
    checks.place(self.path, 'WarmStart.path')
    if tf.io.gfile.exists(self.path + '.index'):
      return [self.path]
    paths = list_checkpoints(os.path.join(self.path, run_files.CHECKPOINTS))
    if not paths:
      raise errors.ConfigError(
        f'WarmStart.path {self.path!r} is neither a checkpoint nor a model_dir '
        'with one (give its path without .index); train that stage first, or '
        'correct the path.'
      )
    return paths


def restore_model(
  model_dir: str,
  model: keras.Model,
  path: str | None = None,
  averaged: bool = True,
) -> tuple[str, int]:
  """Restores the whole model from the newest readable checkpoint of a run.

  Args:
    model_dir: the run's folder.
    model: a built Keras model.
    path: path of a checkpoint to restore instead.
    averaged: whether to take moving averages of weights where the run keeps
      them.

  Returns:
    (path, step) of the checkpoint used.

  Raises:
    ConfigError: the folder holds no checkpoint, another network's, or one with
      NaN.
    SystemFault: none can be read.
  """
  paths = [path] if path else of_run(model_dir)
  named = contents.by_path(model.variables)

  def restore(path):
    contents.check_whole(path, named, model)
    _restore_weights(path, named, averaged)

  path, _ = newest_readable(paths, restore)
  return path, step_of(path)


def check_last(model_dir: str, step: int) -> None:
  """Refuses to build on any but the last checkpoint of a finished run.

  Otherwise what is trained with an older one, because the last is damaged,
  would silently differ.

  Args:
    model_dir: the run's folder, or the path of a checkpoint.
    step: the step of the checkpoint that can be read.

  Raises:
    SystemFault: it is not the last one.
  """
  if results.is_done(model_dir) and step != results.steps_of(model_dir):
    done = os.path.join(model_dir, run_files.DONE)
    raise errors.SystemFault(
      f'{model_dir} is finished at step {results.steps_of(model_dir)}, but the '
      f'newest checkpoint that can be read is of step {step}: delete {done} '
      'and start its training again, which repeats the steps after that.'
    )


def list_checkpoints(folder: str) -> list[str]:
  """Paths of the complete checkpoints in a folder, newest (by step) first."""
  found = tf.io.gfile.glob(os.path.join(folder, f'{_PREFIX}*.index'))
  paths = [p.removesuffix('.index') for p in found]
  return sorted(
    (p for p in paths if _step_in(p).isdecimal()), key=step_of, reverse=True
  )


def files_of(path: str) -> list[str]:
  """The existing files of a checkpoint; the index comes first."""
  inside = glob.escape(path)
  return glob.glob(f'{inside}.index') + glob.glob(f'{inside}.data-*')


def remove(path: str) -> None:
  """Deletes a checkpoint; another process may do the same."""
  for file in files_of(path):
    with contextlib.suppress(FileNotFoundError):
      os.remove(file)


def path_of(model_dir: str, step: int) -> str:
  """The path of a run's checkpoint of a step."""
  return path_in(os.path.join(model_dir, run_files.CHECKPOINTS), step)


def path_in(folder: str, step: int) -> str:
  """The path of the checkpoint of a step in a folder of checkpoints."""
  return os.path.join(folder, f'{_PREFIX}{step}')


def step_of(path: str) -> int:
  """The step in the name of a checkpoint, see `path_in`."""
  return int(_step_in(path))


def digest(path: str) -> str:
  """A SHA-256 digest, in hexadecimal, of a checkpoint's files.

  Raises:
    DataError: one of them cannot be read.
  """
  result = hashlib.sha256()
  for name in sorted(tf.io.gfile.glob([f'{path}.index', f'{path}.data-*'])):
    files.refuse_special(name)
    try:
      with tf.io.gfile.GFile(name, 'rb') as file:
        while block := file.read(1 << 24):
          result.update(block)
    except tf.errors.OpError as error:
      raise errors.DataError(
        f'{name} cannot be read: {error.message}.'
      ) from error
  return result.hexdigest()


def of_run(model_dir: str) -> list[str]:
  """Paths of a run's checkpoints, newest first; ConfigError if none."""
  paths = list_checkpoints(os.path.join(model_dir, run_files.CHECKPOINTS))
  if not paths:
    raise errors.ConfigError(
      f'{model_dir} holds no checkpoint; train it first with '
      f'python -m deeplab_contrast.train --model_dir={model_dir}.'
    )
  return paths


def newest_readable(
  paths: Sequence[str], read: Callable[[str], _T]
) -> tuple[str, _T]:
  """(path, read(path)) of the first path that can be read.

  Args:
    paths: paths of checkpoints.
    read: raises `contents.Unreadable` for a damaged one.

  Raises:
    SystemFault: none can be read.
  """
  for path in paths:
    try:
      return path, read(path)
    except contents.Unreadable as e:
      logging.warning('%s cannot be read (%s); trying an older one.', path, e)
  raise errors.SystemFault(
    f'None of these checkpoints can be read: {", ".join(paths)}. Restore '
    'them from a backup, or train again.'
  )


def _restore(checkpoint, path, variables, exact):
  """Restores `checkpoint`; `variables` are those of its model."""
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


def _restore_weights(path, named, averaged=True):
  """Restores weights, or their averages where a checkpoint holds some."""
  _restore(tf.train.Checkpoint(model=named), path, named, exact=False)
  found = contents.averaged(path, named) if averaged else ()
  if found:
    average = {name: named[name] for name in found}
    item = tf.train.Checkpoint(average=average)
    _restore(item, path, average, exact=False)
  contents.check_finite(path, {n: v.numpy() for n, v in named.items()})


def _sweep(folder):
  """Removes the files of a killed save."""
  inside = glob.escape(folder)
  parts = [
    path
    for path in glob.glob(os.path.join(inside, f'{_PREFIX}*.data-*'))
    if not os.path.exists(path.rpartition('.data-')[0] + '.index')
  ]
  # Earlier versions kept TensorFlow's list of checkpoints, now out of date.
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


def _step_in(path):
  return os.path.basename(path).removeprefix(_PREFIX)


def _number(step):
  return int(tf.convert_to_tensor(step).numpy())
