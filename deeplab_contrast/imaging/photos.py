"""Image files of any kind, as users see them: for prediction.

`images` refuses what a dataset should not guess. Here a guess is better than
nothing, if it is always the same: transparent images get a white background,
the first of several frames is taken, and the EXIF orientation is applied. The
range of 16 bits and the choice of bands are not guessed: such images are
refused as in training, see `depth`.
"""

import hashlib
import os

import numpy as np
from PIL import Image

from deeplab_contrast.imaging import conversion, depth, images, orientation
from deeplab_contrast.utils import errors


def read_bytes(path: str) -> bytes:
  """The bytes of a local file.

  Raises:
    DataError: it is missing, empty, unreadable, or not a regular file.
  """
  if not os.path.isfile(path):
    what = 'is not a file' if os.path.lexists(path) else 'does not exist'
    raise errors.DataError(f'{path} {what}.')
  try:
    with open(path, 'rb') as file:
      data = file.read()
  except OSError as error:
    raise errors.DataError(
      f'{path} cannot be read ({error.strerror}).'
    ) from error
  if not data:
    raise errors.DataError(f'{path} is empty: fetch it again.')
  return data


def digest(data: bytes) -> str:
  """16 hexadecimal digits that identify the content of a file."""
  return hashlib.sha256(data).hexdigest()[:16]


def decode(
  data: bytes,
  path: str,
  max_pixels: int | None = None,
  least: tuple[int, int] = (1, 1),
  convert: conversion.Conversion | None = None,
) -> np.ndarray:
  """Decodes an image file.

  Args:
    data: its bytes.
    path: its name in messages.
    max_pixels: refuses larger images, before they are decoded.
    least: (height, width) that the model pads smaller images to; `max_pixels`
      holds for the padded size.
    convert: how the images of the training became 8-bit RGB, if stated.

  Returns:
    uint8 [height, width, 3], upright. An 8-bit RGB or grey JPEG or PNG has
    exactly the pixels of training.

  Raises:
    DataError: it is not an image, is damaged or too large, or has bits or bands
      that 8-bit RGB cannot represent.
  """
  if convert is not None:
    converted = convert.read(data, path)
    _check_pixels(Image.fromarray(converted), 1, path, max_pixels, least)
    return converted
  image = images.open_image(data, path)
  noted = orientation.of(image, data)
  _check_pixels(image, noted, path, max_pixels, least)
  pixels = images.plain_pixels(image, data, path)
  if pixels is None:
    images.load_pixels(image, path)
    pixels = np.asarray(_to_rgb(depth.to_8_bits(image, data, path)))
  return orientation.upright(pixels, noted)


def _check_pixels(image, noted, path, most, least):
  size = image.width, image.height
  if noted > 4:  # Width and height change places.
    size = size[::-1]
  padded = tuple(map(max, size, reversed(least)))
  if most is None or padded[0] * padded[1] <= most:
    return
  note = f' (padded to {padded[0]} x {padded[1]})' if padded != size else ''
  raise errors.DataError(
    f'{path} has {size[0]} x {size[1]} pixels{note}, more than --max_pixels='
    f'{most}: make it smaller, or raise the limit.'
  )


def _to_rgb(image):
  if images.has_alpha(image):
    image = image.convert('RGBA')
    background = Image.new('RGBA', image.size, 'white')
    image = Image.alpha_composite(background, image)
  return image.convert('RGB')
