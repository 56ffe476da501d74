import numpy as np
import pytest

from deeplab_contrast import launch
from deeplab_contrast.datasets.preparation import report, statistics


def counts(pixels):
  size = np.full([len(pixels), 2], 10)
  return statistics.SplitCounts(
    list('xyz'[: len(pixels)]), size, np.array(pixels)
  )


def test_weights_are_median_frequency_over_frequency():
  # a: 140 of 190 pixels, b: 10 of 100, c: 40 of 90 (void counts nowhere).
  pixels = [[90, 10, 0, 0, 0], [50, 0, 40, 0, 10]]
  frequency = np.array([140 / 190, 10 / 100, 40 / 90])
  wanted = [*(np.median(frequency) / frequency), 1.0]
  np.testing.assert_allclose(counts(pixels).weights, wanted)


def test_weights_are_bounded():
  pixels = [[10_000, 1, 5_000, 0]]
  assert counts(pixels).weights.max() == 10


@pytest.mark.parametrize(('small', 'told'), [(200, False), (50, True)])
def test_weights_are_reported_where_classes_are_uneven(small, told):
  # As many classes as CamVid has.
  pixels = [[1000, small, *[300] * 9, 0]]
  of_train = counts(pixels).summary(list('abcdefghijk'))
  text = report._text(
    {
      'dataset': 'toy',
      'folder': 'x',
      'fingerprint': 'y',
      'splits': {'train': of_train},
      'notes': [],
      'warnings': [],
    }
  )
  assert ('CLASS_BALANCE' in text) == told
  if told:
    binding = text.split('--gin_bindings="')[1].split('"')[0]
    built = launch.parse(
      ['gin_configs/camvid/softmax_scratch.gin'],
      [binding],
      'deeplab_contrast.experiment.Experiment',
    )
    task = built.root.task
    task.see_classes(lambda: np.array(pixels)[:, :-1])
    np.testing.assert_allclose(
      np.square(task.label_weights), of_train['label_weights'], atol=0.01
    )


def test_thickness_is_the_length_of_the_runs_of_a_pixel():
  # Rows: a a a b, a b b b; 1 is b. A pixel of a is in runs of 3, 3, 3 and 1.
  label = np.array([[0, 0, 0, 1], [0, 1, 1, 1]], np.uint8)
  rows = statistics._lines(label, 3)
  np.testing.assert_array_equal(rows, [9 + 1, 1 + 9, 0])
  columns = statistics._lines(np.ascontiguousarray(label.T), 3)
  np.testing.assert_array_equal(columns, [4 + 1 + 1, 1 + 1 + 4, 0])
  counted = statistics.SplitCounts(
    ['x'],
    np.array([[2, 4]]),
    np.array([[4, 4, 0, 0]]),
    np.array([[rows, columns]]),
  )
  np.testing.assert_array_equal(counted.thickness, [1.5, 1.5, 0])
