"""Downloads weight files into Keras' cache and checks their hashes."""

import hashlib
import http.client
import os
import tempfile
import time
import urllib.request

from absl import logging
from keras.src.backend import config

from deeplab_contrast.utils import errors

_TRIES = 3
_WAIT = 2.0  # Seconds before the second try; doubled before each further one.
_TIMEOUT = 30.0  # Seconds without a byte.
_MOST_BYTES = 1 << 30
_FAULTS = (OSError, ValueError, http.client.HTTPException)


def cached(url: str, digest: str) -> str:
  """The path of a file in Keras' cache, downloaded if it is not there yet.

  Args:
    url: of the file; its last part is the name in the cache.
    digest: MD5 (32 digits) or SHA-256 (64 digits) of the file, hexadecimal.

  Raises:
    SystemFault: it cannot be downloaded, or the cache cannot be written; the
      sentence says which file to copy and where to.
    DataError: the downloaded file has the wrong hash.
  """
  folder = os.path.join(os.path.expanduser(config.keras_home()), 'models')
  path = os.path.join(folder, url.rpartition('/')[2])
  if os.path.isfile(path) and digest_of(path, len(digest)) == digest:
    return path
  try:
    os.makedirs(folder, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix='.fetch.', dir=folder) as draft:
      part = os.path.join(draft, 'part')
      _fetch(url, part, path)
      found = digest_of(part, len(digest))
      if found != digest:
        raise errors.DataError(
          f'{url} has the hash {found} instead of {digest}; it was not kept. '
          'Download it later, or copy the right file to the cache.'
        )
      os.replace(part, path)
  except OSError as error:
    raise errors.SystemFault(
      f'Cannot write {path} ({error.strerror}); set KERAS_HOME to a writable '
      'folder.'
    ) from error
  return path


def digest_of(path: str, digits: int = 64) -> str:
  """The MD5 (32 digits) or SHA-256 (64 digits) of a file; OSError."""
  result = hashlib.md5() if digits == 32 else hashlib.sha256()
  with open(path, 'rb') as file:
    while block := file.read(1 << 20):
      result.update(block)
  return result.hexdigest()


def _fetch(url, part, path):
  """Writes the content of a URL to `part`; tries several times."""
  for number in range(_TRIES):
    if number:
      time.sleep(_WAIT * 2 ** (number - 1))
    try:
      logging.info('Downloading %s', url)
      _copy(url, part)
      return
    except _FAULTS as error:
      reason = getattr(error, 'reason', None) or error
      if getattr(error, 'code', 0) in (401, 403, 404, 410):
        break  # Will not change by trying again.
  raise errors.SystemFault(
    f'Cannot download {url} ({" ".join(str(reason).split())[:100]}); on a '
    f'machine without network copy that file to {path}.'
  )


def _copy(url, part):
  with (
    urllib.request.urlopen(url, timeout=_TIMEOUT) as answer,
    open(part, 'wb') as file,
  ):
    size = int(answer.headers.get('Content-Length') or 0)
    while block := answer.read(1 << 20):
      if file.write(block) and file.tell() > _MOST_BYTES:
        raise ValueError(f'it has more than {_MOST_BYTES >> 20} MiB')
    if size and file.tell() != size:
      raise ValueError(f'it ended after {file.tell()} of {size} bytes')
