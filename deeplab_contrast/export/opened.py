"""A trained network from Python: open a run or an export, predict an image.

`deeplab_contrast.open` is `open_model`. Labels are those of the `predict`
command: both run the same SavedModel, on pixels of the same decoder.
"""

import dataclasses
import hashlib
import os
import tempfile
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from deeplab_contrast.config import build, run_folder
from deeplab_contrast.export import exported, formats, run_export
from deeplab_contrast.imaging import conversion, panels, photos
from deeplab_contrast.utils import errors, run_files


@dataclasses.dataclass(frozen=True, eq=False)
class Result:
  """The prediction of one image.

  Attributes:
    image: uint8 [height, width, 3], the pixels that were predicted.
    labels: uint8 [height, width], class ids.
    names: one name per class.
    colors: one (red, green, blue) per class, 0 to 255.
    probabilities: float32 [height, width, classes], if they were asked for.
  """

  image: np.ndarray
  labels: np.ndarray
  names: tuple[str, ...]
  colors: tuple[tuple[int, int, int], ...]
  probabilities: np.ndarray | None = None

  def overlay(self, opacity: float = 0.5) -> np.ndarray:
    """Returns the image with its classes in colour, uint8 [height, width, 3].

    Args:
      opacity: opacity of the colours, 0 to 1.
    """
    return panels.overlay(self.image, self.labels, self.colors, opacity)


@dataclasses.dataclass(frozen=True)
class Model:
  """A trained network that predicts one image at a time.

  Attributes:
    exported: the loaded SavedModel.
  """

  exported: exported.Exported

  @property
  def names(self) -> tuple[str, ...]:
    """One name per class."""
    return self.exported.class_names

  def predict(
    self,
    image: str | os.PathLike[str] | np.ndarray,
    probabilities: bool = False,
  ) -> Result:
    """Predicts one image.

    Args:
      image: the path of a file, or uint8 [height, width, 3] in RGB order.
      probabilities: whether the result has them too; they take more memory.

    Raises:
      DataError: the file cannot be read, the array is of another type or
        shape, or the image does not fit into memory.
    """
    pixels = _pixels(image, self.exported.convert)
    try:
      if probabilities:
        labels, kept = self.exported.predict(pixels)
      else:
        labels, kept = self.exported.labels(pixels), None
    except (MemoryError, tf.errors.ResourceExhaustedError) as error:
      height, width = pixels.shape[:2]
      raise errors.DataError(
        f'An image of {width} x {height} pixels needs more memory than is '
        'available: make it smaller.'
      ) from error
    return Result(pixels, labels, self.names, self.exported.colors, kept)


def open_model(
  path: str | os.PathLike[str],
  *,
  data_dir: str | None = None,
  allow_imports: Sequence[str] = (),
) -> Model:
  """Opens a trained run, or the folder of an exported SavedModel.

  A run is exported into a temporary folder first, as `export_model` does; a
  SavedModel loads faster and needs no network code. Both are programs: open
  only what you trust.

  Args:
    path: the folder of a softmax run or of a SavedModel.
    data_dir: for a run: the folder of its prepared datasets, if that moved. It
      is read only where the largest image of the split decides the padding.
    allow_imports: for a run: packages that its config.gin may import.

  Raises:
    UserError: the folder holds neither, or is damaged.
  """
  path = os.fspath(path)
  if os.path.isfile(os.path.join(path, run_files.CONFIG)):
    with errors.as_user_errors():
      return Model(_export(path, data_dir, allow_imports))
  if not os.path.isfile(os.path.join(path, 'saved_model.pb')):
    raise errors.ConfigError(
      f'{path} is neither a run (no {run_files.CONFIG}) nor an exported model '
      '(no saved_model.pb); give the folder that train or export_model wrote.'
    )
  return Model(exported.load(path))


def _export(
  run: str, data_dir: str | None, allow_imports: Sequence[str]
) -> exported.Exported:
  """Loads the newest weights of a run as a SavedModel."""
  experiment = build.parse(
    [run_folder.config_file(run)],
    settings={} if data_dir is None else {'data_dir': data_dir},
    allow_imports=allow_imports,
  ).root
  experiment.restore(tf.distribute.get_strategy(), run)
  with tempfile.TemporaryDirectory() as folder:
    formats.write(
      experiment,
      folder,
      format='saved_model',
      crop_size=run_export.evaluation_size(experiment),
      input_size=None,
      fold=True,
      poll=lambda: None,
    )
    # The same for the same weights: files of a SavedModel differ each time.
    with open(run_folder.config_file(run), 'rb') as file:
      digest = hashlib.sha256(file.read())
    for weight in experiment.model.weights:
      digest.update(weight.numpy().tobytes())
    return dataclasses.replace(
      exported.load(folder), path=run, fingerprint=digest.hexdigest()[:16]
    )


def _pixels(
  image: str | os.PathLike[str] | np.ndarray,
  convert: conversion.Conversion | None,
) -> np.ndarray:
  """uint8 [height, width, 3] of a file or an array."""
  if isinstance(image, (str, os.PathLike)):
    path = os.fspath(image)
    return photos.decode(photos.read_bytes(path), path, convert=convert)
  array = np.asarray(image)
  is_rgb = array.ndim == 3 and array.shape[-1] == 3 and array.size > 0
  if not is_rgb or array.dtype != np.uint8:
    raise errors.DataError(
      f'The image is an array of {array.dtype} {list(array.shape)}; give the '
      'path of a file, or uint8 [height, width, 3].'
    )
  return array
