import csv
import functools
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from deeplab_contrast.core.augment import geometry
from tests.both_ways import both_ways, draws, graph_spec

SEED = np.array([3, 4], np.int32)


def paired(height, width):
  """An image whose channels all show its label, so that both can be compared.

  Neighbouring values differ by 1, so a smooth resize shows a wrong place too.
  """
  label = np.arange(height * width, dtype=np.int32).reshape(height, width)
  image = np.stack([label] * 3, -1).astype(np.float32)
  return {'image': image, 'label': label}


def on_example(function, *arguments):
  return lambda e: function(e['image'], e['label'], *arguments)


def assert_paired(image, label):
  for channel in range(3):
    np.testing.assert_array_equal(image[..., channel], label)


def test_all_seven_scales_are_reached_alike():
  factors = draws(
    functools.partial(geometry.random_scale_factor, 0.5, 2.0, 0.25), 1400
  )
  values, counts = np.unique(factors, return_counts=True)
  np.testing.assert_allclose(values, np.arange(0.5, 2.1, 0.25))
  assert counts.min() > 140 and counts.max() < 260  # 200 expected.


def test_an_inexact_step_reaches_the_maximum():
  factors = draws(
    functools.partial(geometry.random_scale_factor, 0.6, 1.2, 0.2), 200
  )
  np.testing.assert_allclose(np.unique(factors), [0.6, 0.8, 1.0, 1.2], 1e-6)


def test_step_zero_draws_from_the_whole_range():
  factors = draws(
    functools.partial(geometry.random_scale_factor, 0.5, 2.0, 0), 500
  )
  assert len(np.unique(factors)) > 450
  assert 0.5 <= factors.min() < 0.55 and 1.95 < factors.max() < 2.0
  np.testing.assert_allclose(factors.mean(), 1.25, atol=0.08)


def test_one_scale_only():
  factors = draws(
    functools.partial(geometry.random_scale_factor, 1.5, 1.5, 0.25), 5
  )
  np.testing.assert_array_equal(factors, 1.5)


@pytest.mark.parametrize(
  'factor, size', [(0.5, (3, 5)), (0.75, (5, 8)), (1.0, (7, 11)), (2, (14, 22))]
)
def test_scale_cuts_sides_to_whole_pixels(factor, size):
  for image, label in both_ways(
    on_example(geometry.scale, factor), paired(7, 11)
  ):
    assert image.shape == (*size, 3) and label.shape == size
    assert image.dtype == np.float32 and label.dtype == np.int32


def test_scale_moves_image_and_label_alike():
  # From 5 to 9 pixels, every second one is unchanged, corners included.
  example = paired(5, 5)
  for image, label in both_ways(on_example(geometry.scale, 1.8), example):
    assert_paired(image[::2, ::2], label[::2, ::2])
    np.testing.assert_array_equal(label[::2, ::2], example['label'])
    np.testing.assert_allclose(image[1, 0], 2.5)


def test_scale_creates_no_new_label():
  example = paired(8, 8)
  example['label'] = np.where(example['label'] % 2, 255, 3).astype(np.int32)
  for _, label in both_ways(on_example(geometry.scale, 1.6), example):
    assert set(np.unique(label)) == {3, 255}


def test_scale_leaves_at_least_one_pixel():
  for image, label in both_ways(on_example(geometry.scale, 0.5), paired(1, 4)):
    assert image.shape == (1, 2, 3) and label.shape == (1, 2)


@pytest.mark.parametrize('pixel', [127.5, (123.15, 115.90, 103.06)])
def test_pad_extends_bottom_and_right(pixel):
  example = paired(2, 3)
  op = on_example(geometry.pad_to, 4, 5, pixel, 255)
  for image, label in both_ways(op, example):
    assert image.shape == (4, 5, 3) and label.shape == (4, 5)
    np.testing.assert_array_equal(image[:2, :3], example['image'])
    np.testing.assert_array_equal(label[:2, :3], example['label'])
    np.testing.assert_array_equal(label[2:], 255)
    np.testing.assert_array_equal(label[:, 3:], 255)
    outside = np.float32(pixel) + np.zeros(3, np.float32)
    assert (image[2:] == outside).all() and (image[:, 3:] == outside).all()


@pytest.mark.parametrize('least, size', [((2, 5), (4, 5)), ((3, 2), (4, 3))])
def test_pad_keeps_sides_that_are_large_enough(least, size):
  op = on_example(geometry.pad_to, *least, 127.5, 255)
  for image, label in both_ways(op, paired(4, 3)):
    assert image.shape == (*size, 3) and label.shape == size


def test_pad_to_a_known_size_is_static():
  @tf.function(
    input_signature=[
      tf.TensorSpec([2, 9, 3]),
      tf.TensorSpec([2, 9], tf.int32),
    ]
  )
  def pad(image, label):
    return geometry.pad_to(image, label, 5, 5, 127.5, 255)

  image, label = pad.get_concrete_function().structured_outputs
  assert image.shape == (5, 9, 3) and label.shape == (5, 9)


def test_crop_cuts_one_window_of_both():
  example = paired(6, 8)
  op = on_example(geometry.random_crop, 3, 5, SEED)
  for image, label in both_ways(op, example):
    assert_paired(image, label)
    top, left = divmod(label[0, 0], 8)
    np.testing.assert_array_equal(
      label, example['label'][top : top + 3, left : left + 5]
    )


def test_crop_has_a_static_shape():
  op = on_example(geometry.random_crop, 3, 5, SEED)
  image, label = graph_spec(op, paired(6, 8))
  assert image.shape == (3, 5, 3) and label.shape == (3, 5)


def test_crop_reaches_every_place_alike():
  example = paired(4, 5)
  crops = draws(
    lambda seed: geometry.random_crop(*example.values(), 2, 3, seed)[1], 900
  )
  values, counts = np.unique(crops[:, 0, 0], return_counts=True)
  np.testing.assert_array_equal(values, [0, 1, 2, 5, 6, 7, 10, 11, 12])
  assert counts.min() > 60 and counts.max() < 140  # 100 expected.


def test_crop_of_the_whole_image_is_the_image():
  example = paired(4, 5)
  op = on_example(geometry.random_crop, 4, 5, SEED)
  for image, label in both_ways(op, example):
    np.testing.assert_array_equal(image, example['image'])
    np.testing.assert_array_equal(label, example['label'])


@pytest.mark.parametrize('size', [(5, 3), (3, 6)])
def test_crop_larger_than_the_image_is_refused(size):
  op = on_example(geometry.random_crop, *size, SEED)
  with pytest.raises(tf.errors.InvalidArgumentError, match='pad it first'):
    op(paired(4, 5))
  dataset = tf.data.Dataset.from_generator(
    lambda: [paired(4, 5)],
    output_signature={
      'image': tf.TensorSpec([None, None, 3]),
      'label': tf.TensorSpec([None, None], tf.int32),
    },
  )
  with pytest.raises(tf.errors.InvalidArgumentError, match='pad it first'):
    list(dataset.map(op))


def test_flip_mirrors_both():
  example = paired(3, 4)
  for image, label in both_ways(
    on_example(geometry.random_flip, 1.0, SEED), example
  ):
    assert_paired(image, label)
    np.testing.assert_array_equal(label, example['label'][:, ::-1])


def test_flip_never_leaves_both():
  example = paired(3, 4)
  for image, label in both_ways(
    on_example(geometry.random_flip, 0.0, SEED), example
  ):
    np.testing.assert_array_equal(image, example['image'])
    np.testing.assert_array_equal(label, example['label'])


def test_flip_has_the_given_probability():
  example = paired(1, 2)
  labels = draws(
    lambda seed: geometry.random_flip(*example.values(), 0.3, seed)[1], 1000
  )
  assert 0.25 < np.mean(labels[:, 0, 0] == 1) < 0.35


def test_same_seed_same_result_other_seed_another():
  example = paired(20, 20)
  first, again, other = (
    geometry.random_crop(*example.values(), 5, 5, seed)[1].numpy()
    for seed in ([1, 2], [1, 2], [1, 3])
  )
  np.testing.assert_array_equal(first, again)
  assert (first != other).any()


def class_uniform_crops(label, size, count, probability=1.0):
  label = tf.constant(label, tf.int32)
  image = tf.zeros([*label.shape, 3])
  return draws(
    lambda seed: geometry.random_crop(
      image, label, *size, seed, class_uniform=probability
    )[1],
    count,
  )


def test_class_uniform_crops_contain_rare_classes():
  label = np.zeros((40, 60), np.int32)
  label[3, 5] = 7
  label[30:, 50:] = 255
  with_it = (class_uniform_crops(label, (9, 11), 300) == 7).any(axis=(1, 2))
  # Half of the draws; the other half contains it once in 60 by chance.
  assert 0.4 < with_it.mean() < 0.65
  sometimes = (class_uniform_crops(label, (9, 11), 300, 0.5) == 7).any((1, 2))
  assert 0.15 < sometimes.mean() < 0.4


def test_the_pixel_that_was_drawn_is_in_the_middle():
  label = np.full((20, 20), 255)
  label[9, 12] = 3
  for crop in class_uniform_crops(label, (5, 7), 5):
    assert crop[2, 3] == 3


def test_class_uniform_crops_of_nothing_are_random_ones():
  crops = class_uniform_crops(np.full((6, 9), 255), (4, 5), 20)
  assert crops.shape == (20, 4, 5) and (crops == 255).all()
  label = np.arange(256, 256 + 54).reshape(6, 9)  # No valid ids.
  starts = class_uniform_crops(label, (4, 5), 200)[:, 0, 0]
  assert len(np.unique(starts)) == 15


def test_class_uniform_crops_are_functions_of_their_seed():
  label = np.random.default_rng(0).integers(0, 5, (30, 30))
  first, again = (class_uniform_crops(label, (8, 8), 10) for _ in range(2))
  np.testing.assert_array_equal(first, again)


def test_resize_to_range_moves_image_and_label_alike():
  op = on_example(geometry.resize_to_range, 9, 20, 4)
  for image, label in both_ways(op, paired(5, 9)):
    assert label.shape == (9, 17) and image.shape == (9, 17, 3)
    assert_paired(image[::2, ::2], label[::2, ::2])


def test_resize_to_range_leaves_at_least_one_pixel():
  op = on_example(geometry.resize_to_range, 8, 16, None)
  for image, label in both_ways(op, paired(1, 400)):
    assert label.shape == (1, 16) and image.shape == (1, 16, 3)


def test_range_size_golden():
  path = pathlib.Path(__file__).parents[4] / 'shared/golden/resize_to_range.csv'
  if not path.exists():
    pytest.skip(f'{path} is absent')
  rows = list(csv.DictReader(path.open()))
  assert rows
  for row in rows:
    size, smallest, largest, factor = (
      tf.constant([int(row['height']), int(row['width'])]),
      int(row['min_size']),
      *(int(row[k]) if row[k] else None for k in ('max_size', 'factor')),
    )
    ours = geometry.range_size(size, smallest, largest, factor)
    assert list(ours) == [int(row['new_height']), int(row['new_width'])], row
