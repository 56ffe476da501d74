"""Weights in checkpoints, without the state of a training."""

from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf

from deeplab_contrast.training import checkpoints, contents
from deeplab_contrast.utils import errors


def read(
  model_dir: str, model: keras.Model
) -> tuple[str, dict[str, np.ndarray], int]:
  """Reads a model's weights from the newest readable checkpoint of a run.

  Args:
    model_dir: the run's folder.
    model: a built Keras model; its variables are not changed.

  Returns:
    (path, {name as in `contents.names`: array, averaged where there are
    averages}, the number of variables of the optimizer in the checkpoint).

  Raises:
    ConfigError: the folder holds no checkpoint, or another network's.
    SystemFault: none can be read.
  """
  named = contents.by_path(model.variables)

  def read(path):
    stored = contents.stored_shapes(path)
    here = {
      name: v for name, v in named.items() if contents.key(name) in stored
    }
    contents.check_shapes(path, here or named, stored)
    averaged = contents.averaged(path, here)
    keys = {n: contents.key(n, 'average') for n in averaged}
    reader = tf.train.load_checkpoint(path)
    others = [key for key in stored if key.startswith('optimizer/')]
    try:
      arrays = {
        name: reader.get_tensor(keys.get(name, contents.key(name)))
        for name in here
      }
    except (tf.errors.OpError, IndexError) as e:
      raise contents.Unreadable(contents.first_line(e)) from e
    return arrays, len(others)

  path, (arrays, others) = checkpoints.newest_readable(
    checkpoints.of_run(model_dir), read
  )
  return path, arrays, others


def write(
  model_dir: str, weights: Mapping[str, np.ndarray], step: int = 0
) -> str:
  """Writes weights, without the state of a training, as a new checkpoint.

  Args:
    model_dir: the run's folder.
    weights: {name as in `contents.names`: array} of a model or its parts.
    step: the number in the checkpoint's name.

  Returns:
    The checkpoint's path.

  Raises:
    SystemFault: it cannot be written.
  """
  path = checkpoints.path_of(model_dir, step)
  variables = {name: tf.Variable(value) for name, value in weights.items()}
  checkpoint = tf.train.Checkpoint(model=variables)
  _ = checkpoint.save_counter  # Makes it; restoring a whole model expects it.
  try:
    return checkpoint.write(path)
  except (tf.errors.OpError, OSError) as e:
    raise errors.SystemFault(
      f'Cannot write {path}: {contents.first_line(e)}'
    ) from e
