import numpy as np
import pytest
import tensorflow as tf

from deeplab_contrast.common import IGNORE_LABEL as IGNORE
from deeplab_contrast.core.losses import pixel_selection

SEED = (1, 2)


def select(**settings):
  return pixel_selection.PixelSelection(**settings)


def labels_of(*counts):
  """One image with these numbers of pixels of class 0, 1, ..., shuffled."""
  labels = np.repeat(np.arange(len(counts)), counts)
  shuffled = np.random.default_rng(0).permutation(labels)
  return tf.constant(shuffled[None], tf.int32)


def test_by_default_it_leaves_out_nothing():
  labels = labels_of(3, 1)
  np.testing.assert_array_equal(select().labels(labels), labels)
  assert select().draw(labels, SEED) is None


def test_ignored_classes():
  labels = tf.constant([[0, 1, 2, 0, IGNORE]])
  left = select(ignored_classes=(0, 2)).labels(labels)
  np.testing.assert_array_equal(left, [[IGNORE, 1, IGNORE, IGNORE, IGNORE]])


def test_small_classes_are_left_out_of_their_image_only():
  labels = tf.constant([[7, 7, 8, 8, 8], [7, 7, 7, 254, 254]])
  left = select(min_class_pixels=3).labels(labels)
  np.testing.assert_array_equal(
    left, [[IGNORE, IGNORE, 8, 8, 8], [7, 7, 7, IGNORE, IGNORE]]
  )


def drawn(labels, num, seed=SEED):
  places = select(per_image=num).draw(labels, seed).numpy()
  assert all(len(set(row)) == len(row) for row in places)
  return np.take_along_axis(np.asarray(labels), places, 1), places


def test_a_draw_is_as_even_as_the_classes_allow():
  found, _ = drawn(labels_of(50, 30, 4), 24)
  np.testing.assert_array_equal(np.bincount(found[0]), [10, 10, 4])


def test_ignored_pixels_come_last():
  labels = tf.constant([[IGNORE] * 6 + [3] * 2 + [254] * 3])
  found, _ = drawn(labels, 7)
  assert sorted(found[0]) == [3, 3, 254, 254, 254, IGNORE, IGNORE]


def test_an_image_smaller_than_the_draw_is_taken_whole():
  found, places = drawn(labels_of(2, 3), 10)
  assert places.shape == (1, 5) and sorted(found[0]) == [0, 0, 1, 1, 1]


def test_every_pixel_of_a_class_is_as_likely():
  labels = labels_of(8, 2)
  counts = np.zeros(10)
  for i in range(400):
    counts[drawn(labels, 4, (i, 0))[1][0]] += 1
  large = np.asarray(labels[0]) == 0
  assert np.all(counts[~large] == 400)
  # 100 each on average, deviation 8.7.
  assert counts[large].min() > 60 and counts[large].max() < 140


def test_the_seed_decides():
  labels = labels_of(50, 50)
  np.testing.assert_array_equal(drawn(labels, 9)[1], drawn(labels, 9)[1])
  assert np.any(drawn(labels, 9)[1] != drawn(labels, 9, (3, 4))[1])


def test_compiles_under_xla():
  labels = labels_of(50, 30, 4)
  chosen = select(per_image=24, min_class_pixels=5)
  compiled = tf.function(
    lambda x: chosen.draw(chosen.labels(x), SEED), jit_compile=True
  )
  places = compiled(labels).numpy()
  found = np.asarray(labels)[0][places[0]]
  np.testing.assert_array_equal(np.bincount(found), [12, 12])


@pytest.mark.parametrize(
  'settings', [{'min_class_pixels': 0}, {'per_image': 1}]
)
def test_settings_that_leave_nothing_are_refused(settings):
  with pytest.raises(ValueError, match=next(iter(settings))):
    select(**settings)
