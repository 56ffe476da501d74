import csv

import numpy as np
import pytest
import tensorflow as tf

from deeplab_contrast.core import resize
from tests import original

needs_golden = pytest.mark.skipif(
  not original.GOLDEN.is_dir(), reason='shared/golden is absent'
)


def bilinear_by_hand(image, height, width):
  """Output pixel i of n is at i * (m - 1) / (n - 1) of m input pixels."""

  def matrix(old, new):
    places = np.linspace(0, old - 1, new) if new > 1 else np.zeros(1)
    return np.maximum(0, 1 - abs(places[:, None] - np.arange(old)))

  rows, columns = matrix(image.shape[0], height), matrix(image.shape[1], width)
  return np.einsum('yi,xj,ijc->yxc', rows, columns, image)


@pytest.mark.parametrize('size', [(9, 13), (5, 7), (3, 2), (1, 1), (4, 20)])
def test_bilinear_equals_interpolation_between_corners(size):
  image = np.random.default_rng(1).normal(size=(5, 7, 2)).astype(np.float32)
  resized = resize.bilinear(image[np.newaxis], size)[0]
  np.testing.assert_allclose(
    resized, bilinear_by_hand(image, *size), rtol=1e-5, atol=1e-5
  )


def test_bilinear_of_uint8_gives_float():
  image = np.array([[[[0], [255]]]], np.uint8)
  resized = resize.bilinear(image, (1, 3))
  np.testing.assert_array_equal(resized[0, 0, :, 0], [0.0, 127.5, 255.0])


def test_nearest_keeps_corners_and_ids():
  labels = np.arange(25, dtype=np.int32).reshape(1, 5, 5)
  half = resize.labels_nearest(labels, (3, 3))
  np.testing.assert_array_equal(half, labels[:, ::2, ::2])
  assert half.dtype == tf.int32
  np.testing.assert_array_equal(
    resize.labels_nearest(half, (5, 5))[:, ::2, ::2], half
  )


def test_scale_dimension_of_the_stages_of_a_513_crop():
  sizes = [resize.scale_dimension(513, 1 / s) for s in (1, 2, 4, 8, 16, 32)]
  assert sizes == [513, 257, 129, 65, 33, 17]
  assert resize.scale_dimension(tf.constant(513), 0.25).numpy() == 129


@pytest.mark.parametrize('scale', [0.1, 0.35, 0.7, 1 / 3, 1.4, 2.1])
def test_scale_dimension_is_the_same_for_tensors(scale):
  sizes = range(1, 1100)
  late = resize.scale_dimension(tf.constant(sizes), scale)
  assert late.dtype == tf.int32
  assert late.numpy().tolist() == [
    resize.scale_dimension(size, scale) for size in sizes
  ]


def test_spatial_size_is_static_if_known():
  @tf.function(input_signature=[tf.TensorSpec([None, 5, None, 3])])
  def sizes(images):
    height, width = resize.spatial_size(images)
    assert height == 5
    return width

  assert sizes(tf.zeros([2, 5, 7, 3])).numpy() == 7


@needs_golden
def test_golden_resize():
  stored = np.load(original.GOLDEN / 'resize_align_corners.npz')
  cases = [name[: -len('_in')] for name in stored if name.endswith('_in')]
  assert len(cases) == 13
  for case in cases:
    before, after = stored[f'{case}_in'], stored[f'{case}_out']
    ours = getattr(resize, case.rstrip('0123456789'))(before, after.shape[1:3])
    np.testing.assert_allclose(ours, after, rtol=1e-6, atol=1e-6, err_msg=case)


@needs_golden
def test_golden_scale_dimension():
  with open(original.GOLDEN / 'scale_dimension.csv') as file:
    rows = list(csv.DictReader(file))
  assert len(rows) > 100
  for row in rows:
    size, factor = int(row['dim']), float(row['scale'])
    number = resize.scale_dimension(size, factor)
    tensor = resize.scale_dimension(tf.constant(size), factor)
    assert number == int(row['scaled_python_number']), row
    assert tensor.numpy() == int(row['scaled_int32_tensor']), row
