"""Weight files for encoders that the original does not have.

EfficientNet-Lite takes PyTorch state dicts; MobileNetV3 and EfficientNetV2 take
weights of Keras Applications.
"""

import dataclasses
from collections.abc import Mapping

import keras
import numpy as np

from deeplab_contrast.conversion import (
  efficientnet_lite,
  hdf5_file,
  keras_applications,
  known_weights,
  torch_file,
)
from deeplab_contrast.training import contents
from deeplab_contrast.utils import errors


@dataclasses.dataclass(frozen=True)
class Converted:
  """The weights in a file, converted for an encoder.

  Attributes:
    arrays: {our name: float32 array}, with the shapes of the encoder.
    names: {our name: name in the file}.
    unneeded: {name in the file: why it is left out}.
  """

  arrays: Mapping[str, np.ndarray]
  names: Mapping[str, str]
  unneeded: Mapping[str, str]

  def give(self, backbone: keras.layers.Layer) -> None:
    """Assigns the arrays."""
    variables = contents.by_path(backbone.variables)
    for name, array in self.arrays.items():
      variables[name].assign(array)


def is_torch(path: str) -> bool:
  """Whether a path names a PyTorch file."""
  return path.endswith(('.pth', '.pt'))


def takes(path: str, backbone: keras.layers.Layer) -> bool:
  """Whether `read` is for this file and backbone."""
  return is_torch(path) or (
    hdf5_file.is_hdf5(path) and _application(backbone) is not None
  )


def read(path: str, backbone: keras.layers.Layer) -> Converted:
  """Reads the weights of an encoder.

  Args:
    path: path of a file for which `takes` is true.
    backbone: its variables built; they are not changed.

  Raises:
    ConfigError: the file is for a different network, or the backbone normalizes
      pixels differently.
    DataError: the file is damaged or malicious.
  """
  variables = contents.by_path(backbone.variables)
  shapes = {name: tuple(v.shape) for name, v in variables.items()}
  if is_torch(path):
    return _of_torch(path, backbone, shapes)
  row = _application(backbone)
  assert row is not None
  _check_pixels(path, backbone, row)
  theirs = keras_applications.their_names(list(shapes))
  arrays = keras_applications.read(path, row.application)
  for ours, their in theirs.items():
    there = None if their not in arrays else arrays[their].shape
    if there != shapes[ours]:
      raise errors.ConfigError(
        f'{path} is for a network of a different size: {their} has shape '
        f'{there}, our {ours} has {shapes[ours]}; pretrained weights need '
        'WIDTH = 1.0.'
      )
  contents.check_finite(path, arrays)
  rest = sorted(set(arrays) - set(theirs.values()))
  return Converted(
    {ours: arrays[their] for ours, their in theirs.items()},
    theirs,
    dict.fromkeys(rest, 'layers after the encoder'),
  )


def _of_torch(path, backbone, shapes):
  if not backbone.name.startswith('efficientnet_lite'):
    raise errors.ConfigError(
      f'{path}: PyTorch weights fit only efficientnet_lite backbones, not '
      f'{backbone.name}.'
    )
  tensors = torch_file.read(path)
  arrays, unneeded = efficientnet_lite.convert(path, tensors, shapes)
  theirs = efficientnet_lite.their_names(list(shapes))
  return Converted(arrays, theirs, unneeded)


def _application(backbone):
  """The row of Keras' weights for a keras-cv encoder, or None."""
  return next(
    (
      row
      for row in known_weights.FETCHED
      if row.backbone == backbone.name and row.overlay.startswith('keras_cv')
    ),
    None,
  )


def _check_pixels(path, backbone, row):
  """Refuses an encoder that does not normalize as the weights expect."""
  pixel = np.broadcast_to(np.float32(row.pad_pixel), [1, 1, 1, 3])
  if np.abs(np.asarray(backbone.normalize(pixel))).max() > 1e-3:
    raise errors.ConfigError(
      f'{path} expects pixels normalized as {row.pixels}, but {backbone.name} '
      "normalizes differently; set KerasCvBackbone.normalization = 'keras', "
      f'as gin_configs/models/{row.overlay} does.'
    )
