"""Unpacks untrusted archives so that nothing is written outside a folder."""

import contextlib
import lzma
import os
import shutil
import stat
import struct
import tarfile
import uuid
import zipfile
import zlib

from deeplab_contrast.utils import errors, files

# How much larger an archive may become: images hardly compress, masks do.
MOST_GROWTH = 200
_LEAST_LIMIT = 1 << 28
_MOST_MEMBERS = 2_000_000

_BLOCK = 1 << 20
# zipfile raises NotImplementedError for a compression that it does not know.
_DAMAGED = (
  *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError),
  *(EOFError, ValueError, OverflowError, struct.error, NotImplementedError),
)


def extract(
  archive: str | os.PathLike,
  folder: str | os.PathLike,
  most_bytes: int | None = None,
) -> None:
  """Unpacks the files of a tar or zip archive, all of them or none.

  Only plain files and folders are accepted. Existing files are kept, so that it
  can be called again; existing folders get what they lack, since a dataset is
  often split into several archives of the same folder.

  Args:
    archive: path of a .tar, .tar.gz, .tgz, .tar.bz2, .tar.xz or .zip.
    folder: where to unpack; made if missing.
    most_bytes: the most that all files together may have; None for 200 times
      the size of the archive.

  Raises:
    DataError: the archive is damaged, too large when unpacked, or has a name
      outside the folder, a link, a device, or a file twice.
    SystemFault: the folder cannot be written.
  """
  archive, folder = os.fspath(archive), os.fspath(folder)
  temporary = os.path.join(folder, f'.unpacking_{uuid.uuid4().hex}')
  files.refuse_special(archive)
  try:
    size = os.path.getsize(archive)
    most = most_bytes or max(MOST_GROWTH * size, _LEAST_LIMIT)
    os.makedirs(temporary)
    with _members(archive) as (members, rest):
      left = _write(archive, members, temporary, most)
      _check_rest(archive, rest, left)
    _move(temporary, folder)
  except FileNotFoundError as error:
    raise errors.DataError(f'{error.filename} does not exist.') from None
  except _DAMAGED as error:
    raise _damaged(archive, error) from error
  except OSError as error:
    if error.errno is None:  # Of gzip and bz2, about their data.
      raise _damaged(archive, error) from error
    raise errors.SystemFault(
      f'{archive} cannot be unpacked into {folder} ({error.strerror}): make '
      'room or choose another folder.'
    ) from error
  finally:
    shutil.rmtree(temporary, ignore_errors=True)


def _damaged(archive, error):
  # Python's text may quote a whole header, or have several lines.
  detail = ' '.join(str(error).split())[:200]
  return errors.DataError(
    f'{archive} is damaged or not a tar or zip ({detail}): download it again.'
  )


@contextlib.contextmanager
def _members(archive):
  """Yields an iterator of (name, kind, open function), and a tar's stream."""
  if zipfile.is_zipfile(archive):
    with zipfile.ZipFile(archive) as file:
      yield (
        (
          (m.filename, _zip_kind(m), lambda m=m: file.open(m))
          for m in file.infolist()
        ),
        None,
      )
  else:
    with tarfile.open(archive) as file:
      yield (
        ((m.name, _tar_kind(m), lambda m=m: file.extractfile(m)) for m in file),
        file.fileobj,
      )


def _write(archive, members, folder, most):
  left = most
  for count, (name, kind, read) in enumerate(members):
    if count >= _MOST_MEMBERS:
      raise errors.DataError(f'{archive} has too many files.')
    if kind not in ('file', 'folder'):
      raise errors.DataError(
        f'{archive} has a {kind}, {name!r}: only files and folders are '
        'accepted.'
      )
    path = _inside(archive, folder, name)
    if kind == 'folder':
      os.makedirs(path, exist_ok=True)
      continue
    os.makedirs(os.path.dirname(path), exist_ok=True)
    left = _copy(archive, name, read, path, left)
  return left


def _check_rest(archive, stream, left):
  """Reads to the end: there gzip and xz have the checksum of what was read."""
  while stream is not None and (block := stream.read(_BLOCK)):
    left -= len(block)
    if left < 0:
      raise errors.DataError(
        f'{archive} has far more at its end than its own size: it looks like a '
        'bomb.'
      )


def _move(source, target):
  """Moves what does not exist yet; an existing folder gets what it lacks."""
  if not os.path.lexists(target):
    os.rename(source, target)
  elif os.path.isdir(source) and os.path.isdir(target):
    for name in sorted(os.listdir(source)):
      _move(os.path.join(source, name), os.path.join(target, name))


def _copy(archive, name, read, path, left):
  """Writes one file; returns how many bytes are left."""
  try:
    with read() as source, open(path, 'xb') as target:
      while block := source.read(_BLOCK):
        left -= len(block)
        if left < 0:
          raise errors.DataError(
            f'{archive} unpacks to far more than its own size, at {name!r}: '
            'it looks like a zip bomb.'
          )
        target.write(block)
  except (FileExistsError, IsADirectoryError, NotADirectoryError):
    raise errors.DataError(f'{archive} has {name!r} twice.') from None
  except (RuntimeError, NotImplementedError) as error:
    raise errors.DataError(
      f'{archive} cannot be unpacked at {name!r}: {error}.'
    ) from error
  return left


def _inside(archive, folder, name):
  """The path of a member. Raises DataError if that is not in the folder."""
  parts = name.rstrip('/').split('/')
  parts = [part for part in parts if part != '.']
  is_odd = not name.isprintable() or '\\' in name or ':' in name
  if is_odd or not parts or {'', '..'} & set(parts):
    raise errors.DataError(
      f'{archive} has the name {name!r}, which is outside its folder: do not '
      'trust this archive.'
    )
  return os.path.join(folder, *parts)


def _tar_kind(member):
  if member.isfile():
    return 'file'
  if member.isdir():
    return 'folder'
  return 'link' if member.issym() or member.islnk() else 'device'


def _zip_kind(member):
  mode = member.external_attr >> 16
  if member.is_dir():
    return 'folder'
  if stat.S_ISLNK(mode):
    return 'link'
  return 'file' if stat.S_IFMT(mode) in (0, stat.S_IFREG) else 'device'
