import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from deeplab_contrast.common import ID, IMAGE, LABEL
from deeplab_contrast.datasets import transforms
from tests.both_ways import both_ways, graph_spec


def encode(pixels, file_format='PNG', **options):
  buffer = io.BytesIO()
  Image.fromarray(pixels).save(buffer, file_format, **options)
  return buffer.getvalue()


def random_pixels(height=6, width=8):
  rng = np.random.default_rng(2)
  return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def encoded():
  pixels = random_pixels()
  label = (pixels[..., 0] % 3).astype(np.uint8)
  label[0, 0] = 255
  return pixels, label, {IMAGE: encode(pixels), LABEL: encode(label), ID: b'a'}


def test_decode_gives_pixels_and_ids():
  pixels, label, example = encoded()
  for out in both_ways(transforms.Decode(), example):
    assert out[IMAGE].dtype == np.float32 and out[LABEL].dtype == np.int32
    np.testing.assert_array_equal(out[IMAGE], pixels)
    np.testing.assert_array_equal(out[LABEL], label)
    assert out[ID] == b'a'


def test_decode_knows_the_channels_in_a_graph():
  spec = graph_spec(transforms.Decode(), encoded()[2])
  assert spec[IMAGE].shape.as_list() == [None, None, 3]
  assert spec[LABEL].shape.as_list() == [None, None]


def test_decode_of_jpeg_equals_pillow():
  image = encode(random_pixels(33, 47), 'JPEG', quality=80)
  expected = np.array(Image.open(io.BytesIO(image)))
  for out in both_ways(transforms.Decode(), {IMAGE: image, LABEL: b''}):
    np.testing.assert_array_equal(out[IMAGE], expected)


@pytest.mark.parametrize('file_format', ['JPEG', 'PNG', 'BMP', 'GIF'])
def test_decode_takes_the_usual_formats(file_format):
  image = encode(np.full((4, 5, 3), 128, np.uint8), file_format)
  for out in both_ways(transforms.Decode(), {IMAGE: image, LABEL: b''}):
    assert out[IMAGE].shape == (4, 5, 3)
    np.testing.assert_allclose(out[IMAGE], 128, atol=1)


def test_decode_of_gray_and_transparent_pngs_gives_three_channels():
  gray = np.arange(20, dtype=np.uint8).reshape(4, 5)
  for pixels in (gray, np.stack([gray, gray, gray, 255 - gray], -1)):
    for out in both_ways(
      transforms.Decode(), {IMAGE: encode(pixels), LABEL: b''}
    ):
      np.testing.assert_array_equal(out[IMAGE], np.stack([gray] * 3, -1))


def test_decode_of_an_unlabelled_image_ignores_all():
  example = {**encoded()[2], LABEL: b''}
  for out in both_ways(transforms.Decode(), example):
    np.testing.assert_array_equal(out[LABEL], np.full((6, 8), 255))
    assert out[LABEL].dtype == np.int32


def test_decode_refuses_a_palette_label():
  label = Image.fromarray(encoded()[1]).convert('P')
  buffer = io.BytesIO()
  label.save(buffer, 'PNG')
  example = {**encoded()[2], LABEL: buffer.getvalue()}
  with pytest.raises(tf.errors.InvalidArgumentError, match='not compatible'):
    transforms.Decode()(example)


def test_decode_refuses_a_label_of_another_size():
  example = {**encoded()[2], LABEL: encode(np.zeros((6, 7), np.uint8))}
  with pytest.raises(tf.errors.InvalidArgumentError, match='differ in size'):
    transforms.Decode()(example)
  dataset = tf.data.Dataset.from_tensors(example).map(transforms.Decode())
  with pytest.raises(tf.errors.InvalidArgumentError, match='differ in size'):
    list(dataset)


def test_decode_refuses_bytes_that_are_no_image():
  example = {IMAGE: b'<html>', LABEL: b''}
  with pytest.raises(tf.errors.InvalidArgumentError, match='Unknown image'):
    transforms.Decode()(example)
