"""SBD, the Semantic Boundaries Dataset: more masks for images of VOC."""

import io
import pathlib

import numpy as np

from deeplab_contrast.datasets.sources import id_list
from deeplab_contrast.imaging import images
from deeplab_contrast.utils import errors

_PLACES = ('', 'dataset', 'benchmark_RELEASE/dataset')


def find(root):
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


def read_ids(folder):
  """All ids of its train.txt and val.txt, a set.

  Raises:
    DataError: a list is missing or wrong.
  """
  return {
    name
    for split in ('train', 'val')
    for name in id_list.read(folder / f'{split}.txt')
  }


def image_file(folder, name):
  """Where SBD has an image."""
  return folder / 'img' / f'{name}.jpg'


def mask_file(folder, name):
  """Where SBD has a mask."""
  return folder / 'cls' / f'{name}.mat'


def read_mask(path):
  """Reads GTcls.Segmentation of a .mat file: uint8 [height, width].

  Raises:
    DataError: the file is missing, damaged, or another kind of .mat.
    SystemFault: scipy is not installed.
  """
  try:
    from scipy import io as scipy_io
  except ImportError:
    raise errors.SystemFault(
      'The masks of SBD are .mat files, which scipy reads: pip install '
      '"deeplab_contrast[sbd]".'
    ) from None
  data = io.BytesIO(images.read_file(path))
  try:
    mask = scipy_io.loadmat(data)['GTcls']['Segmentation'][0, 0]
  except Exception as error:  # Of many kinds, none of them promised.
    raise errors.DataError(
      f'{path} is damaged or no mask of SBD (GTcls.Segmentation): fetch it '
      'again.'
    ) from error
  if mask.ndim != 2 or mask.dtype != np.uint8 or not mask.size:
    raise errors.DataError(
      f'{path} has a {mask.dtype} array of shape {mask.shape} for a mask.'
    )
  return mask
