"""Padding and cutting back; for sizes: `predictor_test`, `extremes_test`."""

import numpy as np
import pytest
import tensorflow as tf

from deeplab_contrast.inference import whole_images
from deeplab_contrast.utils import errors
from tests.datasets import in_memory

PIXEL = (1.0, 2.0, 3.0)


@pytest.fixture
def images():
  """Five images of 9 to 12 x 14 pixels."""
  examples = in_memory.PaintedSource(count=5).open(None)
  return whole_images.WholeImages(examples, (17, 17), PIXEL)


def test_predictions_have_the_size_of_the_image(images):
  def predict(batch):
    assert batch.shape == [2, 17, 17, 3]
    return batch[..., 0], tf.reduce_sum(batch, [1, 2])[:, None, None] + batch

  polls = []
  found = list(images.predict(predict, [4, 0, 3], 2, lambda: polls.append(1)))
  assert [x.id for x in found] == ['x4', 'x0', 'x3']
  assert len(polls) == 2  # The second batch is filled up.
  for index, one in zip([4, 0, 3], found, strict=True):
    example = images.examples[index]
    image = in_memory.decoded(example['image'])
    np.testing.assert_array_equal(one.image, image)
    np.testing.assert_array_equal(
      one.label, in_memory.decoded(example['label'])
    )
    np.testing.assert_array_equal(one.maps[0], image[..., 0])
    assert one.maps[1].shape == image.shape


def test_it_predicts_what_an_evaluation_sees(images):
  seen = []

  def predict(batch):
    seen.extend(batch.numpy())
    return batch

  list(images.predict(predict, range(5)))
  for index, batch in enumerate(images.batches(1)):
    np.testing.assert_array_equal(seen[index], batch['image'][0])
    np.testing.assert_array_equal(images.padded(index)['image'], seen[index])
    height, width = in_memory.decoded(images.examples[index]['label']).shape
    assert (seen[index][height:] == PIXEL).all()
    assert (seen[index][:, width:] == PIXEL).all()


def test_nothing_to_predict(images):
  assert list(images.predict(None, [])) == []


def test_a_label_of_no_class_is_reported():
  label = np.full((9, 14), 7, np.uint8)
  examples = in_memory.Painted(['bad'], [label])
  images = whole_images.WholeImages(examples, (17, 17))
  with pytest.raises(errors.DataError, match='bad has the label 7'):
    list(images.predict(lambda batch: batch, [0]))


def test_indices_are_spread_evenly():
  assert whole_images.spread(5, 3) == [0, 2, 4]
  assert whole_images.spread(2, 8) == [0, 1]
  assert whole_images.spread(5, 0) == []
