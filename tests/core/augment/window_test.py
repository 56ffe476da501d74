import numpy as np
import pytest
import tensorflow as tf

from deeplab_contrast.core.augment import compiled, geometry, window
from tests.both_ways import both_ways, graph_spec


def by_hand(image, label, scaled, start, size, mirrored, pixel=127.5):
  """Pixel by pixel, in float64."""
  out = np.empty((*size, 3))
  ids = np.empty(size, np.int32)
  for i in range(size[0]):
    for j in range(size[1]):
      y, x = start[0] + i, start[1] + (size[1] - 1 - j if mirrored else j)
      if y >= scaled[0] or x >= scaled[1]:
        out[i, j], ids[i, j] = pixel, 255
        continue
      y, x = (
        place * (side - 1) / max(new - 1, 1)
        for place, side, new in zip((y, x), label.shape, scaled, strict=True)
      )
      ids[i, j] = label[int(y + 0.5), int(x + 0.5)]
      rows = [int(y), min(int(y) + 1, label.shape[0] - 1)]
      columns = [int(x), min(int(x) + 1, label.shape[1] - 1)]
      corners = image[rows][:, columns].astype(float)
      top, end = corners[:, 0] + (corners[:, 1] - corners[:, 0]) * (x % 1)
      out[i, j] = top + (end - top) * (y % 1)
  return out, ids


def example(height, width):
  rng = np.random.default_rng(height)
  return {
    'image': rng.integers(0, 256, (height, width, 3), dtype=np.uint8),
    'label': rng.integers(0, 256, (height, width), dtype=np.uint8),
  }


def sampled(scaled, start, size, mirrored, pixel=127.5):
  def op(e):
    shape = tf.shape(e['label'])
    rows, columns = (
      window.axis(shape[i], scaled[i], start[i], size[i], flag)
      for i, flag in enumerate((False, mirrored))
    )
    return window.sample(e['image'], e['label'], rows, columns, pixel, 255)

  return op


@pytest.mark.parametrize(
  'source, scaled, start, size, mirrored',
  [
    ((7, 9), (7, 9), (0, 0), (7, 9), False),
    ((7, 9), (14, 18), (3, 5), (8, 7), True),
    ((12, 11), (7, 6), (1, 2), (5, 4), False),
    ((6, 8), (9, 11), (0, 0), (13, 15), True),
    ((1, 1), (1, 1), (0, 0), (3, 2), False),
    ((1, 1), (2, 2), (0, 0), (3, 3), True),
    ((400, 2), (700, 3), (650, 0), (9, 5), False),
  ],
)
def test_sample_equals_numpy(source, scaled, start, size, mirrored):
  given = example(*source)
  expected = by_hand(*given.values(), scaled, start, size, mirrored)
  for image, label in both_ways(sampled(scaled, start, size, mirrored), given):
    np.testing.assert_allclose(image, expected[0], atol=0.05)
    np.testing.assert_array_equal(label, expected[1])


def test_a_pixel_for_each_channel():
  op = sampled((2, 2), (0, 0), (3, 3), False, (1.0, 2.0, 3.0))
  for image, _ in both_ways(op, example(2, 2)):
    np.testing.assert_array_equal(image[2, 0], [1, 2, 3])


def test_the_shape_is_static():
  spec = graph_spec(sampled((9, 9), (0, 0), (4, 5), False), example(6, 7))
  assert [s.shape for s in spec] == [(4, 5, 3), (4, 5)]


@pytest.mark.parametrize('factor', [0.5, 0.75, 1.25, 2.0])
def test_compiled_equals_the_single_steps(factor):
  given = example(230, 310)
  side = 257
  assert side**2 >= compiled.LEAST_PIXELS

  def steps(e):
    image, label = tf.cast(e['image'], tf.float32), tf.cast(e['label'], 'int32')
    image, label = geometry.scale(image, label, factor)
    image, label = geometry.pad_to(image, label, side, side, 127.5, 255)
    return geometry.random_crop(image, label, side, side, [3, 4])

  def fused(e):
    scaled = geometry.scaled_size(tf.shape(e['label']), factor)
    padded = tf.maximum(scaled, side)
    start = geometry.crop_offset(padded, side, side, [3, 4])
    return sampled(scaled, start, (side, side), False)(e)

  dataset = tf.data.Dataset.from_tensors(given)
  (one,), (other,) = dataset.map(steps), dataset.map(fused)
  np.testing.assert_allclose(other[0], one[0], atol=0.05)
  np.testing.assert_array_equal(other[1], one[1])
