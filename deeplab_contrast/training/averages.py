"""Moving averages of weights: what is evaluated, and the teacher of a task."""

import contextlib
from collections.abc import Iterator

import keras
import tensorflow as tf


class Averages:
  """Moving averages of a network's weights and of its batch norm statistics.

  After step t, average = d * average + (1 - d) * weight, with d the smaller of
  `decay` and 1 - 1 / t: at first it is the plain mean of all steps, in which
  the initial weights have no share.

  Make it in the strategy's scope.

  Args:
    model: its variables built.
    decay: 0 to 1; higher ones average over more steps, about 1 / (1 - decay).
  """

  def __init__(self, model: keras.Model, decay: float):
    self._model = model
    self._decay = decay
    self._pairs = [
      (
        variable,
        tf.Variable(
          variable.numpy(),
          trainable=False,
          aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        ),
      )
      for variable in model.variables
      if variable.value.dtype.is_floating  # Not the seeds of dropout.
    ]

  @property
  def variables(self) -> dict[str, tf.Variable]:
    """{path of a variable of the model: its average}."""
    return {variable.path: average for variable, average in self._pairs}

  def restart(self) -> None:
    """Sets the averages to the weights of the model."""
    for variable, average in self._pairs:
      average.assign(variable.value)

  def update(self, step: tf.Tensor) -> None:
    """Moves the averages after a step; called on every replica.

    Args:
      step: int64 [], the number of steps done, 1 or more.
    """
    share = 1.0 - tf.minimum(1.0 - 1.0 / tf.cast(step, tf.float32), self._decay)
    for variable, average in self._pairs:
      difference = variable.value - average
      average.assign(average + difference * tf.cast(share, average.dtype))

  def __call__(self, images: tf.Tensor) -> tf.Tensor:
    """The output of the network with averaged weights, in evaluation mode.

    Args:
      images: float32 [batch, height, width, 3], 0 to 255.

    Returns:
      What the model returns; no gradient flows to the averages.
    """
    values = [
      (v, tf.stop_gradient(tf.convert_to_tensor(a))) for v, a in self._pairs
    ]
    with keras.StatelessScope(state_mapping=values):
      return self._model(images, training=False)

  @contextlib.contextmanager
  def applied(self) -> Iterator[None]:
    """Gives the model its averaged weights while inside."""
    saved = [variable.value.numpy() for variable, _ in self._pairs]
    try:
      for variable, average in self._pairs:
        variable.assign(average.numpy())
      yield
    finally:
      for (variable, _), value in zip(self._pairs, saved, strict=True):
        variable.assign(value)
