"""Mask files: read strictly, as the ids or the colours that they store."""

import dataclasses

import numpy as np

from deeplab_contrast.imaging import depth, images
from deeplab_contrast.utils import errors

# Formats that store ids exactly.
_LOSSLESS = ('PNG', 'BMP', 'TIFF', 'GIF')

# The cause of a MaskError: colours where there should be ids.
RGB_MASK = 'RGB masks, which show colours where class ids are expected'

# What the two values of a 1-bit file are.
_BLACK_AND_WHITE = ((0, 0, 0), (255, 255, 255))


class MaskError(errors.DataError):
  """A mask that does not contain what it should.

  Attributes:
    cause: the likely reason, a phrase that many files may share; or None.
  """

  def __init__(self, message: str, cause: str | None = None):
    super().__init__(message)
    self.cause = cause

  def __reduce__(self):  # Other processes raise it too.
    return type(self), (str(self), self.cause)


@dataclasses.dataclass(frozen=True)
class Mask:
  """A mask file, read.

  Attributes:
    values: uint8 [height, width], grey values or palette indices; 0 and 1 of a
      1-bit file.
    palette: uint8 [colours, 3], the colours of the indices: black and white
      for a 1-bit file; None for a grey one.
  """

  values: np.ndarray
  palette: np.ndarray | None = None


def read(path: images.FilePath, may_be_color: bool = True) -> Mask:
  """Reads a mask file of ids.

  For a palette image these are the palette indices, not the brightness of
  their colours (which `tf.io.decode_png` would give); for a grey image of 8, 16
  or 32 bits the pixel values.

  Args:
    path: a mask file: PNG, BMP, TIFF or GIF, with palette or grey.
    may_be_color: whether grey may be stored as opaque colour, with three equal
      channels.

  Returns:
    Mask.

  Raises:
    DataError: the file is missing or unreadable.
    MaskError: it cannot hold ids.
  """
  mask, data = _open(path)
  grey = _grey(mask, data, path) if may_be_color else None
  if grey is not None:
    return Mask(grey)
  reason, cause = _why_no_ids(mask, data)
  if reason:
    raise MaskError(f'{path} is not a mask: {reason}.', cause)
  images.load_pixels(mask, path)
  ids = np.asarray(mask)
  if ids.min() < 0 or ids.max() > 255:
    raise MaskError(
      f'{path} is not a mask: it has values from {ids.min()} to {ids.max()}, '
      'but class ids are 0 to 255.',
      'masks of 16 or more bits whose values are not class ids',
    )
  return Mask(ids.astype(np.uint8), _palette(mask))


def read_ids(path: images.FilePath, may_be_color: bool = True) -> np.ndarray:
  """The values of `read`: uint8 [height, width]."""
  return read(path, may_be_color).values


def read_colors(
  path: images.FilePath, may_be_clear: bool = False
) -> tuple[np.ndarray, np.ndarray]:
  """Reads a mask file whose colours stand for classes.

  Args:
    path: a mask file: PNG, BMP, TIFF or GIF, of 8 bits or of 16 that are
      multiples of 257.
    may_be_clear: whether pixels may be transparent, though not half.

  Returns:
    (colors, is_clear): uint8 [height, width, 3], for a palette image the
    colours, not the indices; bool [height, width], the transparent pixels.

  Raises:
    DataError: the file is missing or unreadable.
    MaskError: its colours cannot stand for classes.
  """
  mask, data = _open(path)
  try:
    if not may_be_clear or not images.has_alpha(mask):
      colors = np.asarray(images.to_rgb(mask, data, path))
      return colors, np.zeros(colors.shape[:2], bool)
    images.load_pixels(mask, path)
    rgba = np.asarray(depth.to_8_bits(mask, data, path).convert('RGBA'))
  except errors.DataError as error:
    raise MaskError(str(error)) from error
  alpha = rgba[..., 3]
  if ((alpha > 0) & (alpha < 255)).any():
    raise MaskError(
      f'{path} has half transparent pixels: export it without smooth edges.',
      'masks with smooth edges',
    )
  return rgba[..., :3], alpha == 0


def _open(path):
  """The opened mask and its bytes; lossless formats only."""
  data = images.read_file(path)
  mask = images.open_image(data, path)
  if mask.format not in _LOSSLESS:
    raise MaskError(
      f'{path} is not a mask: {mask.format} blurs ids; save it as palette or '
      '8-bit grey PNG.',
      f'masks saved as {mask.format}, which blurs them',
    )
  return mask, data


def _grey(mask, data, path):
  """The ids of a mask stored as opaque RGB or grey with alpha, or None."""
  if mask.mode not in ('RGB', 'RGBA', 'LA') or depth.bits(mask, data) != 8:
    return None
  if depth.dropped_bands(mask, data) or images.several_frames(mask):
    return None
  images.load_pixels(mask, path)
  pixels = np.asarray(mask.convert('RGBA'))
  is_grey = (pixels[..., :3] == pixels[..., :1]).all()
  return pixels[..., 0] if is_grey and pixels[..., 3].min() == 255 else None


def _palette(mask):
  if mask.mode == '1':
    return np.array(_BLACK_AND_WHITE, np.uint8)
  if mask.mode == 'P':
    return np.array(mask.getpalette('RGB'), np.uint8).reshape(-1, 3)
  return None


def _why_no_ids(mask, data) -> tuple[str | None, str | None]:
  """(reason, cause) why a file cannot hold ids; (None, None) if it can."""
  if mask.mode in ('RGB', 'RGBA', 'LA', 'PA'):
    reason = (
      f'it has the mode {mask.mode}, so it holds colours, not class ids; it '
      'is a picture of the mask, or was saved by a program that dropped the '
      'palette'
    )
    return reason, RGB_MASK
  if mask.mode == 'L' and depth.bits(mask, data) != 8:
    # Decoders stretch such values to 0..255: id 1 of 4 bits would become 17.
    reason = 'it is grey with fewer than 8 bits; save it as 8-bit grey'
    return reason, 'grey masks of fewer than 8 bits'
  if mask.mode not in ('P', 'L', '1', 'I') and mask.mode[:4] != 'I;16':
    reason = (
      f'it has the mode {mask.mode}; save it as palette or 8-bit grey PNG'
    )
    return reason, None
  return depth.dropped_bands(mask, data) or images.several_frames(mask), None
