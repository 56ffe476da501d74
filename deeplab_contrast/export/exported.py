"""Exported models, loaded from a folder with TensorFlow alone.

A SavedModel is a program: load only what you trust.
"""

import dataclasses
import glob
import hashlib
import json
import os
from typing import Any

import numpy as np
import tensorflow as tf

from deeplab_contrast.imaging import conversion, images
from deeplab_contrast.utils import checks, errors, quiet

# The names of the original's export.
INPUT = 'ImageTensor'
LABELS = 'SemanticPredictions'
PROBABILITIES = 'SemanticProbabilities'

# Names and colours of the classes, in a SavedModel's `assets`.
DESCRIPTION = 'labels.json'

_MOST_CLASSES = 255  # A mask of 8 bits can hold these and void.


@dataclasses.dataclass(frozen=True)
class Exported:
  """A loaded SavedModel.

  Attributes:
    path: its folder.
    fingerprint: fingerprint of its files: 16 hexadecimal digits.
    description: the dict of `assets/labels.json`; without one, defaults.
    module: result of tf.saved_model.load; its functions need it to stay alive.
  """

  path: str
  fingerprint: str
  description: dict[str, Any]
  module: Any

  @property
  def class_names(self) -> tuple[str, ...]:
    """One name per class."""
    return tuple(c['name'] for c in self.description['classes'])

  @property
  def colors(self) -> tuple[tuple[int, int, int], ...]:
    """One (red, green, blue) per class, 0 to 255."""
    return tuple(tuple(c['color']) for c in self.description['classes'])

  @property
  def crop_size(self) -> tuple[int, int]:
    """(height, width) that it pads smaller images to; (1, 1) if unknown."""
    height, width = self.description.get('crop_size') or (1, 1)
    return height, width

  @property
  def convert(self) -> conversion.Conversion | None:
    """How images of more bits or bands become 8-bit RGB, as in training."""
    return _conversion(self.description)

  def labels(self, image: np.ndarray) -> np.ndarray:
    """Predicts one image.

    Args:
      image: uint8 [height, width, 3].

    Returns:
      uint8 [height, width], class ids.
    """
    signatures = self.module.signatures
    name = 'labels' if 'labels' in signatures else 'serving_default'
    return _ids(_run(signatures[name], image)[LABELS])

  def predict(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Predicts one image, with probabilities.

    Args:
      image: uint8 [height, width, 3].

    Returns:
      uint8 [height, width] and float32 [height, width, classes].
    """
    outputs = _run(self.module.signatures['serving_default'], image)
    return _ids(outputs[LABELS]), outputs[PROBABILITIES][0].numpy()


def load(path: str) -> Exported:
  """Loads an exported model.

  Args:
    path: the folder of a SavedModel.

  Returns:
    An `Exported`.

  Raises:
    ConfigError: there is no SavedModel.
    DataError: it is damaged, or its inputs or outputs have unexpected names.
  """
  if not os.path.isfile(os.path.join(path, 'saved_model.pb')):
    raise errors.ConfigError(
      f'{path} is not a SavedModel (no saved_model.pb); give the folder that '
      'export_model wrote.'
    )
  fingerprint = _fingerprint(path)
  try:
    with quiet.no_stderr():
      module = tf.saved_model.load(path)
  except Exception as error:  # A damaged graph can raise almost anything.
    text = ' '.join(str(error).split())[:200]
    raise errors.DataError(
      f'{path} cannot be loaded: export it again ({text}).'
    ) from error
  classes = _check_signature(path, module)
  return Exported(path, fingerprint, _describe(path, classes), module)


def _run(function, image):
  return function(**{INPUT: tf.constant(image[np.newaxis], tf.uint8)})


def _ids(labels):
  return labels[0].numpy().astype(np.uint8)


def _fingerprint(path):
  """A digest of the graph and the weights."""
  digest = hashlib.sha256()
  variables = os.path.join(glob.escape(path), 'variables', '*')
  for name in [
    os.path.join(path, 'saved_model.pb'),
    *sorted(glob.glob(variables)),
  ]:
    with open(name, 'rb') as file:
      while block := file.read(2**20):
        digest.update(block)
  return digest.hexdigest()[:16]


def _check_signature(path, module):
  """Refuses unknown inputs and outputs; returns the number of classes."""
  signature = getattr(module, 'signatures', {}).get('serving_default')
  if signature is None:
    raise errors.DataError(
      f'{path} has no signature serving_default; export it with export_model.'
    )
  inputs = signature.structured_input_signature[1]
  outputs = signature.structured_outputs
  for name, there in (
    (INPUT, inputs),
    (LABELS, outputs),
    (PROBABILITIES, outputs),
  ):
    if name not in there:
      raise errors.DataError(
        f'{path} lacks {name} (it has {", ".join(sorted(there))}); export it '
        'with export_model.'
      )
  classes = outputs[PROBABILITIES].shape[-1]
  if (
    inputs[INPUT].dtype != tf.uint8 or not 1 <= (classes or 0) <= _MOST_CLASSES
  ):
    raise errors.DataError(
      f'{path} takes {inputs[INPUT].dtype.name} and gives {classes} classes; '
      f'uint8 and 1 to {_MOST_CLASSES} classes are needed.'
    )
  return classes


def _conversion(description):
  stated = description.get('convert') or {}
  return conversion.of(stated.get('bands'), stated.get('range'))


def _class(name, color):
  red, green, blue = color
  if not isinstance(name, str) or not all(
    type(value) is int and 0 <= value <= 255 for value in (red, green, blue)
  ):
    raise ValueError(f'{name} has the color {color}')
  return name


def _check_size(height, width):
  checks.whole({'height': height, 'width': width}, 1)


def _describe(path, classes):
  """The dict of labels.json; without it, numbers and VOC's colours."""
  file_name = os.path.join(path, 'assets', DESCRIPTION)
  if not os.path.isfile(file_name):
    colors = images.voc_colormap(classes)
    return {
      'classes': [
        {'id': i, 'name': f'class {i}', 'color': list(color)}
        for i, color in enumerate(colors)
      ]
    }
  try:
    with open(file_name, encoding='utf-8') as file:
      description = json.load(file)
    found = [_class(c['name'], c['color']) for c in description['classes']]
    _check_size(*(description.get('crop_size') or (1, 1)))
    _conversion(description)
  except (
    *(ValueError, KeyError, TypeError, AttributeError, RecursionError),
    *(OverflowError, errors.ConfigError),
  ) as error:
    raise errors.DataError(
      f'{file_name} is damaged: export the model again.'
    ) from error
  if len(found) != classes:
    raise errors.DataError(
      f'{file_name} names {len(found)} classes, but the model has {classes}.'
    )
  return description
