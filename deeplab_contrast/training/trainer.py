"""The trainer: the settings of a training, and its start or resumption.

The loop over steps is in `loop`, one step in `step`.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from deeplab_contrast import common
from deeplab_contrast.distributed import workers
from deeplab_contrast.tasks import task as task_lib
from deeplab_contrast.training import (
  adamw,
  averages,
  checkpoints,
  fused,
  gates,
  loop,
  origins,
  step,
)
from deeplab_contrast.utils import checks, errors, files, run_files


class Trainer:
  """Synchronous SGD from a stream of batches, with exact resume.

  The data of a step depend only on its number, so a run that was killed sees
  the same data as one that was not, and on one CPU ends with the same weights.

  Args:
    optimizer: a Keras optimizer; its learning rate may be a schedule.
    steps: number of steps of the whole run.
    batch_size: examples in a step, over all replicas.
    weight_decay: the original's convention: weight_decay / 2 * sum(w^2) over
      convolution kernels is added to the loss.
    last_layer_gradient_multiplier: factor on the gradients of the last layers;
      those of biases are always doubled, as in the original. With `adamw.AdamW`
      they are factors on the learning rate.
    last_layers_contain_logits_only: whether the last layers are the logits
      layer, or all but the backbone.
    average_decay: keeps moving averages of the weights, which evaluation,
      prediction and export take, and tasks have as their teacher; see
      `averages.Averages`. None keeps none.
    warm_start: `WarmStart`, the source of the first weights; None for random
      ones, or for `pretrained`.
    pretrained: the source of pretrained first weights, used without
      `warm_start`; what it returns is kept in `origin.json` of the run.
    log_every: steps between lines of the log.
    save_every: steps between checkpoints.
    eval_every: steps between evaluations; the best checkpoint evaluated is kept
      (`training.best`). 0 evaluates at the end only.
    eval_first: whether to evaluate before the first step as well.
    keep: how many of the newest checkpoints are kept.
    profile_steps: number of steps, shortly after the start, that `profiling`
      records for TensorBoard; 0 records nothing.
    jit_compile: compiles the step with XLA (for one replica).
  """

  def __init__(
    self,
    optimizer: keras.optimizers.Optimizer,
    steps: int,
    batch_size: int = 16,
    weight_decay: float = 4e-5,
    last_layer_gradient_multiplier: float = 1.0,
    last_layers_contain_logits_only: bool = False,
    average_decay: float | None = None,
    warm_start: checkpoints.WarmStart | None = None,
    pretrained: origins.Pretrained | None = None,
    log_every: int = 10,
    save_every: int = 1000,
    eval_every: int = 0,
    eval_first: bool = False,
    keep: int = 3,
    profile_steps: int = 0,
    jit_compile: bool = False,
  ):
    counts = {'steps': steps, 'batch_size': batch_size, 'keep': keep}
    checks.whole(
      {**counts, 'log_every': log_every, 'save_every': save_every}, 1
    )
    checks.whole({'eval_every': eval_every, 'profile_steps': profile_steps}, 0)
    faster = last_layer_gradient_multiplier
    checks.not_negative(
      {'weight_decay': weight_decay, 'last_layer_gradient_multiplier': faster}
    )
    adamw.check(optimizer, weight_decay, faster)
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
      raise ValueError(
        'LossScaleOptimizer is for float16, which is not supported; use '
        "precision = 'mixed_bfloat16'."
      )
    if getattr(optimizer, 'use_ema', False):
      raise ValueError('Set Trainer.average_decay instead of use_ema.')
    if average_decay is not None and not 0 < average_decay < 1:
      raise ValueError(
        f'average_decay is {average_decay}; it must be between 0 and 1.'
      )
    self.optimizer = optimizer
    fused.fuse(optimizer)
    self.steps = steps
    self.batch_size = batch_size
    self.weight_decay = weight_decay
    self.last_layer_gradient_multiplier = last_layer_gradient_multiplier
    self.last_layers_contain_logits_only = last_layers_contain_logits_only
    self.average_decay = average_decay
    self.warm_start = warm_start
    self.pretrained = pretrained
    self.log_every = log_every
    self.save_every = save_every
    self.eval_every = eval_every
    self.eval_first = eval_first
    self.keep = keep
    self.profile_steps = profile_steps
    self.jit_compile = jit_compile
    checks.learning_rates(self.learning_rate_at, (0, steps - 1))

  def fit(
    self,
    model: keras.Model,
    task: task_lib.Task,
    stream: Callable[..., tf.data.Dataset],
    strategy: tf.distribute.Strategy,
    model_dir: str,
    evaluate: loop.Evaluate | None = None,
    ids_at: Callable[[Sequence[int]], Sequence[str]] | None = None,
    split: str = 'val',
    class_names: Sequence[str] = (),
  ) -> Mapping[str, Any] | None:
    """Trains, or resumes training, until `steps`.

    Args:
      model: a `DeepLab`, made under `strategy`, its variables built.
      task: computes the losses of a step.
      stream: maps (batch_size, start, stop, host, num_hosts, is_open) to this
        host's dataset of batches, from example `start` of the run up to `stop`,
        or until `is_open()` is false.
      strategy: of `tf.distribute`.
      model_dir: the run's folder.
      evaluate: maps a `poll` function to scores, every `eval_every` steps and
        at the end. Floats are logged; `writers.SHOWN` goes to TensorBoard.
      ids_at: maps positions in the stream to names of examples, for messages.
      split: the name under which scores are logged.
      class_names: names for numbers that are logged by class.

    Returns:
      The scores at the end, None without `evaluate`. With a teacher, those of
      the trained weights are `student_miou` and `student_pixel_accuracy`.

    Raises:
      NumericalError: a loss or gradient is not finite.
      Preempted: after SIGTERM or SIGINT, with the state saved.
      ConfigError: the batches lack what the task needs, or workers differ.
    """
    team = workers.of(strategy)
    checks.divides(self.batch_size, strategy.num_replicas_in_sync)
    with strategy.scope():
      self.optimizer.build(model.trainable_variables)
      counter = step.make_counter()
      averaged = self._averages(model, task)
      states = averaged and averaged.variables, task.begin(model, averaged)
    kept = (self.optimizer, counter, self.keep, team.is_chief, *states)
    saver = checkpoints.Checkpoints(model_dir, model, *kept)
    start = self._start(model, saver, counter, team, model_dir)
    if averaged and not start:
      averaged.restart()
    gate = gates.Gate()
    dataset = self._distribute(stream, strategy, start, gate)
    _check_needs(task, dataset.element_spec)
    if evaluate is not None and averaged is not None:
      evaluate = _on_averages(evaluate, averaged, task.needs_teacher)
    reported = (evaluate, ids_at, split, class_names)
    run = loop.Loop(self, team, saver, model_dir, *reported)
    train_step = self.step.compiled(model, task, strategy, counter, averaged)
    batches = iter(dataset)
    with gate.drained(batches):
      return run.run(train_step, batches, start)

  def load_warm_start(self, model: keras.Model, model_dir: str) -> None:
    """Loads the warm start, or pretrained weights, of a run without checkpoint.

    `fit` does so too; this finds a wrong one before hours of preparing
    data.

    Args:
      model: a `DeepLab`, its variables built; they get the weights.
      model_dir: the run's folder.

    Raises:
      UserError: see `checkpoints.WarmStart` or `conversion.pretrained`.
    """
    folder = os.path.join(model_dir, run_files.CHECKPOINTS)
    start = self.warm_start or self.pretrained
    if start and not checkpoints.list_checkpoints(folder):
      start(model)

  def learning_rate_at(self, step: int) -> float:
    """The learning rate of a step."""
    rate = self.optimizer._learning_rate
    if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
      rate = rate(step)
    return float(tf.convert_to_tensor(rate))

  @property
  def step(self) -> step.Step:
    """What one step does, with these settings."""
    return step.Step(
      self.optimizer,
      self.weight_decay,
      self.last_layer_gradient_multiplier,
      self.last_layers_contain_logits_only,
      self.jit_compile,
    )

  def _start(self, model, saver, counter, team, model_dir):
    """Restores the run, or its warm start; returns the number of steps done."""
    path = saver.restore()
    if path is not None:
      print(f'Resuming from {path}', flush=True)
    elif self.warm_start is not None:
      path = self.warm_start(model)
      print(f'Starting from {path}', flush=True)
    elif self.pretrained is not None and (origin := self.pretrained(model)):
      if team.is_chief:
        files.write_json(os.path.join(model_dir, run_files.ORIGIN), origin)
      print(f'Starting from {origins.as_text(origin)}', flush=True)
    start = int(counter.numpy())
    if team.count > 1:
      team.agree(
        {'step to resume from': str(start), 'weights': saver.state_digest()},
        'all must see the same checkpoints, in model_dir or of a warm start.',
      )
    return start

  def _averages(self, model, task):
    if self.average_decay is not None:
      return averages.Averages(model, self.average_decay)
    if task.needs_teacher:
      raise errors.ConfigError(
        f'{type(task).__name__} needs a teacher: set Trainer.average_decay, to '
        '0.99 for a training of a thousand steps.'
      )
    return None

  def _distribute(self, stream, strategy, start, gate):
    def make(context):
      return stream(
        batch_size=context.get_per_replica_batch_size(self.batch_size),
        start=start * self.batch_size,
        stop=self.steps * self.batch_size,
        is_open=gate.is_open,
        host=context.input_pipeline_id,
        num_hosts=context.num_input_pipelines,
      )

    return strategy.distribute_datasets_from_function(make)


def _on_averages(evaluate, averaged, has_student):
  """Evaluates the averages; with a student also the trained weights."""

  def run(poll):
    student = evaluate(poll) if has_student else {}
    with averaged.applied():
      scores = evaluate(poll)
    of_student = {
      f'student_{name}': student[name]
      for name in ('miou', 'pixel_accuracy')
      if name in student
    }
    return {**scores, **of_student}

  return run


def _check_needs(task: task_lib.Task, spec):
  missing = sorted(set(task.needs) - set(spec))
  if missing:
    hint = ' Add @transforms.TwoViews().' if common.VIEWS in missing else ''
    if common.UNLABELLED in missing:
      hint = ' Set Experiment.unlabelled, as tasks/consistency.gin does.'
    raise errors.ConfigError(
      f'{type(task).__name__} needs {missing} in every batch; the data offers '
      f'{sorted(spec)}.{hint}'
    )
