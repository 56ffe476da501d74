"""Features of single pixels, the same number of each class."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from deeplab_contrast import common
from deeplab_contrast.core import resize
from deeplab_contrast.datasets import sources
from deeplab_contrast.inference import whole_images
from deeplab_contrast.utils import errors


def collect(
  experiment: Any,
  examples: sources.Examples,
  indices: Sequence[int],
  pixels_per_class: int,
  seed: int = 0,
) -> dict[str, np.ndarray]:
  """Draws pixels of a split, evenly by class, with the features of the trunk.

  Images have the scale of prediction, see `Experiment.feature_scale`.

  Every pixel of the feature grid gets a random number that follows from the
  seed and its position alone; those with the smallest numbers of each class are
  kept. So all of them are equally likely, and for networks of the same stride
  the same pixels are drawn.

  Args:
    experiment: an `Experiment` whose model is restored.
    examples: the opened split.
    indices: which of its examples.
    pixels_per_class: how many to keep of each class, where there are enough.
    seed: seed of the draw.

  Returns:
    A dict of arrays, sorted by class: 'features' float32 [n, d], 'labels' int32
    [n], 'ids' str [n] of the images, 'positions' int32 [n, 2], row and column
    on the grid of the features.

  Raises:
    ConfigError: the trunk gives logits itself, so there are no features.
    DataError: the images have no labelled pixel.
  """
  if experiment.model.trunk_gives_logits:
    raise errors.ConfigError(
      'The decoder of this experiment gives logits itself '
      '(decoder_output_is_logits), so there are no features before them.'
    )
  kept = None
  for index, values in _per_image(experiment, examples, indices):
    count = len(values['labels'])
    values['draw'] = np.random.default_rng([seed, index]).random(count)
    valid = values['labels'] != common.IGNORE_LABEL
    values = {name: value[valid] for name, value in values.items()}
    kept = _smallest(_joined(kept, values), pixels_per_class)
  if kept is None or not len(kept['labels']):
    raise errors.DataError(
      f'{len(indices)} images of {examples.info.name} have no labelled pixel; '
      'take more with --images.'
    )
  del kept['draw']
  return kept


def write(path: str, arrays: Mapping[str, Any]) -> None:
  """Writes arrays as an .npz; a reader never sees half of it.

  Raises:
    SystemFault: it cannot be written.
  """
  temporary = f'{path}.tmp'
  try:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(temporary, 'wb') as file:
      np.savez(file, allow_pickle=False, **arrays)
    os.replace(temporary, path)
  except OSError as error:
    raise errors.SystemFault(
      f'Cannot write {path} ({error.strerror}); make room or fix the folder.'
    ) from error


def _per_image(experiment, examples, indices):
  """Yields (index, features and labels of all pixels of the grid)."""
  images = whole_images.of(experiment, examples)

  @tf.function(autograph=False)
  def features_and_labels(image, label):
    images = resize.by_factor(image[tf.newaxis], experiment.feature_scale)
    features = experiment.model.trunk(images, training=False)[0]
    size = resize.spatial_size(features[tf.newaxis])
    grid = resize.labels_nearest(label[tf.newaxis], size)[0]
    return tf.cast(features, tf.float32), tf.cast(grid, tf.int32)

  for index in indices:
    example = images.padded(index)
    features, labels = features_and_labels(
      example[common.IMAGE], example[common.LABEL]
    )
    shape = tuple(labels.shape)
    labels = labels.numpy().reshape(-1)
    yield (
      index,
      {
        'features': features.numpy().reshape(len(labels), -1),
        'labels': labels,
        'ids': np.repeat(example[common.ID].decode(), len(labels)),
        'positions': np.indices(shape, np.int32).reshape(2, -1).T,
      },
    )


def _joined(kept, values):
  if kept is None:
    return values
  return {name: np.concatenate([kept[name], values[name]]) for name in values}


def _smallest(values, count):
  """Keeps the pixels with the smallest draws of each class, class by class."""
  order = np.lexsort((values['draw'], values['labels']))
  labels = values['labels'][order]
  # The rank of each pixel within its class.
  starts = np.searchsorted(labels, labels, side='left')
  chosen = order[np.arange(len(labels)) - starts < count]
  return {name: value[chosen] for name, value in values.items()}
