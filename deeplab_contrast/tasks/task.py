"""The interface of a training task: a head and its losses."""

import abc
from collections.abc import Callable, Mapping
from typing import TypeAlias

import keras
import numpy as np
import tensorflow as tf

from deeplab_contrast import common
from deeplab_contrast.core.network.model import DeepLab

# Maps images, float32 [batch, height, width, 3], to the output of the network
# with averaged weights, in evaluation mode.
Teacher: TypeAlias = Callable[[tf.Tensor], tf.Tensor]


class Task(abc.ABC):
  """Makes a head for the network, and computes named losses of a batch.

  Attributes:
    needs: keys that a batch must have.
    needs_teacher: whether `begin` must get a teacher: the trainer then has to
      average weights.
  """

  needs: tuple[str, ...]
  needs_teacher: bool = False

  @abc.abstractmethod
  def make_head(self, num_classes: int) -> keras.layers.Layer:
    """The head that this task trains, for a dataset of `num_classes`."""

  def make_projection(self) -> keras.layers.Layer | None:
    """A second head, which is only trained; None for most tasks."""
    return None

  def see_classes(self, count: Callable[[], np.ndarray]) -> None:
    """Called once before a training, ahead of `begin`.

    Args:
      count: counts the labels to learn from: returns int64 [images, classes],
        the pixels of each class in each image. It may read all labels.
    """
    del count

  def begin(
    self, model: DeepLab, teacher: Teacher | None
  ) -> Mapping[str, tf.Variable]:
    """Called once before a training, in the strategy's scope.

    Args:
      model: its variables built.
      teacher: the network with averaged weights; None if none are kept.

    Returns:
      {name: variable}, the state of the task that a resumed training needs.
      `losses` may change it, equally on all replicas.
    """
    del model, teacher
    return {}

  @abc.abstractmethod
  def losses(
    self,
    model: DeepLab,
    batch: Mapping[str, tf.Tensor],
    training: bool,
    step: tf.Tensor,
  ) -> Mapping[str, common.Weighted | common.Term]:
    """Computes the losses of one replica's batch.

    Args:
      model: a `model.DeepLab`.
      batch: dict of tensors with at least the keys `needs`.
      training: bool.
      step: int64 [], number of training steps done so far.

    Returns:
      `Weighted` losses by name; the objective is the sum of their means.
      A `Term` has a weight in this sum.
    """
