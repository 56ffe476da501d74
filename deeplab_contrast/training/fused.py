"""One kernel for an update that Keras makes of several operations."""

import keras
import tensorflow as tf


def fuse(optimizer: keras.optimizers.Optimizer) -> None:
  """Makes plain SGD with momentum update a variable in one operation.

  The same update as Keras', in a single pass over gradient, momentum and
  weight. Other optimizers, and subclasses, stay as they are.

  Args:
    optimizer: changed in place; its variables are the same as before.
  """
  if type(optimizer) is not keras.optimizers.SGD or not optimizer.momentum:
    return

  def update_step(gradient, variable, learning_rate):
    index = optimizer._get_variable_index(variable)
    momentum = optimizer.momentums[index].value
    dtype = variable.dtype
    tf.raw_ops.ResourceApplyKerasMomentum(
      var=variable.handle,
      accum=momentum.handle,
      lr=tf.cast(learning_rate, dtype),
      grad=tf.cast(gradient, dtype),
      momentum=tf.cast(optimizer.momentum, dtype),
      use_nesterov=optimizer.nesterov,
    )

  optimizer.update_step = update_step
