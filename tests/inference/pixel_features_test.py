import types

import numpy as np
import pytest
import tensorflow as tf

from deeplab_contrast import common
from deeplab_contrast.core import resize
from deeplab_contrast.inference import evaluator, pixel_features
from deeplab_contrast.tasks import softmax
from deeplab_contrast.utils import errors
from tests import tiny
from tests.datasets import in_memory

SIZE = (33, 49)


class Trunk:
  """Features at stride 4 that say where a pixel is and how red it is."""

  def __call__(self, images, training=False):
    assert not training
    red = images[..., :1]
    return resize.bilinear(tf.concat([red, red * 0 + 7], -1), (9, 13))


def experiment(trunk=None, gives_logits=False):
  model = types.SimpleNamespace(
    trunk=trunk or Trunk(), trunk_gives_logits=gives_logits
  )
  return setup(model)


def setup(model, scale=1.0):
  return types.SimpleNamespace(
    model=model,
    evaluator=evaluator.Evaluator(crop_size=SIZE),
    pad_pixel=common.MEAN_PIXEL,
    feature_scale=scale,
  )


def examples(*labels):
  names = [f'image_{i}' for i in range(len(labels))]
  return in_memory.Painted(names, labels)


def label(value, size=SIZE):
  return np.full(size, value, np.uint8)


def half(left, right):
  result = label(left)
  result[:, SIZE[1] // 2 :] = right
  return result


def test_as_many_pixels_of_each_class():
  found = pixel_features.collect(
    experiment(), examples(half(0, 2), label(2), half(2, 255)), [0, 1, 2], 20
  )
  np.testing.assert_array_equal(found['labels'], [0] * 20 + [2] * 20)
  assert found['features'].shape == (40, 2)
  assert found['features'].dtype == np.float32
  assert found['positions'].dtype == np.int32
  assert set(found['ids'][:20]) == {'image_0'}
  assert set(found['ids'][20:]) == {'image_0', 'image_1', 'image_2'}
  # No pixel twice.
  positions = found['positions'].tolist()
  places = {(i, *p) for i, p in zip(found['ids'], positions, strict=True)}
  assert len(places) == 40


def test_features_and_labels_are_those_of_the_place():
  given = examples(half(0, 1), half(1, 0))
  found = pixel_features.collect(experiment(), given, [0, 1], 30)
  columns = (found[k] for k in ('features', 'labels', 'ids', 'positions'))
  for feature, cls, name, (row, column) in zip(*columns, strict=True):
    index = int(name.removeprefix('image_'))
    stored = given[index]
    y, x = 4 * row, 4 * column  # Corners are aligned.
    image = in_memory.decoded(stored['image'])
    assert feature.tolist() == [image[y, x, 0], 7]
    assert cls == in_memory.decoded(stored['label'])[y, x]


def test_rare_classes_give_all_they_have_and_padding_nothing():
  small = label(1, (9, 9))
  small[0, 0] = 0
  found = pixel_features.collect(experiment(), examples(small), [0], 500)
  np.testing.assert_array_equal(found['labels'], [0] + [1] * 8)
  assert found['positions'].max() == 2


def test_every_network_is_asked_about_the_same_pixels():
  given = examples(half(0, 1), label(1))

  class Other(Trunk):
    def __call__(self, images, training=False):
      return -super().__call__(images, training)

  first = pixel_features.collect(experiment(), given, [0, 1], 25)
  other = pixel_features.collect(experiment(Other()), given, [0, 1], 25)
  for name in ('labels', 'ids', 'positions'):
    np.testing.assert_array_equal(first[name], other[name])
  np.testing.assert_array_equal(first['features'], -other['features'])
  again = pixel_features.collect(experiment(), given, [0, 1], 25, seed=1)
  assert (again['positions'] != first['positions']).any()


def test_all_pixels_are_equally_likely():
  given = examples(*[label(0)] * 60)
  found = pixel_features.collect(experiment(), given, range(60), 60 * 39)
  counts = np.zeros((9, 13))
  np.add.at(counts, tuple(found['positions'].T), 1)
  # Each of 117 pixels has a chance of 1/3: 20 +- 3.7 of 60.
  assert counts.sum() == 60 * 39
  assert counts.min() >= 4 and counts.max() <= 36
  assert abs(counts[:, :6].mean() - counts[:, 7:].mean()) < 3


@pytest.mark.slow
@pytest.mark.parametrize('scale', [1.0, 0.5])
def test_it_is_what_the_classifier_takes_in(scale):
  network = tiny.network(softmax.Softmax())
  given = examples(half(0, 1))
  found = pixel_features.collect(setup(network, scale), given, [0], 15)
  pixels = in_memory.decoded(given[0]['image'])
  images = resize.by_factor(tf.cast(pixels[None], tf.float32), scale)
  logits = network(images, training=False)[0]
  ours = network.head(found['features'][None, None])[0, 0]
  theirs = logits.numpy()[tuple(found['positions'].T)]
  np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_no_features_no_pixels():
  with pytest.raises(errors.ConfigError, match='decoder_output_is_logits'):
    pixel_features.collect(
      experiment(gives_logits=True), examples(label(0)), [0], 5
    )
  with pytest.raises(errors.DataError, match='no labelled pixel; .*--images'):
    pixel_features.collect(experiment(), examples(label(255)), [0], 5)
