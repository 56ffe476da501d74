"""The EXIF orientation: how to rotate a photo upright."""

import struct
import zlib

import numpy as np
from PIL import Image

_TAG = 0x0112

# What Pillow raises for EXIF data that are truncated or damaged.
_UNREADABLE = (
  OSError,
  SyntaxError,
  ValueError,
  KeyError,
  TypeError,
  EOFError,
  struct.error,
  zlib.error,
)
_TURNS = {
  2: Image.Transpose.FLIP_LEFT_RIGHT,
  3: Image.Transpose.ROTATE_180,
  4: Image.Transpose.FLIP_TOP_BOTTOM,
  5: Image.Transpose.TRANSPOSE,
  6: Image.Transpose.ROTATE_270,
  7: Image.Transpose.TRANSVERSE,
  8: Image.Transpose.ROTATE_90,
}

UPRIGHT = 1


def of(image: Image.Image, data: bytes) -> int:
  """The orientation that a file states.

  Args:
    image: a PIL image, opened.
    data: the bytes of its file.

  Returns:
    UPRIGHT, or a number from 2 to 8 as in EXIF: the rotation that the pixels
    loaded by Pillow still need.
  """
  if image.format == 'TIFF':
    return UPRIGHT  # Pillow rotates these itself, when it loads the pixels.
  if image.format == 'PNG' and b'eXIf' not in data:
    return UPRIGHT  # Pillow would decode the whole image to search it.
  try:
    noted = image.getexif().get(_TAG, UPRIGHT)
  except _UNREADABLE:
    return UPRIGHT  # Damaged EXIF data do not make the picture useless.
  return noted if noted in _TURNS else UPRIGHT


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
  """Rotates uint8 [height, width] or [height, width, 3] upright."""
  if orientation == UPRIGHT:
    return pixels
  return np.asarray(Image.fromarray(pixels).transpose(_TURNS[orientation]))
