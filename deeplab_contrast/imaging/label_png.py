"""Label PNGs of any kind as grey PNGs, without decoding them if possible."""

import os
import struct
import zlib

import tensorflow as tf

from deeplab_contrast.imaging import images, masks
from deeplab_contrast.utils import errors

_SIGNATURE = b'\x89PNG\r\n\x1a\n'

# Colour types of the PNG specification, with 8 bits per pixel: IHDR bytes 8, 9.
_GREY = b'\x08\x00'
_PALETTE = b'\x08\x03'

# Chunks that are needed to decode grey pixels; others are for display only.
_NEEDED = (b'IDAT', b'IEND')


def read(path: str | os.PathLike) -> bytes:
  """Reads a label file as a PNG whose grey values are the class ids.

  Args:
    path: path of a PNG, with palette or grey; see `masks.read_ids`.

  Returns:
    bytes that `tf.io.decode_png` decodes to uint8 [height, width, 1].

  Raises:
    DataError: the file is missing, unreadable, or cannot hold ids.
  """
  try:
    with tf.io.gfile.GFile(os.fspath(path), 'rb') as file:
      data = file.read()
  except tf.errors.OpError as error:
    raise errors.DataError(
      f'{path} cannot be read: {error.message}.'
    ) from error
  grey = as_grey(data)
  return images.encode_png(masks.read_ids(path)) if grey is None else grey


def as_grey(png: bytes) -> bytes | None:
  """Turns the indices of a palette PNG into grey values, as they are.

  With 8 bits per pixel both are stored in the same way; only the header
  differs. So this takes microseconds, while decoding and encoding takes 3 ms
  for an image of VOC. (PNG specification, 11.2.)

  Args:
    png: bytes of any PNG.

  Returns:
    bytes of an 8-bit grey PNG; None if `png` is neither an 8-bit grey nor an
    8-bit palette PNG.
  """
  chunks = list(_chunks(png))
  if not chunks or chunks[0][0] != b'IHDR' or len(chunks[0][1]) != 25:
    return None
  header = chunks[0][1][8:21]
  if header[8:10] not in (_GREY, _PALETTE):
    return None
  grey = b'IHDR' + header[:8] + _GREY + header[10:]
  # The others keep their checksums, so that damage is still detected.
  rest = [chunk for kind, chunk in chunks[1:] if kind in _NEEDED]
  checksum = struct.pack('>I', zlib.crc32(grey))
  return b''.join([_SIGNATURE, chunks[0][1][:4], grey, checksum, *rest])


def _chunks(png):
  """Yields (kind, whole chunk) up to the end, or to where it is truncated."""
  if not png.startswith(_SIGNATURE):
    return
  at = len(_SIGNATURE)
  while at + 12 <= len(png):
    length, kind = struct.unpack_from('>I4s', png, at)
    yield kind, png[at : at + 12 + length]
    at += 12 + length
