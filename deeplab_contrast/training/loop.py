"""The training loop: steps, logging, saving and evaluation."""

import collections
import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from deeplab_contrast.distributed import workers
from deeplab_contrast.training import best, checkpoints, profiling, writers
from deeplab_contrast.utils import errors, heartbeat, results, signals

# Maps a `poll` function, called now and then, to scores.
Evaluate = Callable[[Callable[[], None]], Mapping[str, Any]]

# Norms of weights are in the hundreds; larger ones are diverging.
_LARGEST_NORM = 1e10


class Loop:
  """One call of `Trainer.fit`: steps, and what happens between them.

  Args:
    trainer: the `Trainer`.
    team: the processes that train together. All run the same steps, saves and
      evaluations; only the chief writes.
    saver: the checkpoints of the run.
    model_dir: see `Trainer.fit`, also for the rest.
    evaluate: maps a `poll` function to scores, or None.
    ids_at: maps positions to names of examples, or None.
    split: the name under which scores are logged.
    class_names: names for numbers by class; () numbers them.
  """

  def __init__(
    self,
    trainer: Any,
    team: workers.Alone | workers.Team,
    saver: checkpoints.Checkpoints,
    model_dir: str,
    evaluate: Evaluate | None,
    ids_at: Callable[[Sequence[int]], Sequence[str]] | None,
    split: str,
    class_names: Sequence[str] = (),
  ):
    self._trainer = trainer
    self._team = team
    self._saver = saver
    self._model_dir = model_dir
    self._evaluate = evaluate
    self._ids_at = ids_at
    self._split = split
    self._class_names = class_names
    # (step, numbers on the device) that have not been checked yet.
    self._pending: list[tuple[int, Mapping[str, tf.Tensor]]] = []
    self._logged_at = time.monotonic()
    self._waited = 0.0  # Seconds spent waiting for data since then.

  def run(
    self,
    train_step: Callable[[Any], Mapping[str, tf.Tensor]],
    batches: Iterator[Any],
    start: int,
  ) -> Mapping[str, Any] | None:
    """Runs the steps after `start`; returns the last evaluation or None.

    Args:
      train_step: maps a batch to numbers, see `step.Step.compiled`.
      batches: an iterator.
      start: the number of steps done.

    Raises:
      NumericalError: when a number stops being finite.
      Preempted: after SIGTERM or SIGINT, with the state saved.
    """
    trainer = self._trainer
    writer, progress = self._outputs(start)
    with (
      contextlib.closing(writer),
      contextlib.closing(progress),
      signals.stop_request(self._team.largest) as stop,
      profiling.recorded(
        self._model_dir,
        start,
        trainer.steps,
        trainer.profile_steps if self._team.is_chief else 0,
      ) as profile,
    ):
      # A run may have been killed between saving and evaluating.
      if start < trainer.steps and self._evaluates_at(start):
        self._run_evaluation(start, writer, stop)
      for step in range(start + 1, trainer.steps + 1):
        with profile.step(step):
          batch = self._next(batches, step)
          heartbeat.beat(f'computing step {step}', self._cause)
          self._pending.append((step, train_step(batch)))
        last = step == trainer.steps
        if last or step % trainer.log_every == 0:
          self._log(writer, progress)
        stopping = stop.came()
        if last or step % trainer.save_every == 0 or stopping:
          self._save()
        if stopping:
          stop.poll()
        if not last and self._evaluates_at(step):
          self._run_evaluation(step, writer, stop)
      return self._run_evaluation(trainer.steps, writer, stop)

  def _outputs(self, start):
    """The writer of numbers and the progress display."""
    if not self._team.is_chief:
      return writers.Silent(), writers.Silent()
    return (
      writers.MetricWriter(self._model_dir, start),
      writers.Progress(self._trainer.steps, start),
    )

  @property
  def _cause(self):
    """Why a step may never end."""
    return heartbeat.DEVICE if self._team.count == 1 else heartbeat.OTHERS

  def _next(self, batches, step):
    heartbeat.beat(f'waiting for the batch of step {step}', heartbeat.READER)
    began = time.monotonic()
    batch = next(batches)
    self._waited += time.monotonic() - began
    return batch

  def _log(self, writer, progress):
    last, values = self._collect()
    now = time.monotonic()
    seconds, self._logged_at = now - self._logged_at, now
    values['images_per_second'] = self._images / max(seconds, 1e-9)
    values['data_wait'] = self._waited / max(seconds, 1e-9)
    self._waited = 0.0
    values['learning_rate'] = self._trainer.learning_rate_at(last - 1)
    writer.write(last, 'train', values)
    shown = ('loss', 'learning_rate', 'images_per_second')
    progress.update(last, {name: values[name] for name in shown})

  def _collect(self):
    """Fetches pending numbers; raises if one is not finite."""
    by_class = collections.defaultdict(list)
    for step, numbers in self._pending:
      values = {}
      for name, value in numbers.items():
        if np.ndim(value):
          by_class[name].append(np.asarray(value, np.float64))
        else:
          values[name] = float(value)
      if not all(_is_sound(*x) for x in values.items()):
        raise errors.NumericalError(self._explain(step, values))
    self._images = len(self._pending) * self._trainer.batch_size
    self._pending.clear()
    return step, {**values, **_means(by_class, self._class_names)}

  def _explain(self, step, values):
    bad = ', '.join(
      f'{k} {v:.3g}' for k, v in values.items() if not _is_sound(k, v)
    )
    size = self._trainer.batch_size
    ids = ''
    if self._ids_at is not None:
      names = self._ids_at(range((step - 1) * size, step * size))
      ids = f' Its images: {", ".join(names[:8])}{", ..." * (size > 8)}.'
    rate = self._trainer.learning_rate_at(step - 1)
    return (
      f'Step {step} diverged ({bad}) at learning rate {rate:.3g}; the '
      f'checkpoints before it are good. Try a lower learning rate.{ids}'
    )

  def _save(self):
    if self._pending:
      self._collect()  # Weights after a bad step are never saved.
    heartbeat.beat('writing a checkpoint', heartbeat.DISK)
    self._saver.save()

  def _evaluates_at(self, step):
    if step == 0:
      return self._trainer.eval_first
    every = self._trainer.eval_every
    return every > 0 and step % every == 0

  def _run_evaluation(self, step, writer, stop):
    if self._evaluate is None:
      return None
    heartbeat.beat('evaluating', heartbeat.READER)
    scores = self._evaluate(stop.poll)
    if self._team.is_chief:
      self._report(step, writer, scores)
    self._logged_at, self._waited = time.monotonic(), 0.0
    return scores

  def _report(self, step, writer, scores):
    """Writes scores; keeps the checkpoint if it is the best so far."""
    numbers = results.numbers(scores)
    writer.write(step, self._split, numbers, scores.get(writers.SHOWN))
    text = '  '.join(f'{k} {v:.4f}' for k, v in numbers.items())
    print(f'step {step}  {self._split}  {text}', flush=True)
    if self._trainer.eval_every and best.is_better(
      self._model_dir, scores, step
    ):
      best.keep(self._model_dir, self._saver.current(), scores)


def _means(by_class, class_names):
  """Means over steps, of all classes and of each; NaN of no pixels."""
  means = {}
  for name, shares in by_class.items():
    if f'{name}_count' not in by_class:
      continue
    counts = np.stack(by_class[f'{name}_count'])
    totals, counts = (np.stack(shares) * counts).sum(0), counts.sum(0)
    names = class_names or range(len(counts))
    means[name] = _quotient(totals.sum(), counts.sum())
    for of, *pair in zip(names, totals, counts, strict=True):
      means[f'{name}/{of}'] = _quotient(*pair)
  return means


def _quotient(total, count):
  return float(total / count) if count else float('nan')


def _is_sound(name, value):
  if name == 'weight_norm' and value > _LARGEST_NORM:
    return False
  return value - value == 0.0
