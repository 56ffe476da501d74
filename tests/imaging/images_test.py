import csv
import io
import pathlib
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from deeplab_contrast.imaging import decoding, images, masks
from deeplab_contrast.utils import errors

GOLDEN = pathlib.Path(__file__).parents[3] / 'shared' / 'golden'

RGB = np.random.default_rng(0).integers(0, 256, [10, 14, 3]).astype(np.uint8)
IDS = np.arange(140, dtype=np.uint8).reshape(10, 14) % 21


def encoded(image, form, **options):
  buffer = io.BytesIO()
  image.save(buffer, form, **options)
  return buffer.getvalue()


def write(folder, data, name='file.png'):
  path = folder / name
  path.write_bytes(data)
  return path


def decoded(data):
  return decoding.image(data).numpy()


@pytest.mark.parametrize(
  'mode, form, options',
  [
    ('RGB', 'PNG', {}),
    ('L', 'PNG', {}),
    ('RGB', 'JPEG', {}),
    ('RGB', 'JPEG', {'progressive': True}),
    ('L', 'JPEG', {}),
    ('RGB', 'MPO', {'save_all': True, 'append_images': ['other']}),
  ],
)
def test_plain_images_are_kept_byte_for_byte(tmp_path, mode, form, options):
  image = Image.fromarray(RGB).convert(mode)
  if 'append_images' in options:
    options = {**options, 'append_images': [image.rotate(90)]}
  data = encoded(image, form, **options)
  picture = images.read_picture(write(tmp_path, data))
  assert picture.encoded() == data
  assert picture.pixels.shape == (10, 14, 3)


@pytest.mark.parametrize(
  'mode, form',
  [
    ('CMYK', 'JPEG'),
    ('CMYK', 'TIFF'),
    ('P', 'PNG'),
    ('1', 'PNG'),
    ('RGBA', 'PNG'),
    ('LA', 'PNG'),
    ('RGB', 'TIFF'),
    ('RGB', 'BMP'),
    ('RGB', 'WEBP'),
    ('RGB', 'GIF'),
  ],
)
def test_other_images_become_rgb_png(tmp_path, mode, form):
  data = encoded(Image.fromarray(RGB).convert(mode), form)
  picture = images.read_picture(write(tmp_path, data))
  kept, size = picture.encoded(), picture.pixels.shape[:2]
  expected = Image.open(io.BytesIO(data)).convert('RGB')
  np.testing.assert_array_equal(decoded(kept), np.asarray(expected))
  assert kept.startswith(b'\x89PNG')
  assert size == (10, 14)


def transparent():
  pixels = np.dstack([RGB, np.full([10, 14], 255, np.uint8)])
  pixels[3, 4, 3] = 100
  return Image.fromarray(pixels)


def several_frames(form):
  image = Image.fromarray(RGB)
  more = [image.rotate(90), image.rotate(180)]
  return encoded(image, form, save_all=True, append_images=more)


@pytest.mark.parametrize(
  'data, reason',
  [
    (encoded(transparent(), 'PNG'), 'transparent pixels'),
    (
      encoded(Image.fromarray(IDS), 'PNG', transparency=int(IDS[0, 0])),
      'transparent pixels',
    ),
    (several_frames('GIF'), '3 frames'),
    (several_frames('PNG'), '3 frames'),
  ],
)  # fmt: skip
def test_images_without_one_right_conversion_are_refused(
  tmp_path, data, reason
):
  with pytest.raises(errors.DataError, match=rf'photo\.png cannot .*{reason}'):
    images.read_picture(write(tmp_path, data, 'photo.png'))


PNG = encoded(Image.fromarray(RGB), 'PNG')
JPEG = encoded(Image.fromarray(RGB), 'JPEG')
FLIPPED = PNG[:60] + bytes([PNG[60] ^ 255]) + PNG[61:]


@pytest.mark.parametrize('read', [images.read_picture, masks.read_ids])
@pytest.mark.parametrize(
  'data, reason',
  [
    (b'', 'is empty'),
    (b' <!DOCTYPE html><html>404</html>', 'is a web page'),
    (b'hello', 'is not an image'),
    (PNG[:-1], 'cut off'),
    (PNG[:-20], 'cut off'),
    (PNG[:20], 'damaged'),
  ],
)
def test_unreadable_files_are_refused(tmp_path, read, data, reason):
  with pytest.raises(errors.DataError, match=rf'x\.png.*{reason}'):
    read(write(tmp_path, data, 'x.png'))


@pytest.mark.parametrize('data', [JPEG[:-1], JPEG[:-30], FLIPPED])
def test_damaged_images_are_refused(tmp_path, data):
  with pytest.raises(errors.DataError, match=r'x\.jpg is cut off or damaged'):
    images.read_picture(write(tmp_path, data, 'x.jpg'))


def test_damaged_masks_are_refused(tmp_path):
  data = encoded(Image.fromarray(IDS), 'PNG')
  data = data[:45] + bytes([data[45] ^ 255]) + data[46:]
  with pytest.raises(errors.DataError, match='cut off or damaged'):
    masks.read_ids(write(tmp_path, data))


def test_a_decompression_bomb_is_refused_unopened(tmp_path):
  header = PNG[12:16] + (70000).to_bytes(4, 'big') * 2 + PNG[24:29]
  bomb = PNG[:12] + header + zlib.crc32(header).to_bytes(4, 'big') + PNG[33:]
  with pytest.raises(errors.DataError, match='cut it into tiles'):
    images.read_picture(write(tmp_path, bomb))


@pytest.mark.parametrize('read', [images.read_picture, masks.read_ids])
def test_missing_files_and_folders_are_refused(tmp_path, read):
  with pytest.raises(errors.DataError, match='nothing.png does not exist'):
    read(tmp_path / 'nothing.png')
  with pytest.raises(errors.DataError, match='cannot be read'):
    read(tmp_path)


@pytest.mark.parametrize('form', ['PNG', 'TIFF', 'BMP', 'GIF'])
def test_a_palette_mask_is_read_by_index(tmp_path, form):
  mask = Image.fromarray(IDS)
  mask.putpalette(np.asarray(images.voc_colormap(256), np.uint8).tobytes())
  path = write(tmp_path, encoded(mask, form))
  np.testing.assert_array_equal(masks.read_ids(path), IDS)


def test_the_trap_of_palettes_is_real(tmp_path):
  # What a reader that trusts decode_png would get: brightness, not ids.
  images.write_palette_png(tmp_path / 'm.png', IDS, images.voc_colormap(21))
  luminance = tf.io.decode_png((tmp_path / 'm.png').read_bytes(), channels=1)
  assert luminance[0, 1, 0] == 38
  assert masks.read_ids(tmp_path / 'm.png')[0, 1] == 1


def test_palettes_of_few_bits_are_read_by_index(tmp_path):
  mask = Image.fromarray(IDS % 4)
  mask.putpalette([0, 0, 0, 9, 9, 9, 200, 0, 0, 0, 0, 200])
  path = write(tmp_path, encoded(mask, 'PNG', bits=2))
  np.testing.assert_array_equal(masks.read_ids(path), IDS % 4)


def test_grey_and_bilevel_masks_are_read_by_value(tmp_path):
  grey = write(tmp_path, encoded(Image.fromarray(IDS), 'PNG'))
  np.testing.assert_array_equal(masks.read_ids(grey), IDS)
  bilevel = write(tmp_path, encoded(Image.fromarray(IDS > 9), 'PNG'))
  np.testing.assert_array_equal(masks.read_ids(bilevel), IDS > 9)
  assert masks.read_ids(bilevel).dtype == np.uint8


@pytest.mark.parametrize('dtype', [np.uint16, np.int32])
@pytest.mark.parametrize('form', ['PNG', 'TIFF'])
def test_wide_masks_are_read_by_value(tmp_path, dtype, form):
  path = write(tmp_path, encoded(Image.fromarray(IDS.astype(dtype)), form))
  np.testing.assert_array_equal(masks.read_ids(path), IDS)
  assert masks.read_ids(path).dtype == np.uint8


def wide(dtype, least=0):
  """A mask with a value that 8 bits cannot represent."""
  return Image.fromarray(np.array([[least, 7], [3, 256]], dtype))


def pages():
  """A TIFF of a page for each class."""
  page = Image.fromarray(IDS)
  return encoded(page, 'TIFF', save_all=True, append_images=[page])


def grey_of_4_bits():
  """A PNG of ids 0 and 1 with 4 bits per pixel, as some tools write them."""

  def chunk(kind, body):
    crc = zlib.crc32(kind + body).to_bytes(4, 'big')
    return len(body).to_bytes(4, 'big') + kind + body + crc

  header = (2).to_bytes(4, 'big') * 2 + bytes([4, 0, 0, 0, 0])
  pixels = zlib.compress(bytes([0, 0x01, 0, 0x10]))
  return (
    b'\x89PNG\r\n\x1a\n'
    + chunk(b'IHDR', header)
    + chunk(b'IDAT', pixels)
    + chunk(b'IEND', b'')
  )


@pytest.mark.parametrize(
  'data, reason',
  [
    (PNG, 'mode RGB, so it holds colours'),
    (encoded(transparent(), 'PNG'), 'mode RGBA, so it holds colours'),
    (encoded(Image.fromarray(RGB).convert('CMYK'), 'TIFF'), 'mode CMYK'),
    (encoded(Image.fromarray(IDS / 255.0), 'TIFF'), 'the mode F'),
    (encoded(wide(np.uint16), 'PNG'), 'values from 0 to 256, but class ids'),
    (encoded(wide(np.int32, -1), 'TIFF'), 'values from -1 to 256, but class'),
    (encoded(Image.fromarray(IDS), 'JPEG'), 'JPEG blurs ids'),
    (grey_of_4_bits(), 'fewer than 8 bits'),
    (pages(), '2 frames'),
  ],
)
def test_files_that_cannot_hold_ids_are_refused(tmp_path, data, reason):
  with pytest.raises(
    errors.DataError, match=rf'm\.png is not a mask: .*{reason}'
  ):
    masks.read_ids(write(tmp_path, data, 'm.png'))


def test_written_masks_show_colours_and_keep_ids(tmp_path):
  path = tmp_path / 'm.png'
  labels = np.array([[0, 1], [2, 255]], np.uint8)
  colors = ((10, 20, 30), (40, 50, 60), (70, 80, 90))
  images.write_palette_png(path, labels, colors)
  np.testing.assert_array_equal(masks.read_ids(path), labels)
  shown = np.asarray(Image.open(path).convert('RGB'))
  expected = [[colors[0], colors[1]], [colors[2], (224, 224, 192)]]
  np.testing.assert_array_equal(shown, expected)


def test_writing_replaces_a_file_and_leaves_nothing_else(tmp_path):
  for labels in (IDS, IDS + 1):
    images.write_palette_png(tmp_path / 'm.png', labels, ())
  np.testing.assert_array_equal(masks.read_ids(tmp_path / 'm.png'), IDS + 1)
  assert [p.name for p in tmp_path.iterdir()] == ['m.png']


def test_writes_wherever_tensorflow_can():
  images.write_palette_png('ram://masks/m.png', IDS, ())
  np.testing.assert_array_equal(masks.read_ids('ram://masks/m.png'), IDS)


def test_voc_colours_as_published():
  colors = images.voc_colormap(256)
  assert colors[0] == (0, 0, 0)
  assert colors[1] == (128, 0, 0)
  assert colors[15] == (192, 128, 128)
  assert colors[20] == (0, 64, 128)
  assert colors[255] == (224, 224, 192)


def test_voc_colours_agree_with_the_original():
  if not GOLDEN.exists():
    pytest.skip('the golden values of the original are not here')
  with (GOLDEN / 'colormap.csv').open() as file:
    rows = [r for r in csv.DictReader(file) if r['dataset'] == 'pascal']
  colors = images.voc_colormap(512)
  assert rows
  for row in rows:
    rgb = (int(row['r']), int(row['g']), int(row['b']))
    assert colors[int(row['label'])] == rgb
