import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from deeplab_contrast.core import confusion, resize
from deeplab_contrast.datasets import info
from deeplab_contrast.inference import evaluator, predictor, whole_images
from deeplab_contrast.tasks import softmax
from deeplab_contrast.utils import errors
from tests import tiny

STRATEGY = tf.distribute.get_strategy()
INFO = info.DatasetInfo(
  'stripes', ('a', 'b', 'c'), ((0, 0, 0), (9, 9, 9), (99, 99, 99))
)


@pytest.fixture(scope='module')
def network():
  return tiny.network(softmax.Softmax())


def images(batch=1, size=(33, 49)):
  return tf.random.stateless_uniform([batch, *size, 3], [1, 2], 0, 255)


def softmax_of(network, x, size):
  # Logits of smaller images go to the grid of the full image first.
  logits = resize.bilinear(network(x), [(s - 1) // 4 + 1 for s in size])
  logits = resize.bilinear(logits, size).numpy()
  exp = np.exp(logits - logits.max(-1, keepdims=True))
  return exp / exp.sum(-1, keepdims=True)


def test_mean_of_probabilities_over_scales_and_mirror(network):
  x = images(2)
  passes = []
  for size in ((33, 49), (17, 25)):
    scaled = resize.bilinear(x, size)
    passes.append(softmax_of(network, scaled, (33, 49)))
    mirrored = softmax_of(network, scaled[:, :, ::-1], (33, 49))
    passes.append(mirrored[:, :, ::-1])
  predicted = predictor.Predictor((1.0, 0.5), flip=True)
  np.testing.assert_allclose(
    predicted.probabilities(network, x), np.mean(passes, 0), atol=1e-6
  )
  np.testing.assert_array_equal(
    predicted.labels(network, x), np.mean(passes, 0).argmax(-1)
  )


def test_bad_scales_are_refused():
  with pytest.raises(ValueError, match='scales'):
    predictor.Predictor(())


def batches(count, batch_size):
  """`count` examples in full batches; what is missing is ignored."""
  examples = [tiny.example(i) for i in range(count)]
  while len(examples) % batch_size:
    filler = {k: np.zeros_like(v) for k, v in examples[0].items()}
    filler['label'] += 255
    examples.append(filler)
  stacked = {k: np.stack([e[k] for e in examples]) for k in examples[0]}
  return tf.data.Dataset.from_tensor_slices(stacked).batch(batch_size)


def by_hand(network, count):
  matrix = np.zeros((3, 3), int)
  for i in range(count):
    example = tiny.example(i)
    image = example['image'][None]
    guess = softmax_of(network, image, (33, 33)).argmax(-1)[0]
    for t, p in zip(example['label'].flat, guess.flat, strict=True):
      if t != 255:
        matrix[t, p] += 1
  return matrix


@pytest.mark.parametrize('batch_size', [1, 2, 4])
def test_every_example_counts_once(network, batch_size):
  scores = evaluator.Evaluator().evaluate(
    network, batches(5, batch_size), INFO, STRATEGY
  )
  matrix = by_hand(network, 5)
  np.testing.assert_array_equal(scores['matrix'], matrix)
  union = matrix.sum(0) + matrix.sum(1) - matrix.diagonal()
  seen = union > 0
  expected = matrix.diagonal()[seen] / union[seen]
  assert scores['miou'] == pytest.approx(expected.mean())


def test_pixels_near_outlines_and_categories(network):
  grouped = dataclasses.replace(INFO, categories=('x', 'y', 'x'))
  judge = evaluator.Evaluator(trimap_width=2)
  scores = judge.evaluate(network, batches(3, 2), grouped, STRATEGY)
  np.testing.assert_array_equal(scores['matrix'], by_hand(network, 3))
  near = np.zeros((3, 3), int)
  for i in range(3):
    example = tiny.example(i)
    label = tf.constant(example['label'][None])
    guess = softmax_of(network, example['image'][None], (33, 33)).argmax(-1)
    chosen = confusion.near_outlines(label, 2, 3).numpy()
    np.add.at(near, (label.numpy()[chosen], guess[chosen]), 1)
  expected = confusion.scores(near)
  assert 0 < near.sum() < scores['pixels']
  np.testing.assert_array_equal(scores['trimap_iou'], expected['iou'])
  assert scores['trimap_miou'] == expected['miou']
  assert scores['trimap_pixel_accuracy'] == expected['pixel_accuracy']
  _, merged = confusion.merged(scores['matrix'], ('x', 'y', 'x'))
  groups = confusion.scores(merged)
  assert scores['category_miou'] == groups['miou']
  assert list(scores['category_iou']) == ['x', 'y']


def test_a_band_of_no_width_is_refused():
  with pytest.raises(ValueError, match='trimap_width is 0'):
    evaluator.Evaluator(trimap_width=0)


def test_poll_is_called_between_batches(network):
  calls = []
  evaluator.Evaluator().evaluate(
    network, batches(4, 2), INFO, STRATEGY, lambda: calls.append(1)
  )
  assert len(calls) == 2


def test_size_images_are_padded_to():
  pad_size = whole_images.pad_size
  assert pad_size((375, 500), None, 'Evaluator') == (385, 513)
  assert pad_size((33, 49), None, 'Evaluator') == (33, 49)
  assert pad_size((375, 500), (513, 513), 'Evaluator') == (513, 513)
  sentence = 'Evaluator.crop_size .513, 513. is smaller'
  with pytest.raises(errors.ConfigError, match=sentence):
    pad_size((375, 514), (513, 513), 'Evaluator')


def test_labels_decided_on_the_grid_of_the_logits(network):
  x = images(2)
  predicted = predictor.Predictor(prediction_with_upsampled_logits=False)
  labels = np.argmax(network(x), -1)
  rows = np.round(np.arange(33) / 4 + 1e-6).astype(int)
  columns = np.round(np.arange(49) / 4 + 1e-6).astype(int)
  np.testing.assert_array_equal(
    predicted.labels(network, x), labels[:, rows][:, :, columns]
  )
  with pytest.raises(ValueError, match='nothing to average'):
    predictor.Predictor((0.5,), prediction_with_upsampled_logits=False)
