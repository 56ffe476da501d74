"""Files of more than 8 bits or three bands: exact, or refused everywhere."""

import io
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, TiffImagePlugin

from deeplab_contrast.imaging import images, masks, photos
from deeplab_contrast.utils import errors

RGB = np.random.default_rng(0).integers(0, 256, [6, 5, 3]).astype(np.uint8)
RGBA = np.dstack([RGB, np.full([6, 5], 255, np.uint8)])
GREY, GREY_ALPHA = RGB[..., :1], RGBA[..., 2:]

READERS = {
  'picture': lambda path: images.read_picture(path).pixels,
  'mask': lambda path: masks.read_colors(path)[0],
  'photo': lambda path: photos.decode(path.read_bytes(), path),
}


def tiff(values, extra=(), order='<', is_packed=False):
  """A TIFF of [height, width, bands], which Pillow cannot write."""
  height, width, bands = values.shape
  data = values.astype(values.dtype.newbyteorder(order)).tobytes()
  data = zlib.compress(data) if is_packed else data
  start = b'II*\0' if order == '<' else b'MM\0*'
  ifd = TiffImagePlugin.ImageFileDirectory_v2(start + bytes(4))
  tags = {256: width, 257: height, 258: (values.dtype.itemsize * 8,) * bands}
  tags |= {259: 8 if is_packed else 1, 262: 2 if bands > 2 else 1}
  tags |= {273: 0, 277: bands, 278: height, 279: len(data)}
  tags |= {338: extra} if extra else {}
  for tag, value in tags.items():
    ifd[tag] = value
  at = (8).to_bytes(4, 'little' if order == '<' else 'big')
  return start + at + ifd.tobytes(8) + data  # The place 0 is behind the tags.


def png(values):
  return tf.io.encode_png(values).numpy()


def encoded(pixels, form, **options):
  buffer = io.BytesIO()
  Image.fromarray(pixels).save(buffer, form, **options)
  return buffer.getvalue()


@pytest.fixture(params=READERS)
def read(request, tmp_path):
  def read_bytes(data):
    (tmp_path / 'x.png').write_bytes(data)
    return READERS[request.param](tmp_path / 'x.png')

  return read_bytes


@pytest.mark.parametrize(
  'encode, pixels',
  [
    *((png, pixels) for pixels in (RGB, RGBA, GREY, GREY_ALPHA)),
    *((tiff, pixels) for pixels in (RGB, GREY)),
    (lambda values: tiff(values, (2,)), RGBA),
    (lambda values: tiff(values, order='>'), RGB),
    (lambda values: tiff(values, is_packed=True), RGB),
  ],
)
def test_16_bits_are_taken_where_nothing_is_lost(read, encode, pixels):
  values = pixels.astype(np.uint16) * 257
  expected = pixels[..., :3] if pixels.shape[2] > 2 else pixels[..., [0] * 3]
  np.testing.assert_array_equal(read(encode(values)), expected)
  values[2, 3, 0] = 8001
  with pytest.raises(errors.DataError, match=r'x\.png cannot .* 8001 that 8'):
    read(encode(values))


@pytest.mark.parametrize(
  'data, count, kept',
  [
    (tiff(np.dstack([RGB, GREY]), (0,)), 4, 3),
    (tiff(RGBA), 4, 3),  # Nothing says that it is alpha.
    (tiff(np.dstack([RGB, RGB[..., :2]]), (0, 0)), 5, 3),
    (tiff(np.dstack([RGBA, GREY]), (2, 0)), 5, 4),
    (tiff(np.dstack([RGB, GREY]).astype(np.uint16) * 257, (0,)), 4, 3),
  ],
)
def test_bands_are_never_dropped(read, data, count, kept):
  match = f'it has {count} bands, and only {kept} of them'
  with pytest.raises(errors.DataError, match=match):
    read(data)


def test_alpha_is_not_a_band_too_many(read):
  np.testing.assert_array_equal(read(tiff(RGBA, (2,))), RGB)


@pytest.mark.parametrize(
  'data, reason',
  [
    (tiff(np.zeros([4, 4, 7], np.uint8), (0,) * 4), 'TIFF of bands or bits'),
    (tiff(np.zeros([4, 4, 3], np.float32)), 'TIFF of bands or bits'),
    (encoded(RGB[..., 0] / np.float32(9), 'TIFF'), '32 bits per channel'),
    (b'P6 1 1\n# wide\n65535\n' + bytes(6), '16 bits per channel'),
    (encoded(RGB[..., 0].astype(np.uint16), 'JPEG2000'), '16 bits per'),
  ],
)
@pytest.mark.parametrize('name', ['picture', 'photo'])
def test_other_depths_are_refused(tmp_path, name, data, reason):
  (tmp_path / 'x.png').write_bytes(data)
  with pytest.raises(errors.DataError, match=reason):
    READERS[name](tmp_path / 'x.png')
