"""HDF5 weight files, checked before their arrays are read.

A few bytes of such a file can declare an array of any size, or one that is
stored in another file of this machine.
"""

import contextlib
from collections.abc import Iterator

import h5py

from deeplab_contrast.training import contents
from deeplab_contrast.utils import errors

_MOST_BYTES = 1 << 30
_FAULTS = (OSError, RuntimeError, KeyError, ValueError, TypeError)


def is_hdf5(path: str) -> bool:
  """Whether a file is HDF5, by its first bytes."""
  try:
    return h5py.is_hdf5(path)
  except OSError:
    return False


@contextlib.contextmanager
def opened(path: str) -> Iterator[h5py.File]:
  """Opens a file of weights whose arrays are safe to read.

  Raises:
    ConfigError: it is a whole saved model.
    DataError: it cannot be read, here or inside, is too large, or holds
      anything besides arrays of numbers.
  """
  try:
    with h5py.File(path, 'r') as file:
      if 'model_weights' in file or 'model_config' in file.attrs:
        raise errors.ConfigError(
          f'{path} is a whole saved model; give only its weights, as '
          'model.save_weights writes them.'
        )
      _check(path, file)
      yield file
  except _FAULTS as error:
    raise errors.DataError(
      f'{path} cannot be read as HDF5: {contents.first_line(error)}'
    ) from error


def _check(path, file):
  """Raises DataError for what is not a plain array of numbers."""
  total, reasons = 0, []

  def visit(name, item):
    nonlocal total
    if isinstance(item, h5py.Dataset):
      total += item.nbytes
      if reason := _why_refused(item, total):
        reasons.append(f'{name[:80]} {reason}')

  def visit_link(name, link):
    if not isinstance(link, h5py.HardLink):
      reasons.append(f'{name[:80]} is a link')

  file.visititems(visit)
  file.visititems_links(visit_link)
  if reasons:
    raise errors.DataError(
      f'{path} is not a safe weight file: {reasons[0]}; get the file from its '
      'source again.'
    )


def _why_refused(array, total):
  if array.external or array.is_virtual:
    return 'is stored in another file'
  if array.dtype.kind not in 'fiu':
    return 'does not hold numbers'
  if total > _MOST_BYTES:
    return f'and the arrays before it have more than {_MOST_BYTES >> 20} MiB'
  return None
