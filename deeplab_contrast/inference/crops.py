"""Training crops as the network sees them, as pictures and as numbers."""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from deeplab_contrast import common
from deeplab_contrast.core import resize
from deeplab_contrast.datasets import info as dataset_info
from deeplab_contrast.datasets import pipeline, sources
from deeplab_contrast.imaging import images, panels
from deeplab_contrast.utils import tables

# Marks void, so that IGNORE_LABEL marks padding only; not a class.
_VOID = 254

_TILE = 256  # Width of a picture in the panel, in pixels.
_LINE = 2150  # No line of the panel is wider.


@dataclasses.dataclass(frozen=True)
class Crop:
  """One example of a run, after all transforms.

  Attributes:
    position: position in the run.
    id: the name of its image.
    views: uint8 [height, width, 3] each: what the network gets, one or two.
    label: uint8 [height, width], class ids or IGNORE_LABEL.
    loss_label: likewise, at the resolution of the loss.
    padding: bool [height, width], the pixels outside the image; all False if
      they cannot be identified.
  """

  position: int
  id: str
  views: tuple[np.ndarray, ...]
  label: np.ndarray
  loss_label: np.ndarray
  padding: np.ndarray


def collect(experiment: Any, count: int) -> list[Crop]:
  """The first examples of a run.

  Args:
    experiment: an `Experiment`; its network is not used, nor its variables.
    count: how many.

  Returns:
    A list of `count` Crops.

  Raises:
    DataError: the data are missing or wrong.
  """
  examples = experiment.train.source.open(experiment.data_dir)
  with pipeline.data_errors():
    seen = _run(experiment, examples, count)
    marked = _run(experiment, _VoidMarked(examples), count)
  return [
    _crop(experiment, position, *pair)
    for position, pair in enumerate(zip(seen, marked, strict=True))
  ]


def draw(crops: Sequence[Crop], info: dataset_info.DatasetInfo) -> Image.Image:
  """Draws views, labels and the labels of the loss side by side.

  Args:
    crops: a list of Crops.
    info: the DatasetInfo of their labels.

  Returns:
    A PIL image.
  """
  groups = [_tiles(crop, info) for crop in crops]
  headings = _headings(crops[0])
  per_line = _LINE // (len(headings) * _TILE)
  per_line = max(1, min(per_line, len(crops)))
  captions = [[_caption(c)] + [''] * (len(headings) - 1) for c in crops]
  return panels.grid(
    _fold(groups, per_line),
    headings * per_line,
    _legend(crops, info),
    _TILE,
    _fold(captions, per_line),
    len(headings),
  )


def table(crops: Sequence[Crop], info: dataset_info.DatasetInfo) -> str:
  """The shares of classes, void and padding: a text table.

  Columns: the share of the pixels of all crops, the share of the labels at the
  resolution of the loss, and the number of crops with the class. Classes that
  do not occur have no line.
  """
  kinds = [*info.class_names, 'void', 'padding']
  full = np.array([_counts(c.label, c.padding, info) for c in crops])
  small = np.array(
    [_counts(c.loss_label, _loss_padding(c), info) for c in crops]
  )
  rows = [
    [
      name,
      tables.percent(full[:, i].sum() / full.sum()),
      tables.percent(small[:, i].sum() / small.sum()),
      str(int((full[:, i] > 0).sum())),
    ]
    for i, name in enumerate(kinds)
    if full[:, i].any() or i >= info.num_classes
  ]
  columns = ['class', 'pixels %', 'at the loss %', 'crops']
  return tables.table(columns, rows)


class _VoidMarked(sources.Examples):
  """Examples whose void pixels are _VOID, to tell them from padding."""

  def __init__(self, examples):
    self.info: Any = None  # Else _VOID, of no class, would be refused.
    self.max_size = examples.max_size
    self.order = examples.order
    self._examples = examples

  def __len__(self):
    return len(self._examples)

  def __getitem__(self, index):
    example = self._examples[index]
    if not example[common.LABEL]:  # Without a label: see `transforms.Decode`.
      return example
    label = tf.io.decode_png(example[common.LABEL])[..., 0].numpy()
    label[label == common.IGNORE_LABEL] = _VOID
    return {**example, common.LABEL: images.encode_png(label)}

  def ids(self):
    """See base class."""
    return self._examples.ids()


def _run(experiment, examples, count):
  """The first batches of a run, each of one example."""
  run = experiment.train.dataset(
    examples, batch_size=1, seed=experiment.seed, keep_id=True
  )
  # To the very end: an iterator that is deleted while Python functions of its
  # dataset still run would wait for them while they wait for Python's lock.
  return list(run.take(count).as_numpy_iterator())


def _crop(experiment, position, seen, marked):
  label = seen[common.LABEL][0]
  if common.VIEWS in seen:
    views = tuple(seen[common.VIEWS][0])
  else:
    views = (seen[common.IMAGE][0],)
  return Crop(
    position,
    seen[common.ID][0].decode(),
    tuple(np.clip(view.round(), 0, 255).astype(np.uint8) for view in views),
    label.astype(np.uint8),
    _loss_label(experiment, label),
    _padding(label, marked[common.LABEL][0]),
  )


def _padding(label, marked):
  # A transform that depends on labels may have moved the marked one elsewhere.
  unmarked = np.where(marked == _VOID, common.IGNORE_LABEL, marked)
  if not np.array_equal(unmarked, label):
    return np.zeros(label.shape, bool)
  return marked == common.IGNORE_LABEL


def _loss_label(experiment, label):
  """The label at the resolution of the loss."""
  if experiment.classifies:  # Logits are resized to the label.
    return label.astype(np.uint8)
  # Only the head knows the size of what it makes of features at stride 4.
  size = [resize.scale_dimension(side, 0.25) for side in label.shape]
  embedding = experiment.model.head(tf.zeros([1, *size, 1]))
  return _shrunk(label, resize.spatial_size(embedding))


def _shrunk(label, size):
  small = resize.labels_nearest(tf.constant(label[np.newaxis], tf.int32), size)
  return small[0].numpy().astype(np.uint8)


def _counts(label, padding, info):
  """Int [classes + 2]: pixels per class, of void, of padding."""
  counts = np.bincount(label[~padding], minlength=256)
  known = counts[: info.num_classes]
  return [*known, counts.sum() - known.sum(), padding.sum()]


def _loss_padding(crop):
  """Which labels of the loss are padding: bool, of their size."""
  return _shrunk(crop.padding, crop.loss_label.shape).astype(bool)


def _headings(crop):
  views = ['input of the network']
  if len(crop.views) == 2:
    views = ['view 1: anchors', 'view 2: contrast']
  size = 'x'.join(map(str, crop.label.shape))
  if crop.loss_label.shape == crop.label.shape:
    return [*views, f'label, also at the loss: {size}']
  small = 'x'.join(map(str, crop.loss_label.shape))
  return [*views, f'label: {size}', f'label at the loss: {small}']


def _legend(crops, info):
  """Entries for the classes that are shown, void, and padding if any."""
  shown = {v for crop in crops for v in np.unique(crop.label).tolist()}
  colors = {
    name: info.colors[i]
    for i, name in enumerate(info.class_names)
    if i in shown
  }
  legend = panels.legend(colors)
  if any(crop.padding.any() for crop in crops):
    legend.append(('padding', panels.checkers(14, 14)))
  return legend


def _caption(crop):
  void = (crop.label == common.IGNORE_LABEL) & ~crop.padding
  shares = {'void': void.mean(), 'padding': crop.padding.mean()}
  shown = [f'{name} {share:.1%}' for name, share in shares.items() if share]
  return '   '.join([f'{crop.position}: {crop.id}', *shown])


def _tiles(crop, info):
  maps = [(crop.label, crop.padding)]
  if crop.loss_label.shape != crop.label.shape:
    maps.append((crop.loss_label, _loss_padding(crop)))
  return [
    *(panels.photo(view, _TILE) for view in crop.views),
    *(panels.label_map(x, info.colors, _TILE, pad) for x, pad in maps),
  ]


def _fold(rows, per_line):
  """Puts `per_line` rows side by side into one; the last may be shorter."""
  return [
    list(itertools.chain(*rows[i : i + per_line]))
    for i in range(0, len(rows), per_line)
  ]
