"""What is in a prepared dataset: counted from what training will read."""

import dataclasses
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from deeplab_contrast import common
from deeplab_contrast.core.losses import softmax_loss
from deeplab_contrast.datasets import info as dataset_info
from deeplab_contrast.datasets import sources
from deeplab_contrast.datasets.raw import raw_pairs
from deeplab_contrast.utils import progress

# How many of the worst are listed.
_MOST_NAMED = 10


@dataclasses.dataclass(frozen=True)
class SplitCounts:
  """The labels of one split.

  Attributes:
    ids: one per image.
    sizes: int [images, 2], height and width.
    pixels: int64 [images, classes + 1], of each class and, last, of void.
    lines: float [images, 2, classes], sums over the pixels of each class: of
      the length of the run of its class that a pixel is in, within its row and
      within its column; None if not measured.
  """

  ids: list[str]
  sizes: np.ndarray
  pixels: np.ndarray
  lines: np.ndarray | None = None

  @property
  def is_labelled(self) -> bool:
    """Whether any pixel has a class."""
    return bool(self.pixels[:, :-1].any())

  @property
  def void(self) -> np.ndarray:
    """The fraction of void, float [images]."""
    return self.pixels[:, -1] / self.pixels.sum(1)

  @property
  def weights(self) -> np.ndarray:
    """Weights that balance the classes in a loss, float [classes].

    See `softmax_loss.balancing_weights`.
    """
    return np.array(softmax_loss.balancing_weights(self.pixels[:, :-1]))

  @property
  def thickness(self) -> np.ndarray:
    """How thick the regions of each class are, in pixels, float [classes].

    The mean length of the run that a pixel of the class is in, along its row or
    its column, whichever is shorter; 0 for absent classes. Runs count by their
    pixels, so that specks matter little.

    Raises:
      ValueError: `lines` were not measured.
    """
    if self.lines is None:
      raise ValueError('The runs of the classes were not measured.')
    pixels = np.maximum(self.pixels[:, :-1].sum(0), 1)
    return self.lines.sum(0).min(0) / pixels

  def summary(self, class_names: Sequence[str]) -> dict[str, Any]:
    """A dict for the report, which JSON can hold."""
    smallest, largest = self.sizes.min(0), self.sizes.max(0)
    result: dict[str, Any] = {
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
    return {
      **result,
      'classes': classes,
      'label_weights': self.weights.round(2).tolist(),
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


def count(
  dataset: dataset_info.Dataset,
  split: str,
  data_dir: str | None,
  with_lines: bool = False,
) -> SplitCounts:
  """Reads all labels of a prepared split.

  Args:
    dataset: the dataset, prepared in `data_dir`.
    split: the name of the split.
    data_dir: the folder of prepared datasets.
    with_lines: whether `lines` are measured, which takes longer.

  Raises:
    DataError: an example cannot be read.
  """
  examples = sources.TfdsSplit(dataset, split).open(data_dir)
  classes = dataset.info.num_classes

  def read(index):
    label = np.asarray(Image.open(io.BytesIO(examples[index][common.LABEL])))
    pixels = np.bincount(label.ravel(), minlength=256)
    of_classes, void = pixels[:classes], pixels[common.IGNORE_LABEL]
    turned = np.ascontiguousarray(label.T)
    lines = [_lines(x, classes) for x in (label, turned) if with_lines]
    return label.shape[:2], [*of_classes, void], lines

  indices = range(len(examples))
  found = list(
    progress.over(
      raw_pairs.in_threads(read, indices),
      f'Counting {split}',
      len(indices),
      'labels',
    )
  )
  sizes, pixels, lines = map(np.array, zip(*found, strict=True))
  return SplitCounts(
    examples.ids(), sizes, pixels, lines if with_lines else None
  )


def _lines(label, classes):
  """Sums of the squared lengths of the runs in rows, float [classes]."""
  starts = np.ones(label.shape, bool)
  starts[:, 1:] = label[:, 1:] != label[:, :-1]
  places = np.flatnonzero(starts)
  lengths = np.diff(np.append(places, label.size))
  found = np.bincount(label.ravel()[places], lengths**2.0, minlength=256)
  return found[:classes]
