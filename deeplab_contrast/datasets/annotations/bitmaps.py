"""Masks of one label: files, or inside of annotation files.

Those inside are base64 of a PNG, maybe compressed.
"""

import base64
import dataclasses
import hashlib
import io
import pathlib
import zlib

import numpy as np
from PIL import Image

from deeplab_contrast.datasets.annotations import shapes
from deeplab_contrast.imaging import masks
from deeplab_contrast.utils import errors

# A PNG of the largest mask is smaller.
_MOST_BYTES = 1 << 26


def from_base64(text: str, is_compressed: bool = False) -> np.ndarray:
  """Decodes a mask.

  Args:
    text: base64 of a PNG.
    is_compressed: whether the PNG is compressed with zlib once more.

  Returns:
    bool [height, width]: pixels that are not 0; if there is alpha, those that
    are not transparent.

  Raises:
    ValueError: it is too large; or whatever Pillow raises for damaged files.
  """
  data = base64.b64decode(text, validate=True)
  if is_compressed:
    unpacking = zlib.decompressobj()
    data = unpacking.decompress(data, _MOST_BYTES)
    if unpacking.unconsumed_tail or not unpacking.eof:
      raise ValueError('a bitmap is cut off, or unpacks to far too much')
  image = Image.open(io.BytesIO(data), formats=['PNG'])
  if image.width * image.height > shapes.MOST_PIXELS:
    raise ValueError('a bitmap has too many pixels')
  pixels = np.asarray(image)
  if pixels.ndim == 2:
    return pixels != 0
  has_alpha = pixels.shape[-1] in (2, 4)
  return np.asarray((pixels[..., -1:] if has_alpha else pixels).any(axis=-1))


@dataclasses.dataclass(frozen=True, eq=False)
class MaskFile:
  """The pixels of a mask file that are not 0.

  Attributes:
    path: the file.
  """

  path: pathlib.Path

  def region(self, height: int, width: int) -> shapes.Region:
    """See `shapes.Shape`. Raises DataError for another size."""
    pixels = masks.read_ids(self.path) > 0
    if pixels.shape != (height, width):
      raise errors.DataError(
        f'{self.path} is {pixels.shape[0]} x {pixels.shape[1]} (height x '
        f'width), but its image is {height} x {width}.'
      )
    return 0, 0, pixels

  def mark(self) -> bytes:
    """See `shapes.Shape`."""
    return hashlib.blake2b(self.path.read_bytes(), digest_size=12).digest()
