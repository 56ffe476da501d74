"""Predictions of an experiment as pictures."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from deeplab_contrast.datasets import sources
from deeplab_contrast.imaging import panels
from deeplab_contrast.inference import confusion_picture, whole_images

_COLUMNS = ('image', 'truth', 'prediction')


def draw(
  experiment: Any,
  examples: sources.Examples,
  indices: Sequence[int],
  folder: str,
) -> str:
  """Draws image | truth | prediction of some examples.

  Args:
    experiment: an `Experiment` whose model is restored and classifies.
    examples: the opened split.
    indices: which of its examples.
    folder: where the PNGs go.

  Returns:
    The path of the panel with all of them.
  """
  info = examples.info
  rows = []
  for found in whole_images.labels(experiment, examples)(indices):
    rows.append(_row(found, info))
    name = found.id.replace('/', '_')
    for kind, picture in zip(_COLUMNS, rows[-1], strict=True):
      panels.save(picture, os.path.join(folder, f'{name}_{kind}.png'))
  path = os.path.join(folder, 'panels.png')
  panels.save(_panel(rows, info), path)
  return path


class Shown:
  """What TensorBoard shows of an evaluation.

  Made once, so that the network is traced once. It predicts outside of
  `tf.distribute.Strategy.run`: with the weights of the first replica.

  Args:
    experiment: an `Experiment` that classifies.
    examples: the opened split.
    count: how many of them are shown, evenly spaced.
  """

  def __init__(
    self, experiment: Any, examples: sources.Examples, count: int = 4
  ):
    self._info = examples.info
    self._indices = whole_images.spread(len(examples), count)
    self._predictions = whole_images.labels(experiment, examples)

  def __call__(self, scores: Mapping[str, Any]) -> dict[str, Any]:
    """Draws with the current weights.

    Args:
      scores: the dict of `Evaluator.evaluate`.

    Returns:
      {name: float, or uint8 [height, width, 3]}.
    """
    info = self._info
    rows = [_row(found, info) for found in self._predictions(self._indices)]
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


def _row(found, info):
  painted = (
    panels.colorize(x, info.colors) for x in (found.label, *found.maps)
  )
  return [found.image, *painted]


def _panel(rows, info):
  legend = panels.legend(dict(zip(info.class_names, info.colors, strict=True)))
  return panels.grid(rows, _COLUMNS, legend)
