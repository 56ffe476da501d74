"""Bits and bands that Pillow would drop silently.

Of 16 bits per channel it keeps the high byte, so values up to 8000 become 0 to
31; of a TIFF with more bands than colour and alpha it keeps the first ones.
"""

import io
import os
import re
import sys
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image, TiffImagePlugin

from deeplab_contrast.utils import errors

# Tags of TIFF.
_BITS = 258
_PHOTOMETRIC = 262
_SAMPLES = 277
_EXTRA_SAMPLES = 338

# Number of colour bands by photometric interpretation; others have three.
_COLOR_BANDS = {0: 1, 1: 1, 3: 1, 4: 1, 5: 4}

# Kinds of extra samples that Pillow keeps: alpha, associated or not.
_ALPHA = (1, 2)

# Raw modes with which Pillow unpacks the low byte instead of the high one.
_LOW = {'16L': '16B', '16B': '16L'}
_LOW['16N'] = _LOW['16L' if sys.byteorder == 'little' else '16B']

# The marker of sizes in JPEG 2000; 42 bytes after it: bits per channel, less 1.
_JPEG_2000_SIZES = b'\xff\x4f\xff\x51'


def bits(image: Image.Image, data: bytes) -> int:
  """The bits per channel that a file stores.

  Args:
    image: a PIL image, opened.
    data: the bytes of its file.

  Returns:
    An int; 8 for formats that cannot have more.
  """
  if image.format == 'PNG':
    return data[24]
  if isinstance(image, TiffImagePlugin.TiffImageFile):
    return max(image.tag_v2.get(_BITS, (1,)))
  if image.format == 'JPEG2000':
    return (data[data.find(_JPEG_2000_SIZES) + 42] & 127) + 1
  if image.format == 'PPM' and data[:2] in (b'P2', b'P3', b'P5', b'P6'):
    words = re.sub(rb'#[^\n]*', b'', data[:1024]).split()
    return int(words[3]).bit_length()
  return 8


def is_read_right(bmp: Image.Image, data: bytes) -> bool:
  """Whether Pillow reads the pixels of a BMP with the right number of bits.

  If the palette maps every index to the same grey, Pillow ignores the number.
  """
  is_old = data[14] == 12  # OS/2: the size of its header.
  stored = data[24 if is_old else 28]
  return {'1': 1, 'L': 8}.get(bmp.mode, stored) == stored


def dropped_bands(image: Image.Image, data: bytes) -> str | None:
  """Why bands would be lost: a phrase; None if all of them are kept."""
  if image.format == 'JPEG2000':
    # Without a box of channel definitions nothing says that it is alpha.
    count, kept = len(image.getbands()), 3 if b'cdef' not in data else 4
  elif isinstance(image, TiffImagePlugin.TiffImageFile):
    count = image.tag_v2.get(_SAMPLES, 1)
    kept = _COLOR_BANDS.get(image.tag_v2.get(_PHOTOMETRIC, -1), 3)
    kept += tuple(image.tag_v2.get(_EXTRA_SAMPLES, ()))[:1] in [
      (kind,) for kind in _ALPHA
    ]
  else:
    return None
  if count <= kept:
    return None
  return (
    f'it has {count} bands, and only {kept} of them are colours or alpha; '
    'choose three and save them as 8-bit RGB'
  )


def to_8_bits(
  image: Image.Image, data: bytes, path: str | os.PathLike
) -> Image.Image:
  """Converts to 8 bits per channel where that loses nothing.

  Args:
    image: a PIL image, its pixels loaded.
    data: the bytes of its file.
    path: its name in messages.

  Returns:
    A PIL image of 8 bits per channel (or fewer), of the same colours.

  Raises:
    DataError: bands would be dropped, or there are more than 8 bits and some
      values are not multiples of 257, the ones that 8 bits can represent.
  """
  reason = dropped_bands(image, data)
  if reason is None and (bits(image, data) > 8 or image.mode[0] in 'IF'):
    values = _values_of_16_bits(image, data)
    reason = _why_inexact(values, bits(image, data))
    if reason is None and image.mode[0] == 'I':
      image = Image.fromarray((values // 257).astype(np.uint8))
  if reason is not None:
    raise errors.DataError(f'{path} cannot become 8-bit RGB: {reason}.')
  return image


def _why_inexact(values, count):
  if values is None:
    return f'it has {count} bits per channel; scale it to 8 bits'
  inexact = values[values % 257 != 0]
  if inexact.size:
    return (
      f'it has 16 bits per channel, and values such as {inexact.max()} that 8 '
      'bits cannot represent (not a multiple of 257); scale it to 8 bits'
    )
  return None


def _values_of_16_bits(image, data):
  """Integers of any shape, or None where they cannot be read exactly."""
  if 'transparency' in image.info:  # A 16-bit colour, which Pillow misreads.
    return None
  if image.mode.startswith('I;16'):
    return np.asarray(image)
  if image.format == 'PNG':
    try:
      return tf.io.decode_png(data, dtype=tf.uint16).numpy()
    except tf.errors.OpError:
      return None
  low = _low_bytes(data) if image.format == 'TIFF' else None
  return None if low is None else np.asarray(image) * np.uint16(256) + low


def _low_bytes(data):
  """The low bytes of a TIFF of 16-bit colours, uint8, shaped as its pixels."""
  image: Any = Image.open(io.BytesIO(data))
  tiles = []
  for codec, extents, offset, (mode, *rest) in image.tile:
    name, _, order = mode.partition(';')
    if order not in _LOW:
      return None
    args = (f'{name};{_LOW[order]}', *rest)
    tiles.append(type(image.tile[0])(codec, extents, offset, args))
  image.tile = tiles
  return np.asarray(image)
