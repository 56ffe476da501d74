"""The one training loop."""

import os

import keras
import tensorflow as tf

from deeplab_contrast import common
from deeplab_contrast.distributed import workers
from deeplab_contrast.tasks import task as task_lib
from deeplab_contrast.training import averages, checkpoints, gates
from deeplab_contrast.training import loop as loop_lib
from deeplab_contrast.utils import checks, errors, run_files


class Trainer:
  """Synchronous SGD from a stream of batches, with exact resume.

  The data of a step follow from its number, so a run that was killed sees what
  it would have seen, and on one CPU ends with the very same weights.

  Args:
    optimizer: a Keras optimizer; its learning rate may be a schedule.
    steps: number of steps of the whole run.
    batch_size: examples in a step, over all replicas.
    weight_decay: the original's convention: weight_decay / 2 * sum(w^2) over
      convolution kernels is added to the loss.
    last_layer_gradient_multiplier: how much more the last layers learn; biases
      always learn twice as fast as the rest, as in the original.
    last_layers_contain_logits_only: whether the last layers are the logits
      layer, or all but the backbone.
    warm_start: `WarmStart`, where the weights come from; None for a new start.
    log_every: steps between lines of the log.
    save_every: steps between checkpoints.
    eval_every: steps between evaluations, of whose checkpoints the best is kept
      (`training.best`); 0 evaluates at the end only.
    eval_first: whether to evaluate before the first step too.
    keep: how many of the newest checkpoints are kept.
    profile_steps: for this many steps, shortly after the start, `profiling`
      records for TensorBoard where their time goes; 0 records nothing.
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
    warm_start: checkpoints.WarmStart | None = None,
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
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
      raise ValueError(
        'LossScaleOptimizer is for float16, which is not supported; use '
        "precision = 'mixed_bfloat16'."
      )
    self.optimizer = optimizer
    self.steps = steps
    self.batch_size = batch_size
    self.weight_decay = weight_decay
    self.last_layer_gradient_multiplier = last_layer_gradient_multiplier
    self.last_layers_contain_logits_only = last_layers_contain_logits_only
    self.warm_start = warm_start
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
    model,
    task,
    stream,
    strategy,
    model_dir,
    evaluate=None,
    ids_at=None,
    split='val',
  ):
    """Trains, or goes on training, until `steps`.

    Args:
      model: a `DeepLab`, made under `strategy`, its variables built.
      task: what a step teaches.
      stream: maps (batch_size, start, stop, host, num_hosts, is_open) to this
        host's dataset of batches, from example `start` of the run up to `stop`,
        or until `is_open()` is false.
      strategy: the `tf.distribute` strategy.
      model_dir: the run's folder.
      evaluate: maps a `poll` function to a dict of scores, whose floats are
        logged, and what is in its dict `writers.SHOWN` goes to TensorBoard;
        run every `eval_every` steps and at the end.
      ids_at: maps positions of the stream to names of examples, for messages.
      split: the name under which scores are logged.

    Returns:
      The scores of the evaluation at the end; None without `evaluate`.

    Raises:
      NumericalError: when a loss or gradient stops being finite.
      Preempted: after SIGTERM or SIGINT, with the state saved.
      ConfigError: when the batches lack what the task needs, or the workers
        would start from different weights.
    """
    team = workers.of(strategy)
    checks.divides(self.batch_size, strategy.num_replicas_in_sync)
    with strategy.scope():
      self.optimizer.build(model.trainable_variables)
      step = _counter()
    saver = checkpoints.Checkpoints(
      model_dir, model, self.optimizer, step, self.keep, team.is_chief
    )
    start = self._start(model, saver, step, team)
    gate = gates.Gate()
    dataset = self._distribute(stream, strategy, start, gate)
    _check_needs(task, dataset.element_spec)
    if evaluate is not None:
      evaluate = self._on_averages(evaluate, model)
    loop = loop_lib.Loop(self, team, saver, model_dir, evaluate, ids_at, split)
    train_step = self._make_step(model, task, strategy, step)
    batches = iter(dataset)
    with gate.drained(batches):
      return loop.run(train_step, batches, start)

  def check_start(self, model, model_dir):
    """Meets a wrong warm start now, before data are prepared for hours.

    Args:
      model: a `DeepLab`, its variables built; they get the weights.
      model_dir: the run's folder.

    Raises:
      UserError: of `checkpoints.WarmStart`.
    """
    folder = os.path.join(model_dir, run_files.CHECKPOINTS)
    if self.warm_start and not checkpoints.list_checkpoints(folder):
      self.warm_start(model)

  def _start(self, model, saver, step, team):
    path = saver.restore()
    if path is not None:
      print(f'Going on from {path}', flush=True)
    elif self.warm_start is not None:
      path = self.warm_start(model)
      print(f'Starting from {path}', flush=True)
    start = int(step.numpy())
    if team.count > 1:
      team.agree(
        {'step to go on from': str(start), 'weights': saver.state_digest()},
        'all must see the same checkpoints, in model_dir or of a warm start.',
      )
    return start

  def _on_averages(self, evaluate, model):
    """Evaluates the averaged weights of an optimizer that keeps some."""

    def run(poll):
      if self.optimizer.iterations.numpy() == 0:
        return evaluate(poll)  # Averages are 0 before the first step.
      with averages.applied(self.optimizer, model):
        return evaluate(poll)

    return run

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

  def _make_step(self, model, task, strategy, step):
    """The compiled step: a distributed batch in, {name: float32 []} out."""
    kernels = model.decayed_kernels()
    variables = [v.value for v in model.trainable_variables]
    multipliers = model.gradient_multipliers(
      self.last_layer_gradient_multiplier, self.last_layers_contain_logits_only
    )

    def on_replica(batch):
      with tf.GradientTape() as tape:
        losses = task.losses(model, batch, training=True, step=step.value())
        objective, numbers = self._objective(losses, kernels)
        objective = self.optimizer.scale_loss(objective)
      gradients = _all_reduce(tape.gradient(objective, variables))
      numbers['gradient_norm'] = tf.linalg.global_norm(gradients)
      # Keras sums over replicas once more.
      shares = [m / strategy.num_replicas_in_sync for m in multipliers]
      self.optimizer.apply(
        [
          g if m == 1.0 else g * m
          for g, m in zip(gradients, shares, strict=True)
        ]
      )
      # After the update: what it has made of the weights is seen before saving.
      numbers['weight_norm'] = tf.linalg.global_norm(variables)
      step.assign_add(1)
      return numbers

    on_replica = tf.function(on_replica, jit_compile=self.jit_compile or None)

    @tf.function
    def train_step(batch):
      # All replicas compute the same numbers; the first one's will do.
      numbers = strategy.run(on_replica, args=(batch,))
      return tf.nest.map_structure(
        lambda x: strategy.experimental_local_results(x)[0], numbers
      )

    return train_step

  def _objective(self, losses, kernels):
    """This replica's share of the objective, and the numbers to log."""
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    objective, numbers, counts = 0.0, {}, {}
    for name, (total, count) in losses.items():
      # The sum over replicas of total / global count is the global mean.
      share = tf.math.divide_no_nan(total, _all_reduce(count))
      objective += share
      numbers[name] = _all_reduce(tf.stop_gradient(share))
      counts[f'{name}_count'] = _all_reduce(tf.cast(count, tf.float32))
    decay = self.weight_decay * tf.add_n(
      [tf.nn.l2_loss(tf.convert_to_tensor(k.value)) for k in kernels]
    )
    numbers['loss'] = tf.add_n(list(numbers.values())) + decay
    return objective + decay / replicas, {**numbers, **counts}

  def learning_rate_at(self, step):
    """The learning rate used by a step, as a float."""
    rate = self.optimizer._learning_rate
    if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
      rate = rate(step)
    return float(tf.convert_to_tensor(rate))


def _counter():
  """int64 [], 0: of steps, which all replicas count alike."""
  return tf.Variable(
    0,
    dtype=tf.int64,
    trainable=False,
    aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
  )


def _all_reduce(value):
  """Sums over replicas; the value itself when there is only one."""
  context = tf.distribute.get_replica_context()
  if context.num_replicas_in_sync == 1:
    return value
  return context.all_reduce(tf.distribute.ReduceOp.SUM, value)


def _check_needs(task: task_lib.Task, spec):
  missing = sorted(set(task.needs) - set(spec))
  if missing:
    hint = ' Add @transforms.TwoViews().' if common.VIEWS in missing else ''
    raise errors.ConfigError(
      f'{type(task).__name__} needs {missing} in every batch; the data offers '
      f'{sorted(spec)}.{hint}'
    )
