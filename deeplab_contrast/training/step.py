"""One optimisation step: losses, gradients over all replicas, the update."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from deeplab_contrast import common
from deeplab_contrast.tasks import task as task_lib
from deeplab_contrast.training import adamw, averages


@dataclasses.dataclass(frozen=True)
class Step:
  """How one step changes the weights; for the attributes see `Trainer`."""

  optimizer: keras.optimizers.Optimizer
  weight_decay: float
  last_layer_gradient_multiplier: float
  last_layers_contain_logits_only: bool
  jit_compile: bool

  def compiled(
    self,
    model: keras.Model,
    task: task_lib.Task,
    strategy: tf.distribute.Strategy,
    counter: tf.Variable,
    averaged: averages.Averages | None = None,
  ) -> Callable[[Any], dict[str, tf.Tensor]]:
    """Compiles the step.

    Args:
      model: a `DeepLab`, made under `strategy`, its variables built.
      task: computes the losses.
      strategy: the `tf.distribute` strategy.
      counter: int64 [], the number of steps done; every step adds 1.
      averaged: moved after the update.

    Returns:
      A function from a distributed batch to numbers: {name: float32 []}, those
      by class [classes].
    """
    kernels = model.decayed_kernels()
    variables = [v.value for v in model.trainable_variables]
    multipliers = self._multipliers(model)

    def on_replica(batch):
      with tf.GradientTape() as tape:
        losses = task.losses(model, batch, training=True, step=counter.value())
        objective, numbers = self._objective(losses, kernels)
        objective = self.optimizer.scale_loss(objective)
      gradients = _all_reduce(tape.gradient(objective, variables))
      numbers['gradient_norm'] = tf.linalg.global_norm(gradients)
      # Keras sums over replicas once more.
      shares = [m / strategy.num_replicas_in_sync for m in multipliers]
      self.optimizer.apply(_products(gradients, shares))
      # After the update, so that weights it has ruined are seen before saving.
      numbers['weight_norm'] = tf.linalg.global_norm(variables)
      counter.assign_add(1)
      if averaged is not None:
        averaged.update(counter.value())
      return numbers

    # AutoGraph would take seconds, and no branch here depends on tensors.
    on_replica = tf.function(
      on_replica, jit_compile=self.jit_compile or None, autograph=False
    )

    @tf.function(autograph=False)
    def train_step(batch):
      # All replicas compute the same numbers; the first one's will do.
      numbers = strategy.run(on_replica, args=(batch,))
      return tf.nest.map_structure(
        lambda x: strategy.experimental_local_results(x)[0], numbers
      )

    return train_step

  def _multipliers(self, model):
    """The factor on the gradient of each trainable variable."""
    multipliers = model.gradient_multipliers(
      self.last_layer_gradient_multiplier, self.last_layers_contain_logits_only
    )
    return adamw.gradient_factors(
      self.optimizer, model.trainable_variables, multipliers
    )

  def _objective(
    self,
    losses: Mapping[str, common.Weighted | common.Term],
    kernels: Sequence[Any],
  ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """This replica's share of the objective, and the numbers to log."""
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    objective, loss, numbers, counts = 0.0, 0.0, {}, {}
    for name, (total, count, *rest) in losses.items():
      weight = rest[0] if rest else 1.0
      # The sum over replicas of total / global count is the global mean.
      share = tf.math.divide_no_nan(total, _all_reduce(count))
      numbers[name] = _all_reduce(tf.stop_gradient(share))
      if not (isinstance(weight, float) and weight == 0.0):
        objective += weight * share
        loss += weight * numbers[name]
      counts[f'{name}_count'] = _all_reduce(tf.cast(count, tf.float32))
    decay = self.weight_decay * tf.add_n(
      [tf.nn.l2_loss(tf.convert_to_tensor(k.value)) for k in kernels]
    )
    numbers['loss'] = loss + decay
    return objective + decay / replicas, {**numbers, **counts}


def _products(gradients, factors):
  pairs = zip(gradients, factors, strict=True)
  return [x if factor == 1.0 else x * factor for x, factor in pairs]


def make_counter() -> tf.Variable:
  """int64 [], 0: a counter of steps, the same on all replicas."""
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
