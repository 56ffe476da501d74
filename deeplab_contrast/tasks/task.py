"""The one interface of training: what a step teaches."""

import abc

from deeplab_contrast import common


class Task(abc.ABC):
  """A head for the network; then a batch goes in, named losses come out.

  Attributes:
    needs: keys a batch must have.
  """

  needs: tuple[str, ...]

  @abc.abstractmethod
  def make_head(self, num_classes):
    """The head this task trains, for a dataset of so many classes."""

  @abc.abstractmethod
  def losses(self, model, batch, training, step) -> dict[str, common.Weighted]:
    """Computes the losses of one replica's batch.

    Args:
      model: a `model.DeepLab`.
      batch: dict of tensors with at least the keys `needs`.
      training: bool.
      step: int64 [], how many steps of the training are done.

    Returns:
      `Weighted` pairs by name; the objective is the sum of their quotients.
    """
