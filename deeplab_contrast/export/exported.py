"""An exported model as its user meets it: a folder, and TensorFlow alone.

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

from deeplab_contrast.imaging import images
from deeplab_contrast.utils import errors, quiet

# The names of the original's export.
INPUT = 'ImageTensor'
LABELS = 'SemanticPredictions'
PROBABILITIES = 'SemanticProbabilities'

# Names and colours of the classes, in a SavedModel's `assets`.
DESCRIPTION = 'labels.json'

_MOST_CLASSES = 255  # As many as a mask of 8 bits holds beside void.


@dataclasses.dataclass(frozen=True)
class Exported:
  """A loaded SavedModel.

  Attributes:
    path: its folder.
    fingerprint: of its files: 16 hexadecimal digits.
    description: the dict of `assets/labels.json`; without one, made up.
    module: what tf.saved_model.load gave; the functions live as long as it.
  """

  path: str
  fingerprint: str
  description: dict[str, Any]
  module: Any

  @property
  def class_names(self):
    """One name per class."""
    return tuple(c['name'] for c in self.description['classes'])

  @property
  def colors(self):
    """One (red, green, blue) per class, 0 to 255."""
    return tuple(tuple(c['color']) for c in self.description['classes'])

  @property
  def crop_size(self):
    """(height, width) that it pads smaller images to; (1, 1) if unknown."""
    return tuple(self.description.get('crop_size') or (1, 1))

  def labels(self, image):
    """Predicts one image.

    Args:
      image: uint8 [height, width, 3].

    Returns:
      uint8 [height, width], class ids.
    """
    signatures = self.module.signatures
    name = 'labels' if 'labels' in signatures else 'serving_default'
    return _ids(_run(signatures[name], image)[LABELS])

  def predict(self, image):
    """Predicts one image, with probabilities.

    Args:
      image: uint8 [height, width, 3].

    Returns:
      uint8 [height, width] and float32 [height, width, classes].
    """
    outputs = _run(self.module.signatures['serving_default'], image)
    return _ids(outputs[LABELS]), outputs[PROBABILITIES][0].numpy()


def load(path):
  """Loads an exported model.

  Args:
    path: the folder of a SavedModel with the names above.

  Returns:
    An `Exported`.

  Raises:
    ConfigError: there is no SavedModel.
    DataError: it is damaged, or has other names.
  """
  if not os.path.isfile(os.path.join(path, 'saved_model.pb')):
    raise errors.ConfigError(
      f'{path} is no SavedModel (no saved_model.pb); give the folder that '
      'export_model wrote.'
    )
  fingerprint = _fingerprint(path)
  try:
    with quiet.no_stderr():
      module = tf.saved_model.load(path)
  except Exception as error:  # Whatever a damaged graph makes TensorFlow say.
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
  """Refuses other inputs and outputs; returns the number of classes."""
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


def _describe(path, classes):
  """What labels.json says; numbers and VOC's colours where there is none."""
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
    found = [(c['name'], tuple(c['color'])) for c in description['classes']]
  except (ValueError, KeyError, TypeError) as error:
    raise errors.DataError(
      f'{file_name} is damaged: export the model again.'
    ) from error
  if len(found) != classes:
    raise errors.DataError(
      f'{file_name} names {len(found)} classes, but the model has {classes}.'
    )
  return description
