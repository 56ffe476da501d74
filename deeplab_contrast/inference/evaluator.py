"""A predictor over a split, as numbers."""

import dataclasses

import tensorflow as tf

from deeplab_contrast import common
from deeplab_contrast.core import confusion, resize
from deeplab_contrast.inference import predictor as predictor_lib
from deeplab_contrast.utils import checks

# A size of tiles that suits any network.
_TILE = 513

# Sides of padded images are k * _STRIDE + 1.
_STRIDE = 16


@dataclasses.dataclass(frozen=True)
class Evaluator:
  """Intersection over union and its kin on whole images.

  Attributes:
    predictor: how images are predicted.
    batch_size: images at a time, over all replicas.
    crop_size: (height, width) images are padded to; None takes the largest
      image of the split, as k * 16 + 1.
    limit: evaluates only the first so many images; None means all.
    trimap_width: judges once more, only the pixels that have one of another
      class within so many pixels (Kohli et al., 2009, called such a band a
      trimap); None does not.
  """

  predictor: predictor_lib.Predictor = predictor_lib.Predictor()
  batch_size: int = 8
  crop_size: tuple[int, int] | None = None
  limit: int | None = None
  trimap_width: int | None = None

  def __post_init__(self):
    """Refuses numbers that make no sense."""
    limit = {} if self.limit is None else {'limit': self.limit}
    checks.whole({'batch_size': self.batch_size, **limit}, 1)
    size = self.crop_size
    if size is not None and not _is_size(size):
      raise ValueError(
        f'crop_size is {size!r}; it must be (height, width) in pixels, or None.'
      )
    if self.trimap_width is not None:
      checks.whole({'trimap_width': self.trimap_width}, 1)

  def pad_size(self, max_size):
    """The one size all images are padded to.

    Args:
      max_size: (height, width), the largest sides of the split.

    Returns:
      (height, width).

    Raises:
      ValueError: when an image would not fit into `crop_size`.
    """
    return pad_size(max_size, self.crop_size, 'Evaluator')

  def less_memory(self, size, num_classes, count, most, labels=True):
    """What to change so that no array gets too large.

    Args:
      size: (height, width) of all images.
      num_classes: int.
      count: images at a time, on one replica.
      most: how many numbers an array may have.
      labels: whether labels are wanted; otherwise probabilities.

    Returns:
      Words; '' if nothing would help, None if nothing is too large.
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

  def evaluate(self, model, batches, info, strategy, poll=lambda: None):
    """Runs over a split once.

    Args:
      model: a `DeepLab` with a `Classifier`.
      batches: a dataset of full batches of IMAGE and LABEL, or what `strategy`
        made of one; examples that fill up the last batch have only ignored
        pixels.
      info: the split's `DatasetInfo`.
      strategy: the `tf.distribute` strategy the model was made under.
      poll: called between batches, e.g. to stop on a signal.

    Returns:
      The dict of `confusion.scores`, with `matrix` added (int64 array); for
      info with categories `category_iou` ({name: float}) and `category_miou`;
      with a `trimap_width` that, `trimap_miou`, `trimap_pixel_accuracy` and
      `trimap_iou`, of the pixels near outlines.
    """
    step = self._step(model, info.num_classes, strategy)
    distributed = batches
    if isinstance(batches, tf.data.Dataset):
      distributed = strategy.experimental_distribute_dataset(batches)
    total = tf.zeros([self._kinds, *[info.num_classes] * 2], tf.int64)
    for batch in distributed:
      poll()
      total += step(batch[common.IMAGE], batch[common.LABEL])
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

  def _step(self, model, num_classes, strategy):
    def count(images, labels):
      predictions = self.predictor.labels(model, images)
      judged = [labels]
      if self.trimap_width is not None:
        near = confusion.near_outlines(labels, self.trimap_width, num_classes)
        judged.append(tf.where(near, labels, common.IGNORE_LABEL))
      return tf.stack(
        [
          confusion.confusion_matrix(x, predictions, num_classes)
          for x in judged
        ]
      )

    @tf.function(reduce_retracing=True)
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


def pad_size(max_size, crop_size, owner):
  """The one size all images of a split are padded to.

  Args:
    max_size: (height, width), the largest sides of the split.
    crop_size: (height, width), or None for the largest sides, as k * 16 + 1.
    owner: the class whose setting `crop_size` is.

  Returns:
    (height, width).

  Raises:
    ValueError: when an image would not fit into `crop_size`.
  """
  if crop_size is None:
    return tuple(resize.fitting_size(side, _STRIDE) for side in max_size)
  size = tuple(crop_size)
  if size[0] < max_size[0] or size[1] < max_size[1]:
    raise ValueError(
      f'{owner}.crop_size {size} is smaller than the largest image of the '
      f'split, {tuple(max_size)} (height, width); make it at least that, or '
      'None.'
    )
  return size
