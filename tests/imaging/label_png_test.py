import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from deeplab_contrast.imaging import label_png, masks
from deeplab_contrast.utils import errors
from tests.datasets.in_memory import decoded, png

LABEL = np.arange(256, dtype=np.uint8).reshape(8, 32)


@pytest.mark.parametrize(
  'mode, options',
  [(None, {}), ('P', {'bits': 8}), ('P', {'bits': 8, 'transparency': 3})],
)
def test_eight_bits_become_grey_without_decoding(mode, options):
  data = png(LABEL, mode, **options)
  grey = label_png.as_grey(data)
  np.testing.assert_array_equal(decoded(grey), LABEL)
  np.testing.assert_array_equal(tf.io.decode_png(grey)[..., 0], LABEL)
  assert len(grey) <= len(data)


@pytest.mark.parametrize(
  'data',
  [
    b'',
    b'\x89PNG\r\n\x1a\n',
    b'<html>',
    png(np.zeros([2, 2, 3])),
    png([[0, 1]], 'P', bits=1),
  ],
)
def test_all_else_is_left_to_the_decoder(data):
  assert label_png.as_grey(data) is None


def test_damage_stays_visible():
  data = bytearray(png(LABEL, 'P', bits=8))
  data[data.index(b'IDAT') + 20] ^= 1
  with pytest.raises(tf.errors.InvalidArgumentError):
    tf.io.decode_png(label_png.as_grey(bytes(data)))


@pytest.mark.parametrize('bits', [1, 2, 4, 8])
def test_read_gives_the_indices(tmp_path, bits):
  label = LABEL & (2**bits - 1)
  (tmp_path / 'a.png').write_bytes(png(label, 'P', bits=bits))
  read = label_png.read(tmp_path / 'a.png')
  np.testing.assert_array_equal(tf.io.decode_png(read)[..., 0], label)
  np.testing.assert_array_equal(masks.read_ids(tmp_path / 'a.png'), label)


def test_what_is_no_label_is_refused(tmp_path):
  with pytest.raises(errors.DataError, match='a.png cannot be read'):
    label_png.read(tmp_path / 'a.png')
  Image.new('RGB', (3, 3), 'red').save(tmp_path / 'a.png')
  with pytest.raises(errors.DataError, match='a.png is not a mask'):
    label_png.read(tmp_path / 'a.png')
