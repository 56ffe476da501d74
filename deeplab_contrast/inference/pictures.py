"""Predictions of an experiment as pictures."""

import os

import numpy as np
import tensorflow as tf

from deeplab_contrast import common
from deeplab_contrast.datasets import transforms
from deeplab_contrast.imaging import panels
from deeplab_contrast.inference import confusion_picture

_COLUMNS = ('image', 'truth', 'prediction')


def draw(experiment, examples, indices, folder):
  """Draws image | truth | prediction of some examples.

  Args:
    experiment: an `Experiment` whose model is restored and classifies.
    examples: the opened split.
    indices: which of its examples.
    folder: where the PNGs go.

  Returns:
    The path of the panel of all.
  """
  info = examples.info
  rows = []
  predictions = _Predictions(experiment, examples)
  for name, image, label, prediction in predictions(indices):
    rows.append(_row(image, label, prediction, info))
    for kind, picture in zip(_COLUMNS, rows[-1], strict=True):
      panels.save(picture, os.path.join(folder, f'{name}_{kind}.png'))
  path = os.path.join(folder, 'panels.png')
  panels.save(_panel(rows, info), path)
  return path


class Shown:
  """What TensorBoard shows of an evaluation.

  Made once, so that the network is traced once. It predicts outside of
  `tf.distribute.Strategy.run`: with the first replica's weights.

  Args:
    experiment: an `Experiment` that classifies.
    examples: the opened split.
    count: how many of them are shown, spread evenly.
  """

  def __init__(self, experiment, examples, count=4):
    self._examples = examples
    count = min(count, len(examples))
    self._indices = np.linspace(0, len(examples) - 1, count).astype(int)
    self._predictions = _Predictions(experiment, examples)

  def __call__(self, scores):
    """Draws with the weights of now.

    Args:
      scores: the dict of `Evaluator.evaluate`.

    Returns:
      {name: float, or uint8 [height, width, 3]}.
    """
    info = self._examples.info
    predictions = self._predictions(self._indices.tolist())
    rows = [_row(*maps, info) for _, *maps in predictions]
    matrix = confusion_picture.draw(
      scores['matrix'], info.class_names, info.name
    )
    names = info.class_names
    return {
      **{
        f'{score}/{name}': float(value)
        for score, values in scores.items()
        if getattr(values, 'shape', None) == (len(names),)
        for name, value in zip(names, values, strict=True)
      },
      'confusion_matrix': matrix,
      'image_truth_prediction': np.asarray(_panel(rows, info)),
    }


class _Predictions:
  """Predicts single images, each at its own size."""

  def __init__(self, experiment, examples):
    self._examples = examples
    self._pad = experiment.pad(examples)
    self._labels = tf.function(
      lambda images: experiment.evaluator.predictor.labels(
        experiment.model, images
      )
    )

  def __call__(self, indices):
    """Yields (name, image, label, prediction) of some examples."""
    for index in indices:
      example = transforms.Decode()(self._examples[index])
      label = example[common.LABEL].numpy()
      image = example[common.IMAGE].numpy().round().astype(np.uint8)
      padded = self._pad(example)[common.IMAGE]
      prediction = self._labels(padded[tf.newaxis])[0].numpy()
      prediction = prediction[: label.shape[0], : label.shape[1]]
      name = example[common.ID].decode().replace('/', '_')
      yield name, image, label, prediction


def _row(image, label, prediction, info):
  painted = (panels.colorize(x, info.colors) for x in (label, prediction))
  return [image, *painted]


def _panel(rows, info):
  legend = panels.legend(dict(zip(info.class_names, info.colors, strict=True)))
  return panels.grid(rows, _COLUMNS, legend)
