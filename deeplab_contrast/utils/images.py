"""Image and mask files: read strictly, refused by name, written atomically.

What is read here goes into prepared datasets, so anything doubtful is refused
with a sentence that names the file, the likely cause and the remedy.
"""

import dataclasses
import io
import os
import struct
import uuid
import warnings
import zlib

import numpy as np
import tensorflow as tf
from PIL import Image

from deeplab_contrast.utils import errors, orientation

# What Pillow raises for a file that is cut off, damaged or not an image.
_UNREADABLE = (
  OSError,
  SyntaxError,
  ValueError,
  EOFError,
  struct.error,
  zlib.error,
)

# Formats that give back exactly the ids that were stored.
_LOSSLESS = ('PNG', 'BMP', 'TIFF', 'GIF')

# JPEG files of some cameras carry a second, hidden picture (MPO); decoders
# show the first.
_JPEG = ('JPEG', 'MPO')


@dataclasses.dataclass(frozen=True)
class Picture:
  """An image file, read.

  Attributes:
    data: its bytes, where they decode to the pixels; else None.
    pixels: uint8 [height, width, 3], as stored.
    orientation: how to turn them upright, see `orientation`.
  """

  data: bytes | None
  pixels: np.ndarray
  orientation: int = orientation.UPRIGHT

  def encoded(self):
    """Bytes that decode to the pixels."""
    return encode_png(self.pixels) if self.data is None else self.data


def read_picture(path):
  """Reads an image file, and how it is to be kept: as 8-bit RGB.

  An 8-bit RGB or grey JPEG or PNG is kept byte for byte. CMYK, palette,
  bilevel and fully opaque images with alpha, and other formats (BMP, TIFF,
  WebP, GIF of one frame) are converted to RGB PNG. Refused, since any
  conversion would be a guess: 16 bits or floats (which range matters?),
  transparency (which background?), animation (which frame?).

  Args:
    path: an image file.

  Returns:
    A `Picture`: `tf.io.decode_image(picture.encoded(), channels=3,
    expand_animations=False)` gives its pixels.

  Raises:
    DataError: the file is missing, unreadable, or of a refused kind.
  """
  data = read_file(path)
  image = open_image(data, path)
  noted = orientation.of(image, data)
  pixels = plain_pixels(image, data, path)
  if pixels is not None:
    return Picture(data, pixels, noted)
  return Picture(None, np.asarray(_to_rgb(image, data, path)), noted)


# The cause of a MaskError: colours where there should be ids.
RGB_MASK = 'RGB masks, which show colours where class ids are expected'


class MaskError(errors.DataError):
  """A mask that does not hold what it should.

  Attributes:
    cause: the likely reason, a phrase that many files may share; or None.
  """

  def __init__(self, message, cause=None):
    super().__init__(message)
    self.cause = cause

  def __reduce__(self):  # It comes back from other processes.
    return type(self), (str(self), self.cause)


def read_mask(path):
  """Reads a mask file as the class ids it stores.

  Of a palette image the palette indices are the ids, never the brightness of
  their colours (which is what `tf.io.decode_png` would give); of a grey image
  of 8, 16 or 32 bits the pixel values are.

  Args:
    path: a mask file: PNG, BMP, TIFF or GIF, with palette or grey.

  Returns:
    uint8 [height, width].

  Raises:
    DataError: the file is missing or unreadable.
    MaskError: it cannot hold ids.
  """
  mask, data = _open_mask(path)
  reason, cause = _why_no_ids(mask, data)
  if reason:
    raise MaskError(f'{path} is no mask: {reason}.', cause)
  load_pixels(mask, path)
  ids = np.asarray(mask)
  if ids.min() < 0 or ids.max() > 255:
    raise MaskError(
      f'{path} is no mask: it has values from {ids.min()} to {ids.max()}, but '
      'class ids lie in 0 to 255.',
      'masks of 16 or more bits whose values are no class ids',
    )
  return ids.astype(np.uint8)


def read_color_mask(path):
  """Reads a mask file whose colours are the classes.

  Args:
    path: a mask file: PNG, BMP, TIFF or GIF, of 8 bits, opaque.

  Returns:
    uint8 [height, width, 3]; of a palette image the colours, not the indices.

  Raises:
    DataError: the file is missing or unreadable.
    MaskError: it cannot hold colours that mean something.
  """
  mask, data = _open_mask(path)
  try:
    return np.asarray(_to_rgb(mask, data, path))
  except MaskError:
    raise
  except errors.DataError as error:
    raise MaskError(str(error)) from error


def encode_png(pixels):
  """Encodes uint8 [height, width] or [height, width, 3] as PNG bytes."""
  buffer = io.BytesIO()
  Image.fromarray(pixels).save(buffer, 'PNG')
  return buffer.getvalue()


def write_palette_png(path, labels, colors):
  """Writes class ids as a palette PNG that any viewer shows in colour.

  The file appears whole or not at all: it is written beside its place and
  then renamed.

  Args:
    path: where to; a local path, or any place `tf.io.gfile` can write.
    labels: uint8 [height, width], class ids or IGNORE_LABEL.
    colors: (red, green, blue) per class, 0 to 255. Ids beyond them get the
      colours of PASCAL VOC, where 255 is cream.
  """
  image = palette_image(labels, colors)
  buffer = io.BytesIO()
  image.save(buffer, 'PNG')
  _write_atomically(path, buffer.getvalue())


def palette_image(labels, colors):
  """A PIL image of class ids with a palette; see `write_palette_png`."""
  palette = np.array([*colors, *voc_colormap(256)[len(colors) :]], np.uint8)
  image = Image.fromarray(np.asarray(labels, np.uint8))
  # putpalette turns a grey image into a palette image with the same indices.
  image.putpalette(palette.tobytes())
  return image


def write_grey_png(path, values):
  """Writes uint8 [height, width] as a grey PNG, in one piece."""
  _write_atomically(path, encode_png(np.asarray(values, np.uint8)))


def voc_colormap(count):
  """The colours of PASCAL VOC: the bits of an id, dealt out to R, G and B.

  Bits 0, 1, 2 of the id become the highest bits of red, green and blue, bits
  3, 4, 5 the next lower ones, and so on: near ids get far colours. (The
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


def plain_pixels(image, data, path):
  """The pixels of a file that needs no conversion, as training sees them.

  Args:
    image: of `open_image`.
    data: the bytes of the file.
    path: how messages call it.

  Returns:
    uint8 [height, width, 3], or None where it would have to be converted.
  """
  return _decode(data, path) if _is_plain(image, data) else None


def read_file(path):
  """The bytes of a file. Raises DataError if it is missing or empty."""
  try:
    with tf.io.gfile.GFile(os.fspath(path), 'rb') as file:
      data = file.read()
  except tf.errors.NotFoundError:
    raise errors.DataError(f'{path} does not exist.') from None
  except tf.errors.OpError as error:
    raise errors.DataError(
      f'{path} cannot be read: {error.message}.'
    ) from error
  if not data:
    raise errors.DataError(f'{path} is empty: fetch or unpack it again.')
  return data


def _write_atomically(path, data):
  path = os.fspath(path)
  temporary = f'{path}.{uuid.uuid4().hex}.tmp'
  with tf.io.gfile.GFile(temporary, 'wb') as file:
    file.write(data)
  tf.io.gfile.rename(temporary, path, overwrite=True)


def _open_mask(path):
  """The opened mask and its bytes; lossless formats only."""
  data = read_file(path)
  mask = open_image(data, path)
  if mask.format not in _LOSSLESS:
    raise MaskError(
      f'{path} is no mask: {mask.format} blurs ids; save it as palette or '
      '8-bit grey PNG.',
      f'masks saved as {mask.format}, which blurs them',
    )
  return mask, data


def open_image(data, path):
  """Opens the header; the pixels are not decoded yet.

  Args:
    data: the bytes of a file.
    path: how messages call it.

  Returns:
    A PIL image.

  Raises:
    DataError: the bytes are no image, or one of too many pixels.
  """
  try:
    with warnings.catch_warnings():
      # Of so many pixels Pillow only warns; below, they are refused.
      warnings.simplefilter('ignore', Image.DecompressionBombWarning)
      image = Image.open(io.BytesIO(data))
    if image.width * image.height > Image.MAX_IMAGE_PIXELS:
      raise Image.DecompressionBombError
  except Image.DecompressionBombError:
    raise errors.DataError(
      f'{path} has more than {Image.MAX_IMAGE_PIXELS:,} pixels: cut it into '
      'tiles.'
    ) from None
  except _UNREADABLE:
    looks = data[:256].lstrip().lower()
    what = 'a web page' if looks.startswith(b'<') else 'no image Pillow knows'
    raise errors.DataError(
      f'{path} is {what}, or damaged: fetch it again.'
    ) from None
  if image.format == 'PNG' and b'IEND\xaeB`\x82' not in data:
    # Pillow is content when only the end mark is missing; TensorFlow is not.
    raise errors.DataError(_damaged(path))
  return image


def load_pixels(image, path):
  """Decodes an opened PIL image; DataError if it is damaged."""
  try:
    image.load()
  except _UNREADABLE as error:
    raise errors.DataError(_damaged(path)) from error


def _decode(data, path):
  """Asks the very decoder that training will use."""
  try:
    pixels = tf.io.decode_image(data, channels=3, expand_animations=False)
  except tf.errors.OpError as error:
    raise errors.DataError(_damaged(path)) from error
  return pixels.numpy()


def _damaged(path):
  return f'{path} is cut off or damaged: fetch or unpack it again.'


def _bit_depth(image, data):
  """Bits per sample of a PNG; Pillow tells them only through the mode."""
  return data[24] if image.format == 'PNG' else 8


def _has_alpha(image):
  return 'A' in image.getbands() or 'transparency' in image.info


def _is_plain(image, data):
  if image.format in _JPEG:
    return image.mode in ('RGB', 'L')
  return (
    image.format == 'PNG'
    and image.mode in ('RGB', 'L')
    and _bit_depth(image, data) == 8
    and not _has_alpha(image)
    and getattr(image, 'n_frames', 1) == 1
  )


def _to_rgb(image, data, path):
  load_pixels(image, path)
  reason = _why_not_rgb(image, data)
  if reason:
    raise errors.DataError(f'{path} cannot become 8-bit RGB: {reason}.')
  return image.convert('RGB')


def _why_not_rgb(image, data):
  if image.format not in _JPEG and getattr(image, 'n_frames', 1) > 1:
    return f'it has {image.n_frames} frames; choose one'
  if image.mode.startswith(('I', 'F')) or _bit_depth(image, data) > 8:
    return 'it has 16 or more bits per channel; scale it to 8 bits'
  if _has_alpha(image):
    alpha = image.convert('RGBA').getchannel('A')
    if alpha.getextrema()[0] < 255:
      return 'it has transparent pixels; put it on a background'
  return None


def _why_no_ids(mask, data):
  """(reason, cause) why a file cannot hold ids; (None, None) if it can."""
  if mask.mode in ('RGB', 'RGBA', 'LA', 'PA'):
    reason = (
      f'it has the mode {mask.mode}, so it holds colours, not class ids; it '
      'is a picture of the mask, or was saved by a program that dropped the '
      'palette'
    )
    return reason, RGB_MASK
  if mask.mode == 'L' and _bit_depth(mask, data) != 8:
    # Decoders stretch such values to 0..255: id 1 of 4 bits would become 17.
    reason = 'it is grey with fewer than 8 bits; save it as 8-bit grey'
    return reason, 'grey masks of fewer than 8 bits'
  if mask.mode not in ('P', 'L', '1', 'I') and mask.mode[:4] != 'I;16':
    reason = (
      f'it has the mode {mask.mode}; save it as palette or 8-bit grey PNG'
    )
    return reason, None
  return None, None
