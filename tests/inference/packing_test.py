import os
import tarfile
import time
import zipfile

import pytest

from deeplab_contrast.inference import packing
from deeplab_contrast.utils import errors

FILES = {'b/2.png': b'two' * 99, 'a.png': b'one', 'b/10.png': b''}


def make(folder, when):
  for name, content in FILES.items():
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    os.utime(folder / name, (when, when))
    os.chmod(folder / name, 0o600 if when else 0o644)


@pytest.mark.parametrize('ending', ['.tgz', '.zip'])
def test_the_same_files_make_the_same_bytes(tmp_path, ending):
  made = []
  for i, names in enumerate([list(FILES), list(FILES)[::-1]]):
    make(tmp_path / str(i), when=time.time() * i)
    path = tmp_path / str(i) / f'x{i}{ending}'
    packing.pack(str(tmp_path / str(i)), names, str(path))
    made.append(path.read_bytes())
  assert made[0] == made[1]


def test_what_is_in_them(tmp_path):
  make(tmp_path, 0)
  packing.pack(str(tmp_path), FILES, str(tmp_path / 'x.tgz'))
  with tarfile.open(tmp_path / 'x.tgz') as archive:
    assert archive.getnames() == sorted(FILES)
    assert archive.extractfile('b/2.png').read() == FILES['b/2.png']
    for member in archive:
      assert (member.mtime, member.uid, member.gname) == (0, 0, '')
  packing.pack(str(tmp_path), FILES, str(tmp_path / 'x.zip'))
  with zipfile.ZipFile(tmp_path / 'x.zip') as archive:
    assert archive.namelist() == sorted(FILES)
    assert archive.read('b/2.png') == FILES['b/2.png']


def test_what_cannot_be_written_leaves_nothing(tmp_path):
  make(tmp_path, 0)
  path = tmp_path / 'x.zip'
  path.write_bytes(b'before')
  with pytest.raises(errors.SystemFault, match='x.zip cannot be written'):
    packing.pack(str(tmp_path), [*FILES, 'missing.png'], str(path))
  assert path.read_bytes() == b'before'
  assert not list(tmp_path.glob('*.tmp'))
