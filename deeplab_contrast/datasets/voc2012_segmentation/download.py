"""Downloads the public files of VOC 2012, only on request."""

import hashlib
import os

import tensorflow_datasets as tfds

from deeplab_contrast.datasets.raw import archives
from deeplab_contrast.utils import errors

URL = (
  'http://host.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar'
)
SHA256 = 'e14f763270cf193d0b5f74b169f44157a4b0c6efa708f4dd0ff78ee691763bcb'

_BLOCK = 1 << 22


def download(data_dir: str | None, url: str = URL, sha256: str = SHA256) -> str:
  """Puts VOCdevkit where a dataset without a root looks for it.

  Does nothing if that folder exists. The archive (2 GB) is kept by TFDS in
  `<data_dir>/downloads`, and not downloaded twice.

  Args:
    data_dir: the folder of prepared datasets; None for TFDS' default.
    url: URL of the archive of train, val and trainval.
    sha256: the hex digest that it must have.

  Returns:
    The folder of VOCdevkit.

  Raises:
    SystemFault: it cannot be downloaded or written.
    DataError: the download is not the archive, or not a safe one.
  """
  data_dir = os.path.expanduser(data_dir or tfds.core.constants.DATA_DIR)
  downloads = os.path.join(data_dir, 'downloads')
  folder = os.path.join(downloads, 'manual')
  if os.path.isdir(os.path.join(folder, 'VOCdevkit')):
    return folder
  try:
    manager = tfds.download.DownloadManager(
      download_dir=downloads, dataset_name='voc2012_segmentation'
    )
    archive = os.fspath(manager.download(url))
  except Exception as error:  # Of requests, TFDS, TensorFlow, the system.
    raise errors.SystemFault(
      f'{url} cannot be downloaded into {downloads} ({error}): download it '
      'by other means and give --archive.'
    ) from error
  if _digest(archive) != sha256:
    raise errors.DataError(
      f'{archive}, from {url}, does not have the sha256 {sha256}: it is '
      'truncated or not that archive; delete it and try again.'
    )
  archives.extract(archive, folder)
  return folder


def _digest(path):
  digest = hashlib.sha256()
  with open(path, 'rb') as file:
    while block := file.read(_BLOCK):
      digest.update(block)
  return digest.hexdigest()
