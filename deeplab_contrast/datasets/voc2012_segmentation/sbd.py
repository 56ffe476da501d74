"""SBD, the Semantic Boundaries Dataset: more masks for images of VOC."""

import io
import os
import pathlib

import numpy as np

from deeplab_contrast.datasets.sources import id_list
from deeplab_contrast.imaging import images
from deeplab_contrast.utils import errors

_PLACES = ('', 'dataset', 'benchmark_RELEASE/dataset')


def find(root: str | os.PathLike) -> pathlib.Path:
  """The folder with cls, train.txt and val.txt, at or below `root`.

  Raises:
    DataError: there is none.
  """
  for place in _PLACES:
    folder = pathlib.Path(root).expanduser() / place
    if (folder / 'cls').is_dir():
      return folder
  raise errors.DataError(
    f'SBD is not in {root}: expected a folder with cls, train.txt and val.txt, '
    'there or in benchmark_RELEASE/dataset.'
  )


def read_ids(folder: pathlib.Path) -> set[str]:
  """All ids of its train.txt and val.txt.

  Raises:
    DataError: a list is missing or wrong.
  """
  return {
    name
    for split in ('train', 'val')
    for name in id_list.read(folder / f'{split}.txt')
  }


def image_file(folder: pathlib.Path, name: str) -> pathlib.Path:
  """The path of an image in SBD."""
  return folder / 'img' / f'{name}.jpg'


def mask_file(folder: pathlib.Path, name: str) -> pathlib.Path:
  """The path of a mask in SBD."""
  return folder / 'cls' / f'{name}.mat'


def read_mask(path: str | os.PathLike) -> np.ndarray:
  """Reads GTcls.Segmentation of a .mat file: uint8 [height, width].

  Raises:
    DataError: the file is missing, damaged, or a different kind of .mat.
    SystemFault: scipy is not installed.
  """
  try:
    from scipy import io as scipy_io
  except ImportError:
    raise errors.SystemFault(
      'The masks of SBD are .mat files, which need scipy: pip install '
      '"deeplab_contrast[sbd]".'
    ) from None
  data = io.BytesIO(images.read_file(path))
  try:
    mask = scipy_io.loadmat(data)['GTcls']['Segmentation'][0, 0]
  except Exception as error:  # scipy raises many kinds, none documented.
    raise errors.DataError(
      f'{path} is damaged or not a mask of SBD (GTcls.Segmentation): download '
      'it again.'
    ) from error
  if mask.ndim != 2 or mask.dtype != np.uint8 or not mask.size:
    raise errors.DataError(
      f'{path} has a {mask.dtype} array of shape {mask.shape} for a mask.'
    )
  return mask
