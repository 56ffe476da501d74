"""Whole images: decoded, padded to one size, predicted, and cut back."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from deeplab_contrast import common
from deeplab_contrast.core import resize
from deeplab_contrast.datasets import pipeline, sources, transforms
from deeplab_contrast.datasets.sources import extremes
from deeplab_contrast.inference import evaluator as evaluator_lib
from deeplab_contrast.utils import errors

# Sides of padded images are k * _STRIDE + 1.
_STRIDE = 16

# Of an example: (height, width) before it was padded.
_SIZE = 'size'


@dataclasses.dataclass(frozen=True)
class Prediction:
  """What was predicted for one image.

  Attributes:
    id: the name of the image.
    image: uint8 [height, width, 3], not padded.
    label: int32 [height, width], the true classes; IGNORE_LABEL where there are
      none.
    maps: what the function gave, each [height, width, ...].
  """

  id: str
  image: np.ndarray
  label: np.ndarray
  maps: tuple[np.ndarray, ...]


@dataclasses.dataclass(frozen=True)
class WholeImages:
  """The images of a split, padded to one size at the bottom and the right.

  Attributes:
    examples: the opened split.
    size: (height, width) that all images are padded to.
    pixel: the value of new pixels, see `transforms.Pad`.
  """

  examples: sources.Examples
  size: tuple[int, int]
  pixel: float | tuple[float, float, float] = common.MEAN_PIXEL

  def padded(self, index: int) -> dict[str, tf.Tensor]:
    """One example: float32 [height, width, 3], int32 [height, width], ID."""
    return self._pad(transforms.Decode()(self.examples[index]))

  def batches(
    self, batch_size: int, host: int = 0, num_hosts: int = 1, replicas: int = 1
  ) -> tf.data.Dataset:
    """All examples once, in order; see `pipeline.once`."""
    steps = (transforms.Decode(), self._pad)
    return pipeline.once(
      self.examples, steps, batch_size, host, num_hosts, replicas
    )

  def predict(
    self,
    function: Callable[[tf.Tensor], Any],
    indices: Sequence[int],
    batch_size: int = 1,
    poll: Callable[[], object] = lambda: None,
  ) -> Iterator[Prediction]:
    """Predicts some of the images, and cuts the results to their sizes.

    Args:
      function: maps float32 images [batch, height, width, 3] to one map
        [batch, height, width, ...], or to a tuple of such maps.
      indices: which examples.
      batch_size: how many images at a time; the last batch is filled up.
      poll: called before every batch, e.g. to stop on a signal.

    Yields:
      A `Prediction` for each index, in order.

    Raises:
      DataError: an image or a label is damaged.
    """
    if not len(indices):
      return
    some = sources.Subset(self.examples, indices)
    steps = (_DecodeWithSize(), self._pad)
    with pipeline.data_errors():
      for batch in pipeline.once(some, steps, batch_size):
        poll()
        found = function(batch[common.IMAGE])
        maps = found if isinstance(found, (tuple, list)) else (found,)
        yield from _cut(batch, [x.numpy() for x in maps])

  @property
  def _pad(self):
    return transforms.Pad(self.size, self.pixel, exact=True)


def of(
  experiment: Any,
  examples: sources.Examples,
  count: int = 1,
  evaluator: evaluator_lib.Evaluator | None = None,
  labels: bool = True,
) -> WholeImages:
  """Whole images as an experiment evaluates them.

  Args:
    experiment: an `Experiment`.
    examples: the opened split.
    count: how many are predicted at once, on one replica.
    evaluator: None takes that of the experiment.
    labels: whether labels are predicted; otherwise probabilities.

  Raises:
    ConfigError, DataError: see `evaluation_size`.
  """
  evaluator = evaluator or experiment.evaluator
  size = evaluation_size(examples, evaluator, count, labels)
  return WholeImages(examples, size, experiment.pad_pixel)


def labels(
  experiment: Any, examples: sources.Examples
) -> Callable[..., Iterator[Prediction]]:
  """The labels of single images, as an experiment's evaluation predicts them.

  Args:
    experiment: an `Experiment` that classifies.
    examples: the opened split.

  Returns:
    A function of indices, and optionally `poll`, see `WholeImages.predict`; the
    map of each `Prediction` is int32 [height, width]. The network is traced
    once.

  Raises:
    ConfigError, DataError: see `evaluation_size`.
  """
  predictor, model = experiment.evaluator.predictor, experiment.model
  function = tf.function(
    lambda images: predictor.labels(model, images), autograph=False
  )
  return functools.partial(of(experiment, examples).predict, function)


def evaluation_size(
  examples: sources.Examples,
  evaluator: evaluator_lib.Evaluator,
  count: int = 1,
  labels: bool = True,
) -> tuple[int, int]:
  """The `pad_size` of an evaluation, if predictions of it fit into memory.

  Args:
    examples: the opened split.
    evaluator: `Evaluator`.
    count: how many are predicted at once, on one replica.
    labels: whether labels are predicted; otherwise probabilities.

  Returns:
    (height, width).

  Raises:
    ConfigError: an image does not fit into `crop_size`.
    DataError: images of this size would need too much memory.
  """
  size = pad_size(examples.max_size, evaluator.crop_size, 'Evaluator')
  classes = examples.info.num_classes
  remedy = evaluator.less_memory(
    size, classes, count, extremes.MOST_VALUES, labels
  )
  if remedy is not None:
    values = evaluator.predictor.values(size, classes, labels)
    raise extremes.refusal(examples, size, count, values, remedy)
  return size


def pad_size(
  max_size: Sequence[int], crop_size: Sequence[int] | None, owner: str
) -> tuple[int, int]:
  """The one size that all images of a split are padded to.

  Args:
    max_size: (height, width), the largest sides of the split.
    crop_size: (height, width), or None for the largest sides, as k * 16 + 1.
    owner: the class whose setting `crop_size` is.

  Returns:
    (height, width).

  Raises:
    ConfigError: an image does not fit into `crop_size`.
  """
  height, width = max_size
  if crop_size is None:
    return (
      resize.fitting_size(height, _STRIDE),
      resize.fitting_size(width, _STRIDE),
    )
  size = (crop_size[0], crop_size[1])
  if size[0] < height or size[1] < width:
    raise errors.ConfigError(
      f'{owner}.crop_size {size} is smaller than the largest image of the '
      f'split, {(height, width)} (height, width); make it at least that, or '
      'None.'
    )
  return size


def spread(total: int, count: int) -> list[int]:
  """Up to `count` indices below `total`, evenly spaced."""
  return np.linspace(0, total - 1, min(count, total)).astype(int).tolist()


class _DecodeWithSize(transforms.Decode):
  """Notes the size of an image, before it is padded."""

  def __call__(self, example):
    """See base class."""
    example = super().__call__(example)
    return {**example, _SIZE: tf.shape(example[common.LABEL])}


def _cut(batch, maps):
  """Yields the predictions of a batch; examples that fill it have no id."""
  batch = {key: value.numpy() for key, value in batch.items()}
  for row, name in enumerate(batch[common.ID]):
    if name:
      height, width = batch[_SIZE][row]
      cut = np.s_[row, :height, :width]
      yield Prediction(
        name.decode(),
        batch[common.IMAGE][cut].round().astype(np.uint8),
        batch[common.LABEL][cut],
        tuple(x[cut] for x in maps),
      )
