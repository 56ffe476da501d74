"""The best checkpoint of a run, kept when newer ones replace the others."""

import contextlib
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from typing import Any

from deeplab_contrast.training import checkpoints
from deeplab_contrast.utils import errors, files, locking, run_files

METRIC = 'miou'

_EVALUATING = 'judging'


def read(model_dir: str) -> dict[str, Any] | None:
  """The record of the best checkpoint; None if there is none.

  Args:
    model_dir: the run's folder.

  Returns:
    A dict: `checkpoint` (its path), `step`, `metric`, `score` and `judged_by`.
  """
  folder = os.path.join(model_dir, run_files.BEST)
  file = os.path.join(model_dir, run_files.BEST_SCORE)
  found = files.read_json(file, dict)
  if found is None:
    return None
  with files.as_expected(file):
    path = checkpoints.path_in(folder, int(found['step']))
    found = {**found, 'score': float(found['score'])}
    found.setdefault('judged_by')
  if not os.path.exists(path + '.index'):
    return None
  return {'checkpoint': path, **found}


def path_of(model_dir: str) -> str:
  """The path of the best checkpoint. Raises ConfigError if there is none."""
  found = read(model_dir)
  if found is None:
    raise errors.ConfigError(
      f'{model_dir} keeps no best checkpoint: train it with '
      'Trainer.eval_every > 0, or evaluate it with '
      f'python -m deeplab_contrast.eval --watch --model_dir={model_dir}.'
    )
  return found['checkpoint']


def is_better(model_dir: str, scores: Mapping[str, Any], step: int) -> bool:
  """Whether scores are better than those of the best checkpoint so far.

  Args:
    model_dir: the run's folder.
    scores: from an evaluation. Without METRIC, or evaluated differently from
      the best (`judged_by`), they are never better.
    step: of the checkpoint. The best one itself, evaluated again, is better: a
      resumed run has replaced its files, which may have been damaged.
  """
  score = scores.get(METRIC, math.nan)
  if not math.isfinite(score):
    return False
  found = read(model_dir)
  if found is None:
    return True
  if found['judged_by'] != files.as_json(scores.get('judged_by')):
    return False
  return score > found['score'] or step == found['step']


def keep(model_dir: str, path: str, scores: Mapping[str, Any]) -> bool:
  """Keeps a checkpoint as the best one, if it is.

  `best.json` is replaced after the files it names are written, and before the
  old ones are removed: if this is killed, the best checkpoint is still whole.

  Args:
    model_dir: the run's folder.
    path: path of the checkpoint.
    scores: scores of its evaluation; see `is_better`.

  Returns:
    Whether it was kept.

  Raises:
    SystemFault: the folder cannot be written.
  """
  folder = os.path.join(model_dir, run_files.BEST)
  step = checkpoints.step_of(path)
  with _writing(folder), locking.waiting_lock(folder):
    if not is_better(model_dir, scores, step):
      return False
    _copy(path, folder)
    found = {
      'step': step,
      'metric': METRIC,
      'score': float(scores[METRIC]),
      'judged_by': scores.get('judged_by'),
    }
    files.write_json(os.path.join(model_dir, run_files.BEST_SCORE), found)
    for other in checkpoints.list_checkpoints(folder):
      if checkpoints.step_of(other) != step:
        checkpoints.remove(other)
  return True


@contextlib.contextmanager
def held(model_dir: str, path: str) -> Iterator[str | None]:
  """Keeps a checkpoint that its training may remove while inside.

  Args:
    model_dir: the run's folder.
    path: path of the checkpoint.

  Yields:
    The path of the same checkpoint; None if it is gone.
  """
  folder = os.path.join(model_dir, run_files.BEST, _EVALUATING)
  shutil.rmtree(folder, ignore_errors=True)  # Left by a killed process.
  try:
    with _writing(folder):
      found = _copy(path, folder)
    yield found
  finally:
    shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _writing(folder):
  try:
    os.makedirs(folder, exist_ok=True)
    yield
  except OSError as error:
    raise errors.SystemFault(
      f'Cannot write {folder} ({error.strerror}): make room or fix the '
      'folder, and start again.'
    ) from error


def _copy(path, folder):
  """Links or copies a checkpoint, its index last; None if it is gone."""
  found = sorted(
    checkpoints.files_of(path), key=lambda name: name.endswith('.index')
  )
  for file in found:
    target = os.path.join(folder, os.path.basename(file))
    try:
      with files.replacing(target) as temporary:
        _link(file, temporary)
    except FileNotFoundError:
      return None
  return os.path.join(folder, os.path.basename(path)) if found else None


def _link(file, target):
  """Hard links a file, which is never changed; copies it if need be."""
  try:
    os.link(file, target)
  except FileNotFoundError:
    raise
  except OSError:  # Another file system, or one without links.
    shutil.copyfile(file, target)
