"""What is in a prepared dataset: counted from what training will read."""

import dataclasses
import io

import numpy as np
from PIL import Image

from deeplab_contrast import common
from deeplab_contrast.datasets import sources
from deeplab_contrast.datasets.raw import parallel, raw_pairs

# The ones named in a list of the worst.
_MOST_NAMED = 10

# The weight of a class that hardly occurs; above, its few pixels are noise.
_LARGEST_WEIGHT = 10.0


@dataclasses.dataclass(frozen=True)
class SplitCounts:
  """The labels of one split.

  Attributes:
    ids: one per image.
    sizes: int [images, 2], height and width.
    pixels: int64 [images, classes + 1], of each class and, last, of void.
  """

  ids: list[str]
  sizes: np.ndarray
  pixels: np.ndarray

  @property
  def is_labelled(self):
    """Whether any pixel has a class."""
    return bool(self.pixels[:, :-1].any())

  @property
  def void(self):
    """Float [images]: the share of void."""
    return self.pixels[:, -1] / self.pixels.sum(1)

  @property
  def weights(self):
    """Float [classes]: what evens out the shares of the classes in a loss.

    The median of all frequencies by that of the class (median frequency
    balancing, Eigen and Fergus 2015), at most 10; a frequency is the share
    among the pixels of the images that show the class. 1 for an absent class.
    """
    of_classes = self.pixels[:, :-1]
    around = ((of_classes > 0) * of_classes.sum(1, keepdims=True)).sum(0)
    occurs = around > 0
    frequency = of_classes.sum(0)[occurs] / around[occurs]
    weights = np.ones(len(occurs))
    weights[occurs] = np.median(frequency) / frequency
    return np.minimum(weights, _LARGEST_WEIGHT)

  def summary(self, class_names):
    """A dict that JSON can hold, for the report."""
    smallest, largest = self.sizes.min(0), self.sizes.max(0)
    result = {
      'images': len(self.ids),
      'labelled': self.is_labelled,
      'smallest': smallest.tolist(),
      'largest': largest.tolist(),
    }
    if not self.is_labelled:
      return result
    totals, present = self.pixels.sum(0), (self.pixels > 0).sum(0)
    share = totals / totals.sum()
    names = [*class_names, 'void']
    classes = {
      name: {
        'pixels': int(totals[i]),
        'share': float(share[i]),
        'images': int(present[i]),
      }
      for i, name in enumerate(names)
    }
    weights = self.weights.round(2).tolist()
    return {
      **result,
      'classes': classes,
      'label_weights': weights,
      **self._oddities(),
    }

  def _oddities(self):
    void = self.void
    worst = [i for i in np.argsort(-void, kind='stable') if void[i] > 0]
    kinds = (self.pixels[:, :-1] > 0).sum(1)
    return {
      'empty': self._named(kinds == 0),
      'one_class_only': int((kinds == 1).sum()),
      'most_void': [
        {'id': self.ids[i], 'void': float(void[i])} for i in worst[:_MOST_NAMED]
      ],
    }

  def _named(self, chosen):
    return [self.ids[i] for i in np.flatnonzero(chosen)]


def count(dataset, split, data_dir):
  """Reads all labels of a prepared split.

  Args:
    dataset: a `Dataset`, prepared in `data_dir`.
    split: its name.
    data_dir: likewise.

  Returns:
    SplitCounts.

  Raises:
    DataError: an example cannot be read.
  """
  examples = sources.TfdsSplit(dataset, split).open(data_dir)
  classes = dataset.info.num_classes

  def read(index):
    label = np.asarray(Image.open(io.BytesIO(examples[index][common.LABEL])))
    pixels = np.bincount(label.ravel(), minlength=256)
    of_classes, void = pixels[:classes], pixels[common.IGNORE_LABEL]
    return label.shape[:2], [*of_classes, void]

  indices = range(len(examples))
  found = list(
    parallel.progress(
      raw_pairs.in_threads(read, indices),
      f'Counting {split}',
      len(indices),
      'labels',
    )
  )
  sizes, pixels = zip(*found, strict=True)
  return SplitCounts(examples.ids(), np.array(sizes), np.array(pixels))
