"""Checkpoints of a run evaluated, and the results written to its folder."""

import contextlib
import os
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from deeplab_contrast.inference import (
  confusion_picture,
  embedding_judge,
  evaluation,
)
from deeplab_contrast.training import best as best_lib
from deeplab_contrast.training import watching, writers
from deeplab_contrast.utils import (
  errors,
  files,
  locking,
  results,
  run_files,
  tables,
)


def evaluate(
  experiment: Any,
  strategy: tf.distribute.Strategy,
  model_dir: str,
  best: bool = False,
  poll: Callable[[], object] = lambda: None,
) -> None:
  """Restores one checkpoint, scores it, writes and prints the result.

  Args:
    experiment: the run's `Experiment`.
    strategy: the strategy it was built under.
    model_dir: the run's folder.
    best: takes the best checkpoint that was kept, not the newest.
    poll: called now and then, e.g. to stop on a signal.

  Raises:
    ConfigError: the run has no checkpoint, or no split to evaluate on.
    DataError: the data are missing or wrong.
  """
  path = best_lib.path_of(model_dir) if best else None
  step = experiment.restore(
    strategy, model_dir, path, needs_classes=experiment.classifies
  )
  if not experiment.classifies:
    scores = embedding_judge.of_experiment(experiment)(poll)
    print(report(experiment, model_dir, step, scores))
    return
  with _writer(model_dir) as writer:
    scored = evaluation.Evaluation(experiment, strategy)
    _evaluate(experiment, model_dir, step, scored, writer, poll)


def watch(
  experiment: Any,
  strategy: tf.distribute.Strategy,
  model_dir: str,
  timeout: float | None = None,
  interval: float = 10.0,
  poll: Callable[[], object] = lambda: None,
) -> None:
  """Evaluates checkpoints as they are written, until the training is done.

  Args:
    experiment: the run's `Experiment`.
    strategy: the strategy it was built under.
    model_dir: the run's folder.
    timeout: gives up after this many seconds without a new checkpoint; None
      waits forever.
    interval: seconds between checks for new checkpoints.
    poll: called now and then, e.g. to stop on a signal.

  Raises:
    BusyError: another process watches this run.
    SystemFault: after `timeout`.
  """
  experiment.check_can_be_evaluated(model_dir)
  file = os.path.join(model_dir, run_files.EVALUATED)
  how = experiment.judged_by
  known = _known(file, how)
  scored = evaluation.Evaluation(experiment, strategy)
  with (
    locking.model_dir_lock(os.path.join(model_dir, run_files.EVAL)),
    _writer(model_dir) as writer,
  ):
    for path in watching.new_checkpoints(
      model_dir, known, poll, timeout, interval
    ):
      with best_lib.held(model_dir, path) as held:
        step = _restored(experiment, strategy, model_dir, path, held)
        if held is not None and step is not None:
          scores = _evaluate(experiment, model_dir, step, scored, writer, poll)
          if best_lib.keep(model_dir, held, scores):
            print(f'The best so far: step {step}.', flush=True)
      files.write_json(file, {'judged_by': how, 'steps': sorted(known)})
  print(f'{model_dir} is done; all of its checkpoints are evaluated.')


def report(
  experiment: Any, model_dir: str, step: int, scores: Mapping[str, Any]
) -> str:
  """Writes the scores of a step to the run's folder.

  Args:
    experiment: an `Experiment`.
    model_dir: the run's folder.
    step: step of the weights.
    scores: from `evaluation.Evaluation` or `embedding_judge.Judgement`.

  Returns:
    The text table of the result.
  """
  if not experiment.classifies:
    info = embedding_judge.source_of(experiment).info
    result = results.write_embedding(model_dir, step, scores, info)
    head = f'{info.name}, step {step}, frozen features'
    return f'{head}\n{tables.embedding_table(result)}'
  info = experiment.eval_source.info
  stored = {k: v for k, v in scores.items() if k != writers.SHOWN}
  result = results.write(model_dir, step, stored, info)
  confusion_picture.write(model_dir, result)
  return tables.per_class_table(result)


def _known(file, how):
  """The steps that were evaluated in this way."""
  found = files.read_json(file, dict) or {}
  is_same = found.get('judged_by') == files.as_json(how)
  with files.as_expected(file):
    return set(map(int, found['steps'])) if is_same else set()


def _restored(experiment, strategy, model_dir, path, held):
  """The step of a checkpoint; None if it was removed, or is damaged."""
  if held is None:
    print(f'{path} was removed before it was evaluated.', flush=True)
    return None
  try:
    return experiment.restore(strategy, model_dir, held)
  except errors.SystemFault as error:
    print(f'{path} is skipped: {error}', flush=True)
    return None


def _evaluate(experiment, model_dir, step, scored, writer, poll):
  """Scores the restored model; writes and prints the result."""
  scores = scored(poll)
  shown = scores.pop(writers.SHOWN)
  table = report(experiment, model_dir, step, scores)
  split, name = scores['judged_by']['split'], experiment.eval_source.info.name
  numbers = {**results.numbers(scores), **results.numbers(shown)}
  seen = {k: v for k, v in shown.items() if k not in numbers}
  writer.write(step, split, numbers, seen)
  print(f'{name} {split}, step {step}, {scores["pixels"]} pixels')
  print(table, flush=True)
  return scores


def _writer(model_dir):
  """Appends to `eval/metrics.jsonl` and `eval/tensorboard`."""
  folder = os.path.join(model_dir, run_files.EVAL)
  # Not the files of the training, which may be writing them.
  return contextlib.closing(writers.MetricWriter(folder, step=None))
