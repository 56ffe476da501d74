"""The one interface of training: what a step teaches."""

import abc
from collections.abc import Mapping

import keras
import tensorflow as tf

from deeplab_contrast import common
from deeplab_contrast.core.network.model import DeepLab


class Task(abc.ABC):
  """A head for the network; then a batch goes in, named losses come out.

  Attributes:
    needs: keys a batch must have.
  """

  needs: tuple[str, ...]

  @abc.abstractmethod
  def make_head(self, num_classes: int) -> keras.layers.Layer:
    """The head this task trains, for a dataset of so many classes."""

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
      step: int64 [], how many steps of the training are done.

    Returns:
      `Weighted` pairs by name; the objective is the sum of their quotients.
    """
