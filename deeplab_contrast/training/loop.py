"""The steps of a training, and what happens between them."""

import contextlib
import time

from deeplab_contrast.training import best, profiling, writers
from deeplab_contrast.utils import errors, signals

# Networks have weights of some hundreds; these are on their way to infinity.
_LARGEST_NORM = 1e10


class Loop:
  """One call of `Trainer.fit`: steps, and what happens between them.

  Args:
    trainer: the `Trainer`.
    team: the processes that train together, see `distributed.workers`. All make
      the same steps, saves and evaluations; the chief alone writes.
    saver: the `Checkpoints` of the run.
    model_dir: see `Trainer.fit`, as the rest.
    evaluate: maps a `poll` function to scores, or None.
    ids_at: maps positions to names of examples, or None.
    split: the name under which scores are logged.
  """

  def __init__(self, trainer, team, saver, model_dir, evaluate, ids_at, split):
    self._trainer = trainer
    self._team = team
    self._saver = saver
    self._model_dir = model_dir
    self._evaluate = evaluate
    self._ids_at = ids_at
    self._split = split
    self._pending = []  # (step, numbers on the device) not looked at yet.
    self._logged_at = time.monotonic()
    self._waited = 0.0  # Seconds without data, since then.

  def run(self, train_step, batches, start):
    """Runs the steps after `start`; returns the last evaluation or None.

    Args:
      train_step: maps a batch to numbers, {name: float32 []}.
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
      signals.stop_request(self._team.loudest) as stop,
      profiling.recorded(
        self._model_dir,
        start,
        trainer.steps,
        trainer.profile_steps if self._team.is_chief else 0,
      ) as profile,
    ):
      # A run may have been killed between saving and judging.
      if start < trainer.steps and self._judges_at(start):
        self._judge(start, writer, stop)
      for step in range(start + 1, trainer.steps + 1):
        with profile.step(step):
          self._pending.append((step, train_step(self._next(batches))))
        last = step == trainer.steps
        if last or step % trainer.log_every == 0:
          self._log(writer, progress)
        stopping = stop.came()
        if last or step % trainer.save_every == 0 or stopping:
          self._save()
        if stopping:
          stop.poll()
        if not last and self._judges_at(step):
          self._judge(step, writer, stop)
      return self._judge(trainer.steps, writer, stop)

  def _outputs(self, start):
    """What takes the numbers, and what shows them."""
    if not self._team.is_chief:
      return writers.Silent(), writers.Silent()
    return (
      writers.MetricWriter(self._model_dir, start),
      writers.Progress(self._trainer.steps, start),
    )

  def _next(self, batches):
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
    """Fetches pending numbers; refuses to go on when one is not finite."""
    for step, numbers in self._pending:
      values = {name: float(value) for name, value in numbers.items()}
      if not all(_is_sound(*x) for x in values.items()):
        raise errors.NumericalError(self._explain(step, values))
    self._images = len(self._pending) * self._trainer.batch_size
    self._pending.clear()
    return step, values

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
      f'Step {step} is not finite or beyond all bounds ({bad}) at learning '
      f'rate {rate:.3g}; the checkpoints before it are good. Try a lower '
      f'learning rate.{ids}'
    )

  def _save(self):
    if self._pending:
      self._collect()  # Weights after a bad step are never saved.
    self._saver.save()

  def _judges_at(self, step):
    if step == 0:
      return self._trainer.eval_first
    every = self._trainer.eval_every
    return every > 0 and step % every == 0

  def _judge(self, step, writer, stop):
    if self._evaluate is None:
      return None
    scores = self._evaluate(stop.poll)
    if self._team.is_chief:
      self._report(step, writer, scores)
    self._logged_at, self._waited = time.monotonic(), 0.0
    return scores

  def _report(self, step, writer, scores):
    """Writes scores; keeps the checkpoint if it is the best so far."""
    numbers = {k: v for k, v in scores.items() if isinstance(v, float)}
    writer.write(step, self._split, numbers, scores.get(writers.SHOWN))
    text = '  '.join(f'{k} {v:.4f}' for k, v in numbers.items())
    print(f'step {step}  {self._split}  {text}', flush=True)
    if self._trainer.eval_every and best.is_better(self._model_dir, scores):
      best.keep(self._model_dir, self._saver.current(), scores)


def _is_sound(name, value):
  if name == 'weight_norm' and value > _LARGEST_NORM:
    return False
  return value - value == 0.0
