import numpy as np
import tensorflow as tf

from deeplab_contrast.core.augment import cutmix

SIZE = (40, 60)


def boxes(probability=1.0, area=(0.02, 0.4), aspect=(0.3, 3.3), count=300):
  return np.stack(
    [
      cutmix.random_box(SIZE, probability, area, aspect, tf.constant([i, 3]))
      for i in range(count)
    ]
  )


def test_boxes_are_rectangles_of_the_given_areas():
  found = boxes()
  for box in found:
    rows, columns = box.any(1), box.any(0)
    np.testing.assert_array_equal(box, rows[:, None] & columns)
    for line in (rows, columns):
      assert np.abs(np.diff(line.astype(int))).sum() <= 2  # One piece.
  shares = found.mean((1, 2))
  assert shares.min() > 0.01 and shares.max() <= 0.4
  assert 0.15 < shares.mean() < 0.23  # 0.21 without those that are cut.
  # They reach every row and column.
  assert found.any((0, 1)).all() and found.any((0, 2)).all()


def test_the_probability_of_a_box():
  shares = boxes(probability=0.5).any((1, 2)).mean()
  assert 0.4 < shares < 0.6
  assert not boxes(probability=0.0).any()


def test_a_box_may_be_the_whole_image():
  found = boxes(area=(1.0, 1.0), aspect=(40 / 60, 40 / 60), count=3)
  assert found.all()
