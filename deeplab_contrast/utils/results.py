"""What a run leaves behind: the scores of its evaluation, and DONE."""

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

from deeplab_contrast.utils import files, run_files

# Those that every evaluation has; any others are stored after them.
_ALWAYS = ('miou', 'pixel_accuracy', 'pixels', 'iou')


def write(
  model_dir: str, step: int, scores: Mapping[str, Any], info: Any
) -> dict[str, Any]:
  """Writes `model_dir/eval/results.json` atomically.

  Args:
    model_dir: the run's folder.
    step: the step of the weights.
    scores: the dict of `Evaluator.evaluate`; JSON must be able to hold it once
      arrays are lists.
    info: the split's `DatasetInfo`.

  Returns:
    The dict written: `dataset`, `step`, `colors` (by class name) and all
    scores. Arrays with one number per class become dicts by class name; a
    number that is not finite, such as the IoU of an absent class, is None.
  """
  names = info.class_names
  stored = {name: _storable(value, names) for name, value in scores.items()}
  result = {
    'dataset': info.name,
    'step': int(step),
    **{name: stored[name] for name in _ALWAYS},
    'colors': dict(zip(names, info.colors, strict=True)),
    **stored,
  }
  files.write_json(os.path.join(model_dir, run_files.RESULTS), result)
  return result


def write_embedding(
  model_dir: str, step: int, scores: Mapping[str, Any], info: Any
) -> dict[str, Any]:
  """Writes `model_dir/embedding/results.json` atomically.

  Args:
    model_dir: the run's folder.
    step: the step of the weights.
    scores: the dict of `embedding_judge.Judgement`.
    info: the `DatasetInfo` of the images.

  Returns:
    The dict written: `dataset`, `step` and the scores, None where not defined.
  """
  stored = {k: _storable(v, info.class_names) for k, v in scores.items()}
  result = {'dataset': info.name, 'step': int(step), **stored}
  files.write_json(os.path.join(model_dir, run_files.EMBEDDING_RESULTS), result)
  return result


def read(model_dir: str) -> Any:
  """The dict of the last `write`, or None."""
  return files.read_json(os.path.join(model_dir, run_files.RESULTS))


def numbers(scores: Mapping[str, Any]) -> dict[str, float]:
  """The scores that are a single float, of Python or NumPy; no counts."""
  return {
    name: float(value)
    for name, value in scores.items()
    if isinstance(value, float)
    or (getattr(value, 'shape', None) == () and value.dtype.kind == 'f')
  }


def is_done(model_dir: str) -> bool:
  """Whether the run in this folder has reached its end."""
  return os.path.exists(os.path.join(model_dir, run_files.DONE))


def write_done(model_dir: str, steps: int) -> None:
  """Marks a run as complete."""
  files.write_text(os.path.join(model_dir, run_files.DONE), f'{steps}\n')


def steps_of(model_dir: str) -> int:
  """The number of steps of a complete run: the number in DONE."""
  with open(os.path.join(model_dir, run_files.DONE), encoding='utf-8') as file:
    return int(file.read())


def _storable(value: Any, names: Sequence[str]) -> Any:
  if isinstance(value, Mapping):
    return {key: _storable(x, names) for key, x in value.items()}
  if hasattr(value, 'tolist'):  # NumPy, which is not imported just for this.
    by_class = value.shape == (len(names),)
    value = value.tolist()
    if by_class:
      value = dict(zip(names, value, strict=True))
    return _storable(value, names)
  if isinstance(value, list | tuple):
    return [_storable(x, names) for x in value]
  if isinstance(value, float) and not math.isfinite(value):
    return None
  return value
