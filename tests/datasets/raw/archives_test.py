"""Archives must not write outside their folder, nor fill the disk."""

import io
import os
import tarfile
import zipfile

import pytest

from deeplab_contrast.datasets.raw import archives
from deeplab_contrast.utils import errors


def make_tar(path, *members, mode='w'):
  """Each member is a name, (name, bytes), or a TarInfo."""
  with tarfile.open(path, mode) as file:
    for member in members:
      if isinstance(member, tarfile.TarInfo):
        file.addfile(member)
        continue
      name, data = member if isinstance(member, tuple) else (member, b'x')
      entry = tarfile.TarInfo(name)
      entry.size = len(data)
      file.addfile(entry, io.BytesIO(data))
  return path


def make_zip(path, *members):
  with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as file:
    for member in members:
      name, data = member if isinstance(member, tuple) else (member, b'x')
      file.writestr(name, data)
  return path


def special(name, kind, target=''):
  entry = tarfile.TarInfo(name)
  entry.type, entry.linkname = kind, target
  return entry


def contents(folder):
  return sorted(
    path.relative_to(folder).as_posix()
    for path in folder.rglob('*')
    if path.is_file()
  )


@pytest.mark.parametrize(
  'make',
  [
    lambda p, *m: make_tar(p / 'a.tar', *m),
    lambda p, *m: make_tar(p / 'a.tar.gz', *m, mode='w:gz'),
    lambda p, *m: make_zip(p / 'a.zip', *m),
  ],
)
def test_files_arrive(tmp_path, make):
  archive = make(tmp_path, ('VOCdevkit/a.txt', b'one'), './VOCdevkit/b/c.txt')
  archives.extract(archive, tmp_path / 'out')
  assert contents(tmp_path / 'out') == ['VOCdevkit/a.txt', 'VOCdevkit/b/c.txt']
  assert (tmp_path / 'out/VOCdevkit/a.txt').read_bytes() == b'one'


def test_what_is_there_is_kept_and_completed(tmp_path):
  """VOC's trainval and test are two archives of the same folder."""
  names = ['a/b/new', 'a/old', 'c/new']
  archive = make_tar(tmp_path / 'a.tar', *names)
  (tmp_path / 'out' / 'a' / 'b').mkdir(parents=True)
  (tmp_path / 'out' / 'a' / 'old').write_text('as it was')
  archives.extract(archive, tmp_path / 'out')
  assert contents(tmp_path / 'out') == names
  assert (tmp_path / 'out' / 'a' / 'old').read_text() == 'as it was'


ODD_NAMES = (
  '../out.txt',
  'a/../../out.txt',
  '/absolute/out.txt',
  'C:\\out.txt',
  'a\\..\\out.txt',
  'a\nb',
)


@pytest.mark.parametrize('name', ODD_NAMES)
@pytest.mark.parametrize('make', [make_tar, make_zip])
def test_names_outside_the_folder_are_refused(tmp_path, make, name):
  archive = make(tmp_path / 'a', 'good', name)
  refused(archive, tmp_path, 'is outside its folder')


@pytest.mark.parametrize(
  'kind', [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE]
)
def test_links_and_devices_are_refused(tmp_path, kind):
  entry = special('link', kind, '/etc/passwd')
  archive = make_tar(tmp_path / 'a', 'good', entry, 'link/file')
  refused(archive, tmp_path, "'link': only files and folders")


def test_links_in_zips_are_refused(tmp_path):
  archive = tmp_path / 'a.zip'
  with zipfile.ZipFile(archive, 'w') as file:
    entry = zipfile.ZipInfo('link')
    entry.external_attr = 0o120777 << 16
    file.writestr(entry, '/etc')
  refused(archive, tmp_path, "'link': only files and folders")


@pytest.mark.parametrize('make', [make_tar, make_zip])
@pytest.mark.filterwarnings('ignore:Duplicate name')
def test_one_file_twice_is_refused(tmp_path, make):
  archive = make(tmp_path / 'a', 'x', 'x')
  refused(archive, tmp_path, "'x' twice")


def test_a_file_that_is_also_a_folder_is_refused(tmp_path):
  archive = make_tar(tmp_path / 'a', 'x', 'x/y')
  with pytest.raises(errors.UserError):
    archives.extract(archive, tmp_path / 'out')
  assert contents(tmp_path / 'out') == []


@pytest.mark.parametrize('make', [make_tar, make_zip])
def test_bombs_are_refused(tmp_path, make):
  archive = make(tmp_path / 'a', ('zeros', bytes(3_000_000)))
  with pytest.raises(errors.DataError, match='looks like a zip bomb'):
    archives.extract(archive, tmp_path / 'out', most_bytes=2_000_000)
  assert contents(tmp_path / 'out') == []


def test_a_bomb_by_ratio_is_refused(tmp_path, monkeypatch):
  monkeypatch.setattr(archives, '_LEAST_LIMIT', 1)
  archive = make_zip(tmp_path / 'a', ('zeros', bytes(9_000_000)))
  refused(archive, tmp_path, 'looks like a zip bomb')


@pytest.mark.parametrize('data', [b'', b'<html>', b'PK\x03\x04 and more'])
def test_other_files_are_refused(tmp_path, data):
  archive = tmp_path / 'a.zip'
  archive.write_bytes(data)
  refused(archive, tmp_path, 'damaged or not a tar or zip')


def test_a_cut_off_archive_is_refused(tmp_path):
  archive = make_tar(
    tmp_path / 'a.tar.gz', ('x', bytes(range(256)) * 99), mode='w:gz'
  )
  archive.write_bytes(archive.read_bytes()[:-30])
  refused(archive, tmp_path, 'damaged')


@pytest.mark.parametrize('mode', ['w:gz', 'w:bz2', 'w:xz'])
@pytest.mark.parametrize('at', [60, 200, -40])
def test_a_damaged_archive_is_the_fault_of_the_data(tmp_path, mode, at):
  data = bytes(i * i % 251 for i in range(9000))
  archive = make_tar(tmp_path / 'a', ('x', data), mode=mode)
  content = bytearray(archive.read_bytes())
  content[at : at + 8] = b'\xff' * 8
  archive.write_bytes(content)
  with pytest.raises(errors.DataError) as error:
    archives.extract(archive, tmp_path / 'out')
  assert '\n' not in str(error.value) and len(str(error.value)) < 500
  assert contents(tmp_path / 'out') == []


def test_an_archive_that_is_a_pipe_is_refused(tmp_path):
  os.mkfifo(tmp_path / 'a.zip')
  refused(tmp_path / 'a.zip', tmp_path, 'is a pipe or a device')


def test_a_missing_archive_is_refused(tmp_path):
  refused(tmp_path / 'absent.tar', tmp_path, 'absent.tar does not exist')


def refused(archive, folder, sentence):
  before = set(contents(folder))
  with pytest.raises(errors.DataError, match=sentence):
    archives.extract(archive, folder / 'out')
  assert set(contents(folder)) == before
