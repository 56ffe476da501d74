"""Images of more bits or bands than 8-bit RGB, converted as the user states."""

import dataclasses
import io
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from deeplab_contrast.utils import errors

# In place of a range: that of each image.
MEASURED = 'measured'

_PNG = b'\x89PNG\r\n\x1a\n'
_TIFF = (b'II*\0', b'MM\0*', b'II+\0', b'MM\0+')


@dataclasses.dataclass(frozen=True)
class Conversion:
  """How images become 8-bit RGB.

  Attributes:
    bands: one or three, counted from 1; () for the only one or all three.
    range: the values that become 0 and 255; 'measured' for the smallest and
      largest of each image; () for images of 8 bits.

  Raises:
    ConfigError: there are other numbers of them.
  """

  bands: tuple[int, ...] = ()
  range: tuple[float, ...] | str = ()

  def __post_init__(self):
    bands, limits = self.bands, self.range
    if len(bands) not in (0, 1, 3) or not all(
      type(band) is int and band > 0 for band in bands
    ):
      raise errors.ConfigError(
        f'"bands" is {list(bands)}: give one or three, counted from 1.'
      )
    if not _is_range(limits):
      raise errors.ConfigError(
        f'"range" is {limits!r}: give [low, high], or "{MEASURED}".'
      )

  def read(self, data: bytes, path: str | os.PathLike) -> np.ndarray:
    """Decodes and converts an image.

    Args:
      data: the bytes of its file.
      path: its name in messages.

    Returns:
      uint8 [height, width, 3].

    Raises:
      DataError: it is damaged, has no such bands, or the range is missing.
    """
    values = self._choose(_values(data, path), path)
    if values.dtype != np.uint8 or self.range:
      values = self._scale(values, path)
    return np.broadcast_to(values, (*values.shape[:2], 3)).copy()

  def _choose(self, values, path):
    count = values.shape[-1]
    if self.bands:
      if max(self.bands) > count:
        raise errors.DataError(
          f'{path} has {count} bands, so there is no band {max(self.bands)}.'
        )
      return values[..., [band - 1 for band in self.bands]]
    if count not in (1, 3):
      raise errors.DataError(
        f'{path} has {count} bands: state which three are red, green and blue, '
        'such as "bands": [3, 2, 1].'
      )
    return values

  def _scale(self, values, path):
    values = values.astype(np.float64)
    known = values[np.isfinite(values)]
    if not known.size:
      raise errors.DataError(f'{path} has no value that is a number.')
    if not self.range:
      raise errors.DataError(
        f'{path} has values from {known.min():g} to {known.max():g}: state '
        f'which become 0 and 255, such as "range": [{known.min():g}, '
        f'{known.max():g}].'
      )
    low, high = known.min(), known.max()
    if not isinstance(self.range, str):
      low, high = self.range
    scaled = (np.nan_to_num(values, nan=low) - low) / max(high - low, 1e-12)
    return np.rint(255 * scaled.clip(0, 1)).astype(np.uint8)


def _is_range(limits):
  if isinstance(limits, str) or not limits:
    return limits in (MEASURED, ())
  are_numbers = all(isinstance(value, (int, float)) for value in limits)
  return are_numbers and len(limits) == 2 and limits[0] < limits[1]


def of(bands: Sequence[int] | None, range_: Any) -> Conversion | None:
  """The conversion that JSON states; None if it states nothing."""
  if not bands and not range_:
    return None
  limits = range_ if isinstance(range_, str) else tuple(range_ or ())
  return Conversion(tuple(bands or ()), limits)


def _values(data, path):
  """The values of a file, [height, width, bands]."""
  try:
    if data.startswith(_PNG):
      kind = tf.uint16 if data[24] == 16 else tf.uint8
      values = tf.io.decode_png(data, dtype=kind).numpy()
    elif data.startswith(_TIFF):
      values = _tiff(data, path)
    else:
      values = np.asarray(Image.open(io.BytesIO(data)))
  except errors.UserError:
    raise
  except Exception as error:
    # Decoders raise almost anything for damaged files.
    raise errors.DataError(
      f'{path} is cut off or damaged: fetch or unpack it again.'
    ) from error
  values = values[..., None] if values.ndim == 2 else values
  if values.ndim != 3:
    raise errors.DataError(
      f'{path} has {values.ndim} dimensions: save single images.'
    )
  return values


def _tiff(data, path):
  try:
    import tifffile
  except ImportError:
    raise errors.SystemFault(
      f'{path} is a TIFF of bands or bits that need the package tifffile: pip '
      'install tifffile.'
    ) from None
  with tifffile.TiffFile(io.BytesIO(data)) as file:
    if len(file.pages) > 1:
      raise errors.DataError(
        f'{path} is a TIFF of {len(file.pages)} pages: save one of them.'
      )
    page = file.pages[0]
    values = page.asarray()
    is_planar = values.ndim == 3 and page.axes[0] == 'S'
  return np.moveaxis(values, 0, -1) if is_planar else values
