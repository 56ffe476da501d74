import hashlib
import tarfile

import pytest

from deeplab_contrast.datasets import sources
from deeplab_contrast.datasets.voc2012_segmentation import (
  Voc2012,
  download,
)
from deeplab_contrast.utils import errors
from tests import fixtures


def test_downloads_on_request(tmp_path):
  fixtures.make_voc(tmp_path / 'source', train=1, val=1, extra=0)
  archive = tmp_path / 'voc.tar'
  with tarfile.open(archive, 'w') as file:
    file.add(tmp_path / 'source' / 'VOCdevkit', 'VOCdevkit')
  digest = hashlib.sha256(archive.read_bytes()).hexdigest()
  data_dir = str(tmp_path / 'data')
  with pytest.raises(errors.DataError, match='not have the sha256 00'):
    download.download(data_dir, str(archive), '00')
  download.download(data_dir, str(archive), digest)
  archive.unlink()
  download.download(data_dir, str(archive), digest)  # It is there.
  examples = sources.TfdsSplit(Voc2012(), 'train').open(data_dir)
  assert examples.ids() == ['2007_000000']


def test_a_download_that_fails_is_reported(tmp_path):
  with pytest.raises(
    errors.SystemFault, match='cannot be downloaded .*--archive'
  ):
    download.download(str(tmp_path), str(tmp_path / 'absent.tar'))
