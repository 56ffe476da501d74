"""Predictions of an experiment as pictures."""

import os

import numpy as np
import tensorflow as tf

from deeplab_contrast import common
from deeplab_contrast.datasets import transforms
from deeplab_contrast.utils import panels


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
  for name, image, label, prediction in _predict(experiment, examples, indices):
    row = {
      'image': image,
      'truth': panels.colorize(label, info.colors),
      'prediction': panels.colorize(prediction, info.colors),
    }
    for kind, picture in row.items():
      panels.save(picture, os.path.join(folder, f'{name}_{kind}.png'))
    rows.append(list(row.values()))
  path = os.path.join(folder, 'panels.png')
  legend = panels.legend(dict(zip(info.class_names, info.colors, strict=True)))
  headings = ['image', 'truth', 'prediction']
  panels.save(panels.grid(rows, headings, legend), path)
  return path


def _predict(experiment, examples, indices):
  """Yields (name, image, label, prediction) at each image's own size."""
  pad = transforms.Pad(experiment.pad_size(examples))
  predict = tf.function(
    lambda images: experiment.evaluator.predictor.labels(
      experiment.model, images
    )
  )
  for index in indices:
    example = transforms.Decode()(examples[index])
    label = example[common.LABEL].numpy()
    image = example[common.IMAGE].numpy().round().astype(np.uint8)
    padded = pad(example)[common.IMAGE]
    prediction = predict(padded[tf.newaxis])[0].numpy()
    name = example[common.ID].decode().replace('/', '_')
    yield name, image, label, prediction[: label.shape[0], : label.shape[1]]
