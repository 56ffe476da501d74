"""The interface of a training task: a head and its losses."""

import abc
from collections.abc import Mapping

import keras
import tensorflow as tf

from deeplab_contrast import common
from deeplab_contrast.core.network.model import DeepLab


class Task(abc.ABC):
  """Makes a head for the network, and computes named losses of a batch.

  Attributes:
    needs: keys that a batch must have.
  """

  needs: tuple[str, ...]

  @abc.abstractmethod
  def make_head(self, num_classes: int) -> keras.layers.Layer:
    """The head that this task trains, for a dataset of `num_classes`."""

  @abc.abstractmethod
  def losses(
    self,
    model: DeepLab,
    batch: Mapping[str, tf.Tensor],
    training: bool,
    step: tf.Tensor,
  ) -> dict[str, common.Weighted]:
    """Computes the losses of one replica's batch.

    Args:
      model: a `model.DeepLab`.
      batch: dict of tensors with at least the keys `needs`.
      training: bool.
      step: int64 [], number of training steps done so far.

    Returns:
      `Weighted` terms by name; the objective is the sum of their means.
    """
