"""Scores of the predictions for a split."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from deeplab_contrast import common
from deeplab_contrast.core import confusion
from deeplab_contrast.datasets import info as dataset_info
from deeplab_contrast.inference import predictor as predictor_lib
from deeplab_contrast.utils import checks

# A tile size that suits any network.
_TILE = 513


@dataclasses.dataclass(frozen=True)
class Evaluator:
  """Intersection over union and related scores of whole images.

  Attributes:
    predictor: how images are predicted.
    batch_size: images at a time, over all replicas.
    crop_size: (height, width) that images are padded to; None takes the
      largest image of the split, as k * 16 + 1.
    limit: evaluates only the first `limit` images; None means all.
    trimap_width: also evaluates only the pixels within this many pixels of a
      pixel of a different class (a band that Kohli et al., 2009, called a
      trimap); None does not.
  """

  predictor: predictor_lib.Predictor = predictor_lib.Predictor()
  batch_size: int = 8
  crop_size: tuple[int, int] | None = None
  limit: int | None = None
  trimap_width: int | None = None

  def __post_init__(self):
    """Refuses invalid numbers."""
    limit = {} if self.limit is None else {'limit': self.limit}
    checks.whole({'batch_size': self.batch_size, **limit}, 1)
    size = self.crop_size
    if size is not None and not _is_size(size):
      raise ValueError(
        f'crop_size is {size!r}; it must be (height, width) in pixels, or None.'
      )
    if self.trimap_width is not None:
      checks.whole({'trimap_width': self.trimap_width}, 1)

  def less_memory(
    self,
    size: Sequence[int],
    num_classes: int,
    count: int,
    most: int,
    labels: bool = True,
  ) -> str | None:
    """What to change so that no array gets too large.

    Args:
      size: (height, width) of all images.
      num_classes: int.
      count: images at a time, on one replica.
      most: how many numbers an array may have.
      labels: whether labels are predicted; otherwise probabilities.

    Returns:
      A phrase; '' if nothing would help, None if nothing is too large.
    """
    possible = most // self.predictor.values(size, num_classes, labels)
    if possible >= count:
      return None
    if possible:
      return f'take at most {possible} at once (Evaluator.batch_size)'
    tiles = predictor_lib.Predictor(tile_size=_TILE)
    if labels and tiles.values(size, num_classes) <= most:
      return f'set Predictor.tile_size = {_TILE} and Evaluator.batch_size = 1'
    if self.crop_size is not None:
      return 'make Evaluator.crop_size smaller if the images are'
    return ''

  def evaluate(
    self,
    model: keras.Model,
    batches: Iterable[Mapping[str, Any]],
    info: dataset_info.DatasetInfo,
    strategy: tf.distribute.Strategy,
    poll: Callable[[], object] = lambda: None,
    count: Callable[[Any, Any], tf.Tensor] | None = None,
  ) -> dict[str, Any]:
    """Predicts a split once, and scores the predictions.

    Args:
      model: a `DeepLab` with a `Classifier`.
      batches: a dataset of full batches of IMAGE and LABEL, or one distributed
        by `strategy`; examples that fill up the last batch have only ignored
        pixels.
      info: the split's `DatasetInfo`.
      strategy: the `tf.distribute` strategy the model was made under.
      poll: called between batches, e.g. to stop on a signal.
      count: what `counter` returned; None makes a new one.

    Returns:
      The dict of `confusion.scores`, with `matrix` (int64 [classes, classes]);
      if `info` has categories, `category_iou` ({name: float}) and
      `category_miou`; with a `trimap_width`, also `trimap_width`,
      `trimap_miou`, `trimap_pixel_accuracy` and `trimap_iou`, of the pixels
      near outlines.
    """
    count = count or self.counter(model, info.num_classes, strategy)
    distributed = batches
    if isinstance(batches, tf.data.Dataset):
      distributed = strategy.experimental_distribute_dataset(batches)
    total = tf.zeros([self._kinds, *[info.num_classes] * 2], tf.int64)
    for batch in distributed:
      poll()
      total += count(batch[common.IMAGE], batch[common.LABEL])
    matrix, *near = total.numpy()
    result = {**confusion.scores(matrix), 'matrix': matrix}
    if info.categories:
      index, merged = confusion.merged(matrix, info.categories)
      of_groups = confusion.scores(merged)
      result['category_iou'] = dict(zip(index, of_groups['iou'], strict=True))
      result['category_miou'] = of_groups['miou']
    for band in near:
      result['trimap_width'] = self.trimap_width
      of_band = confusion.scores(band)
      for name in ('miou', 'pixel_accuracy', 'iou'):
        result[f'trimap_{name}'] = of_band[name]
    return result

  @property
  def _kinds(self):
    """How many matrices are counted: of all pixels, of those near outlines."""
    return 1 if self.trimap_width is None else 2

  def counter(
    self, model: keras.Model, num_classes: int, strategy: tf.distribute.Strategy
  ) -> Callable[[Any, Any], tf.Tensor]:
    """The compiled prediction and count of a batch, for `evaluate`.

    Args:
      model: a `DeepLab` with a `Classifier`.
      num_classes: int.
      strategy: the `tf.distribute` strategy the model was made under.

    Returns:
      A function of images and labels, which gives int64 matrices [kinds,
      classes, classes]. Tracing the network takes seconds, so that several
      evaluations should share one.
    """

    def count(images, labels):
      predictions = self.predictor.labels(model, images)
      counted = [labels]
      if self.trimap_width is not None:
        near = confusion.near_outlines(labels, self.trimap_width, num_classes)
        counted.append(tf.where(near, labels, common.IGNORE_LABEL))
      return tf.stack(
        [
          confusion.confusion_matrix(x, predictions, num_classes)
          for x in counted
        ]
      )

    @tf.function(reduce_retracing=True, autograph=False)
    def step(images, labels):
      matrices = strategy.run(count, args=(images, labels))
      return strategy.reduce(tf.distribute.ReduceOp.SUM, matrices, axis=None)

    return step


def _is_size(value):
  return (
    isinstance(value, (tuple, list))
    and len(value) == 2
    and all(type(side) is int and side > 0 for side in value)
  )
