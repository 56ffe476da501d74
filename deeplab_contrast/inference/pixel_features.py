"""Features of single pixels, as many of each class: what a classifier sees."""

import numpy as np
import tensorflow as tf

from deeplab_contrast import common
from deeplab_contrast.core import resize
from deeplab_contrast.datasets import transforms
from deeplab_contrast.utils import errors


def collect(experiment, examples, indices, pixels_per_class, seed=0):
  """Draws pixels of a split, evenly by class, with their penultimate features.

  Images have the scale of prediction, see `Experiment.feature_scale`.

  Every pixel of the features' grid gets a random number that follows from the
  seed and its place alone; of each class those with the smallest numbers are
  kept. So all of them are equally likely, and networks of one stride are asked
  about the same pixels.

  Args:
    experiment: an `Experiment` whose model is restored and classifies.
    examples: the opened split.
    indices: which of its examples.
    pixels_per_class: how many to keep of each class, where there are so many.
    seed: of the draw.

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
      'look at more with --images.'
    )
  del kept['draw']
  return kept


def _per_image(experiment, examples, indices):
  """Yields (index, features and labels of all pixels of the grid)."""
  pad = experiment.pad(examples)

  @tf.function
  def features_and_labels(image, label):
    images = resize.by_factor(image[tf.newaxis], experiment.feature_scale)
    features = experiment.model.trunk(images, training=False)[0]
    size = resize.spatial_size(features[tf.newaxis])
    grid = resize.labels_nearest(label[tf.newaxis], size)[0]
    return tf.cast(features, tf.float32), tf.cast(grid, tf.int32)

  for index in indices:
    example = pad(transforms.Decode()(examples[index]))
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
  # The place of each pixel within its class.
  starts = np.searchsorted(labels, labels, side='left')
  chosen = order[np.arange(len(labels)) - starts < count]
  return {name: value[chosen] for name, value in values.items()}
