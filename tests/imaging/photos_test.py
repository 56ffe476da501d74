import io

import numpy as np
import pytest
from PIL import Image

from deeplab_contrast.datasets.raw import upright
from deeplab_contrast.imaging import decoding, images, photos
from deeplab_contrast.utils import errors

PIXELS = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3) * 3


def encoded(image, form='PNG', **settings):
  buffer = io.BytesIO()
  image.save(buffer, form, **settings)
  return buffer.getvalue()


def decode(image, form='PNG', **settings):
  return photos.decode(encoded(image, form, **settings), 'x')


@pytest.mark.parametrize('orientation', range(1, 9))
@pytest.mark.parametrize('form', ['JPEG', 'PNG', 'WEBP'])
def test_the_pixels_are_those_of_training(tmp_path, form, orientation):
  exif = Image.Exif()
  exif[0x0112] = orientation
  noise = np.random.default_rng(orientation).integers(0, 256, [24, 40, 3])
  for mode in ('RGB', 'L', 'CMYK' if form == 'JPEG' else 'RGBA'):
    image = Image.fromarray(noise.astype(np.uint8)).convert(mode)
    data = encoded(image, form, exif=exif)
    (tmp_path / 'x').write_bytes(data)
    picture = images.read_picture(tmp_path / 'x')
    picture, _ = upright.turn(picture, None, 'x')
    trained_on = decoding.image(picture.encoded())
    np.testing.assert_array_equal(photos.decode(data, 'x'), trained_on)


@pytest.mark.parametrize('form', ['PNG', 'TIFF'])
@pytest.mark.parametrize('orientation', range(1, 9))
def test_cameras_may_be_held_in_any_way(orientation, form):
  # What must be done to the stored pixels, from the standard's table.
  upright = {
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: x[::-1, ::-1].swapaxes(0, 1),
    8: lambda x: np.rot90(x, 1),
  }[orientation](PIXELS)
  exif = Image.Exif()
  exif[0x0112] = orientation
  np.testing.assert_array_equal(
    decode(Image.fromarray(PIXELS), form, exif=exif), upright
  )


@pytest.mark.parametrize('form', ['PNG', 'WEBP', 'JPEG'])
@pytest.mark.parametrize(
  'notes', [b'II*\0\x08', b'II*\0\x08\0\0\0\x01', b'II*\0', b'', b'spoilt']
)
def test_damaged_notes_do_not_spoil_a_photo(notes, form, tmp_path):
  image = Image.fromarray(PIXELS)
  settings = {'exif': b'Exif\0\0' + notes}
  settings |= {'lossless': True} if form == 'WEBP' else {}
  assert decode(image, form, **settings).shape == PIXELS.shape
  (tmp_path / 'x').write_bytes(encoded(image, form, **settings))
  assert images.read_picture(tmp_path / 'x').pixels.shape == PIXELS.shape


def test_modes():
  grey = PIXELS[..., 0]
  three = np.stack([grey] * 3, -1)
  np.testing.assert_array_equal(decode(Image.fromarray(grey)), three)
  wide = Image.fromarray(grey.astype(np.uint16) * 257)
  np.testing.assert_array_equal(decode(wide), three)
  clear = np.dstack([PIXELS, np.full([4, 6], 255, np.uint8)])
  clear[0, :, 3] = 0
  expected = PIXELS.copy()
  expected[0] = 255
  np.testing.assert_array_equal(decode(Image.fromarray(clear)), expected)
  cmyk = Image.fromarray(PIXELS).convert('CMYK')
  np.testing.assert_array_equal(decode(cmyk, 'TIFF'), PIXELS)
  palette = Image.fromarray(np.array([[0, 1]], np.uint8))
  palette.putpalette([9, 8, 7, 1, 2, 3])
  np.testing.assert_array_equal(decode(palette), [[[9, 8, 7], [1, 2, 3]]])


def test_what_is_refused(tmp_path):
  floats = Image.fromarray(np.zeros([2, 2], np.float32))
  data = encoded(Image.fromarray(PIXELS))
  for bad, sentence in (
    (encoded(floats, 'TIFF'), 'x cannot .* 32 bits per channel'),
    (b'<html>', 'x is a web page'),
    (data[:-9], 'x is cut off or damaged'),
  ):
    with pytest.raises(errors.DataError, match=sentence):
      photos.decode(bad, 'x')
  with pytest.raises(errors.DataError, match='6 x 4 pixels, more than'):
    photos.decode(data, 'x', max_pixels=23)
  assert photos.decode(data, 'x', max_pixels=24).shape == (4, 6, 3)
  (tmp_path / 'empty').write_bytes(b'')
  for name, sentence in (
    ('none', 'does not exist'),
    ('.', 'is not a file'),
    ('empty', 'is empty'),
  ):
    with pytest.raises(errors.DataError, match=sentence):
      photos.read_bytes(tmp_path / name)
