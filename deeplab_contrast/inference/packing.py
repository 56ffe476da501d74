"""Archives whose bytes depend only on the files that are packed."""

import gzip
import os
import tarfile
import zipfile
from collections.abc import Iterable

from deeplab_contrast.utils import errors, files

_MODE = 0o644
_FIRST_DAY = (1980, 1, 1, 0, 0, 0)  # The oldest date that a zip can store.


def pack(folder: str, names: Iterable[str], path: str) -> None:
  """Packs files, sorted by name, without times and owners.

  The archive appears whole or not at all.

  Args:
    folder: that the names are relative to.
    names: names of the files, with / between folders.
    path: path of the archive: .tgz or .zip.

  Raises:
    SystemFault: it cannot be written.
  """
  write = {'.tgz': _write_tgz, '.zip': _write_zip}[os.path.splitext(path)[1]]
  try:
    with files.replacing(path) as temporary:
      write(folder, sorted(names), temporary)
  except OSError as error:
    raise errors.SystemFault(
      f'{path} cannot be written ({error.strerror}): make room or choose '
      'another folder.'
    ) from error


def _write_tgz(folder, names, path):
  with (
    open(path, 'wb') as raw,
    gzip.GzipFile('', 'wb', fileobj=raw, mtime=0) as zipped,
    tarfile.open(fileobj=zipped, mode='w', format=tarfile.USTAR_FORMAT) as tar,
  ):
    for name in names:
      with open(os.path.join(folder, name), 'rb') as file:
        member = tarfile.TarInfo(name)  # Time, user and group are 0.
        member.size = os.fstat(file.fileno()).st_size
        member.mode = _MODE
        tar.addfile(member, file)


def _write_zip(folder, names, path):
  with zipfile.ZipFile(path, 'w') as archive:
    for name in names:
      member = zipfile.ZipInfo(name, _FIRST_DAY)
      member.create_system = 3  # Unix, on any machine.
      member.external_attr = _MODE << 16
      with open(os.path.join(folder, name), 'rb') as file:
        # PNGs are compressed already.
        archive.writestr(member, file.read(), zipfile.ZIP_STORED)
