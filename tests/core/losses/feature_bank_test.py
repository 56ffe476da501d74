import numpy as np
import pytest
import tensorflow as tf

from deeplab_contrast.core.losses import feature_bank


def unit(rng, *shape):
  values = rng.normal(size=shape).astype(np.float32)
  return values / np.linalg.norm(values, axis=-1, keepdims=True)


def seeds(count, step=0):
  return tf.constant([[i, step] for i in range(count)])


def test_first_in_first_out():
  """Four steps of two images, of which each adds one feature of each class."""
  settings = feature_bank.FeatureBank(size=3, added=1, anchors=2)
  state = settings.make(3, 4)
  rng, expected = np.random.default_rng(0), {0: [], 1: [], 2: []}
  for step in range(4):
    embeddings = unit(rng, 2, 1, 3, 4)
    labels = np.array([[[0, 1, 255]], [[255, 1, 255]]], np.int32)
    settings.add(
      state['bank'], state['bank_count'], embeddings, labels, seeds(2, step)
    )
    for image in (0, 1):
      for place, label in enumerate(labels[image, 0]):
        if label != 255:
          expected[label].append(embeddings[image, 0, place])
  assert state['bank_count'].numpy().tolist() == [4, 8, 0]
  for label, added in expected.items():
    want = np.zeros((3, 4), np.float32)
    for i, feature in enumerate(added):
      want[i % 3] = feature
    np.testing.assert_array_equal(state['bank'][label], want)


def test_the_loss_by_hand():
  settings = feature_bank.FeatureBank(size=5, anchors=9, temperature=0.5)
  state = settings.make(3, 4)
  rng = np.random.default_rng(1)
  bank, filled = unit(rng, 3, 5, 4), [5, 2, 0]
  state['bank'].assign(bank)
  state['bank_count'].assign(filled)
  embeddings = unit(rng, 2, 2, 3, 4)
  labels = np.array(
    [[[0, 1, 2], [1, 255, 0]], [[2, 2, 2], [1, 1, 1]]], np.int32
  )
  found = settings.loss(
    state['bank'], state['bank_count'], embeddings, labels, seeds(2)
  )
  kept = [(c, i) for c in range(3) for i in range(filled[c])]
  losses = []
  for feature, label in zip(
    embeddings.reshape(-1, 4), labels.ravel(), strict=True
  ):
    if label in (0, 1):  # Class 2 has no feature yet.
      terms = {(c, i): np.exp(feature @ bank[c, i] / 0.5) for c, i in kept}
      positive = sum(v for (c, _), v in terms.items() if c == label)
      losses.append(-np.log(positive / sum(terms.values())))
  assert float(found.count) == len(losses) == 7
  assert float(found.total) == pytest.approx(sum(losses), rel=1e-5)


def test_anchors_are_drawn_from_each_class():
  settings = feature_bank.FeatureBank(size=2, added=1, anchors=4)
  state = settings.make(2, 3)
  rng = np.random.default_rng(2)
  state['bank'].assign(unit(rng, 2, 2, 3))
  state['bank_count'].assign([2, 2])
  labels = np.zeros((1, 10, 10), np.int32)
  labels[0, 0, :3] = 1
  found = settings.loss(
    state['bank'],
    state['bank_count'],
    unit(rng, 1, 10, 10, 3),
    labels,
    seeds(1),
  )
  assert float(found.count) == 4 + 3


def test_bad_numbers_are_named():
  for settings in ({'size': 0}, {'temperature': -1.0}, {'size': 2, 'added': 3}):
    with pytest.raises(ValueError, match='must'):
      feature_bank.FeatureBank(**settings)
