"""Image files: read strictly, written atomically.

What is read here goes into prepared datasets, so anything doubtful is refused
with a sentence that names the file, the likely cause and the remedy.
"""

import contextlib
import dataclasses
import io
import os
import struct
import warnings
import zlib
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from PIL import Image

from deeplab_contrast.imaging import (
  conversion,
  decoding,
  depth,
  embedded,
  orientation,
)
from deeplab_contrast.utils import errors, files

# What Pillow raises for a file that is truncated, damaged or not an image.
_UNREADABLE = (
  OSError,
  SyntaxError,
  ValueError,
  EOFError,
  struct.error,
  zlib.error,
)

# JPEG files of some cameras contain a second picture (MPO); decoders show the
# first.
_JPEG = ('JPEG', 'MPO')

# Pillow refuses images of twice as many pixels itself.
MOST_PIXELS = 89478485

# The beginning of HEIC files, after their first four bytes.
_HEIC = (b'ftyphei', b'ftypmif1', b'ftypmsf1')

with contextlib.suppress(ImportError):  # Pillow has no HEIC of its own.
  import pillow_heif

  pillow_heif.register_heif_opener()

FilePath = str | os.PathLike
Color = tuple[int, int, int]


@dataclasses.dataclass(frozen=True)
class Picture:
  """An image file, read.

  Attributes:
    data: its bytes, if they decode to the pixels; else None.
    pixels: uint8 [height, width, 3], as stored.
    orientation: how to rotate them upright, see `orientation`.
  """

  data: bytes | None
  pixels: np.ndarray
  orientation: int = orientation.UPRIGHT

  def encoded(self) -> bytes:
    """Bytes that decode to the pixels."""
    return encode_png(self.pixels) if self.data is None else self.data


def read_picture(
  path: FilePath, convert: conversion.Conversion | None = None
) -> Picture:
  """Reads an image file as 8-bit RGB.

  An 8-bit RGB or grey JPEG or PNG is kept byte for byte. CMYK, palette,
  bilevel and fully opaque images with alpha, and other formats (BMP, TIFF,
  WebP, GIF of one frame) are converted to RGB PNG, and so are 16 bits that
  8 bits can represent. Refused, since any conversion would be a guess: other 16
  bits or floats (which range?), more bands than colours (which three?),
  transparency (which background?), animation (which frame?).

  Args:
    path: an image file.
    convert: how more bits or bands become 8-bit RGB; None refuses them.

  Returns:
    A `Picture`: `decoding.image(picture.encoded())` gives its pixels.

  Raises:
    DataError: the file is missing, unreadable, or of a refused kind.
  """
  data = read_file(path)
  if convert is not None:
    return Picture(None, convert.read(data, path))
  image = open_image(data, path)
  noted = orientation.of(image, data)
  pixels = plain_pixels(image, data, path)
  if pixels is not None:
    return Picture(data, pixels, noted)
  return Picture(None, np.asarray(to_rgb(image, data, path)), noted)


def encode_png(pixels: np.ndarray) -> bytes:
  """Encodes uint8 [height, width] or [height, width, 3] as PNG bytes."""
  buffer = io.BytesIO()
  Image.fromarray(pixels).save(buffer, 'PNG')
  return buffer.getvalue()


def write_palette_png(
  path: FilePath, labels: np.ndarray, colors: Sequence[Color]
) -> None:
  """Writes class ids as a palette PNG that any viewer shows in colour.

  The file appears whole or not at all: it is written under a temporary name
  and then renamed.

  Args:
    path: where to; a local path, or any that `tf.io.gfile` can write.
    labels: uint8 [height, width], class ids or IGNORE_LABEL.
    colors: (red, green, blue) per class, 0 to 255. Ids beyond them get the
      colours of PASCAL VOC, where 255 is cream.
  """
  image = palette_image(labels, colors)
  buffer = io.BytesIO()
  image.save(buffer, 'PNG')
  _write(path, buffer.getvalue())


def palette_image(labels: np.ndarray, colors: Sequence[Color]) -> Image.Image:
  """A PIL image of class ids with a palette; see `write_palette_png`."""
  palette = np.array([*colors, *voc_colormap(256)[len(colors) :]], np.uint8)
  image = Image.fromarray(np.asarray(labels, np.uint8))
  # putpalette turns a grey image into a palette image with the same indices.
  image.putpalette(palette.tobytes())
  return image


def write_grey_png(path: FilePath, values: np.ndarray) -> None:
  """Writes uint8 [height, width] as a grey PNG, atomically."""
  _write(path, encode_png(np.asarray(values, np.uint8)))


def voc_colormap(count: int) -> tuple[Color, ...]:
  """The colours of PASCAL VOC: the bits of an id, dealt out to R, G and B.

  Bits 0, 1, 2 of the id become the highest bits of red, green and blue, bits
  3, 4, 5 the next lower ones, and so on: close ids get distant colours. (The
  development kit of VOC: VOClabelcolormap.m.)

  Args:
    count: int, how many colours, at most 256.

  Returns:
    `count` tuples (red, green, blue), 0 to 255.
  """
  return tuple(
    tuple(_voc_channel(label >> first) for first in range(3))
    for label in range(count)
  )


def _voc_channel(bits):
  """Bits 0, 3, 6 become the highest three bits of a colour channel."""
  return sum((bits >> (3 * i) & 1) << (7 - i) for i in range(3))


def plain_pixels(
  image: Image.Image, data: bytes, path: FilePath
) -> np.ndarray | None:
  """The pixels of a file that needs no conversion, as training sees them.

  Args:
    image: result of `open_image`.
    data: the bytes of the file.
    path: its name in messages.

  Returns:
    uint8 [height, width, 3], or None if it would have to be converted.
  """
  return _decode(data, path) if _is_plain(image, data) else None


def read_file(path: FilePath) -> bytes:
  """The bytes of an image file, or of the photo inside an annotation file.

  Raises:
    DataError: it is missing, empty, a pipe or a device.
  """
  files.refuse_special(path)
  name = os.fspath(path)
  try:
    # TensorFlow opens no local file whose name is not UTF-8.
    is_local = '://' not in name
    with open(name, 'rb') if is_local else tf.io.gfile.GFile(name, 'rb') as f:
      data = f.read()
  except (FileNotFoundError, tf.errors.NotFoundError):
    raise errors.DataError(f'{path} does not exist.') from None
  except OSError as error:
    raise errors.DataError(
      f'{path} cannot be read: {error.strerror}.'
    ) from error
  except tf.errors.OpError as error:
    raise errors.DataError(
      f'{path} cannot be read: {error.message}.'
    ) from error
  if not data:
    raise errors.DataError(f'{path} is empty: fetch or unpack it again.')
  if os.fspath(path).lower().endswith(embedded.ENDING):
    return embedded.decode(data, path)
  return data


def _write(path, data):
  if '://' not in os.fspath(path):
    files.write_bytes(path, data)
    return
  # Remote files appear when they are closed.
  with tf.io.gfile.GFile(os.fspath(path), 'wb') as file:
    file.write(data)


def open_image(data: bytes, path: FilePath) -> Image.Image:
  """Opens the header; the pixels are not decoded yet.

  Args:
    data: the bytes of a file.
    path: its name in messages.

  Returns:
    A PIL image.

  Raises:
    DataError: the bytes are not an image, or one of too many pixels, or one
      that would be misread.
  """
  try:
    with warnings.catch_warnings():
      # Pillow only warns of this many pixels; they are refused below.
      warnings.simplefilter('ignore', Image.DecompressionBombWarning)
      image = Image.open(io.BytesIO(data))
    check_size(path, image.height, image.width)
  except Image.DecompressionBombError:
    check_size(path, MOST_PIXELS, MOST_PIXELS)
  except _UNREADABLE:
    raise errors.DataError(f'{path} is {_looks_like(data)}.') from None
  if image.format == 'PNG' and b'IEND\xaeB`\x82' not in data:
    # Pillow accepts a file whose end mark is missing; TensorFlow does not.
    raise errors.DataError(_damaged(path))
  if image.format == 'BMP' and not depth.is_read_right(image, data):
    raise errors.DataError(
      f'{path} is a BMP of few greys, which Pillow misreads: save it as PNG.'
    )
  return image


def check_size(path: FilePath, height: int, width: int) -> None:
  """Raises DataError for more pixels than can be handled at once."""
  if height * width > MOST_PIXELS:
    raise errors.DataError(
      f'{path} has more than {MOST_PIXELS:,} pixels: cut it into tiles.'
    )


def _looks_like(data):
  """What a file that Pillow does not open may be, and what to do."""
  looks = data[:256].lstrip().lower()
  if looks.startswith((b'ii*', b'mm\0*')):
    return (
      'a TIFF of bands or bits that Pillow does not support, or damaged: save '
      'it as 8-bit RGB or grey PNG'
    )
  if data[4:12].startswith(_HEIC):
    return (
      'HEIC, which needs a plugin of Pillow: pip install pillow-heif, or save '
      'it as JPEG'
    )
  what = 'not an image that Pillow knows'
  if looks.startswith(b'<'):
    what = 'a web page'
  return f'{what}, or damaged: fetch it again'


def load_pixels(image: Image.Image, path: FilePath) -> None:
  """Decodes an opened PIL image; DataError if it is damaged."""
  try:
    image.load()
  except _UNREADABLE as error:
    raise errors.DataError(_damaged(path)) from error


def _decode(data, path):
  try:
    return decoding.image(data).numpy()
  except tf.errors.OpError as error:
    raise errors.DataError(_damaged(path)) from error


def _damaged(path):
  return f'{path} is cut off or damaged: fetch or unpack it again.'


def has_alpha(image: Image.Image) -> bool:
  """Whether pixels of an opened PIL image may be transparent."""
  return 'A' in image.getbands() or 'transparency' in image.info


def _is_plain(image, data):
  if image.format in _JPEG:
    return image.mode in ('RGB', 'L')
  return (
    image.format == 'PNG'
    and image.mode in ('RGB', 'L')
    and depth.bits(image, data) == 8
    and not has_alpha(image)
    and getattr(image, 'n_frames', 1) == 1
  )


def to_rgb(image: Image.Image, data: bytes, path: FilePath) -> Image.Image:
  """Converts an image if that is not a guess, see `read_picture`.

  Args:
    image: result of `open_image`.
    data: the bytes of the file.
    path: its name in messages.

  Returns:
    A PIL image of mode RGB.

  Raises:
    DataError: it is damaged, or any conversion would be a guess.
  """
  load_pixels(image, path)
  reason = several_frames(image)
  narrow = image if reason else depth.to_8_bits(image, data, path)
  if not reason and has_alpha(narrow):
    alpha = narrow.convert('RGBA').getchannel('A')
    if np.asarray(alpha).min() < 255:
      reason = 'it has transparent pixels; put it on a background'
  if reason:
    raise errors.DataError(f'{path} cannot become 8-bit RGB: {reason}.')
  return narrow.convert('RGB')


def several_frames(image: Image.Image) -> str | None:
  """Why it is not one picture: a phrase; None if it is."""
  count = 1 if image.format in _JPEG else getattr(image, 'n_frames', 1)
  return f'it has {count} frames; choose one' if count > 1 else None
