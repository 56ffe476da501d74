"""Confident labels against NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from deeplab_contrast.common import IGNORE_LABEL
from deeplab_contrast.core import pseudo_labels


def oracle(probabilities, thresholds):
  labels = np.full(probabilities.shape[:-1], IGNORE_LABEL)
  for place in np.ndindex(labels.shape):
    best = int(np.argmax(probabilities[place]))
    if probabilities[place][best] >= thresholds[best]:
      labels[place] = best
  return labels


@pytest.mark.parametrize('jit_compile', [False, True])
def test_it_is_the_rule_of_the_paper(jit_compile):
  rng = np.random.default_rng(0)
  logits = 4 * rng.normal(size=(2, 9, 7, 21))
  probabilities = tf.nn.softmax(tf.constant(logits, tf.float32)).numpy()
  # VOC: 0.97 for the background, 0.8 for all others.
  thresholds = np.array([0.97] + [0.8] * 20, np.float32)
  run = tf.function(pseudo_labels.confident, jit_compile=jit_compile)
  labels, classes, confidence = run(probabilities, thresholds)
  expected = oracle(probabilities, thresholds)
  np.testing.assert_array_equal(labels, expected)
  assert 0.1 < (expected == IGNORE_LABEL).mean() < 0.9
  np.testing.assert_array_equal(classes, probabilities.argmax(-1))
  np.testing.assert_array_equal(confidence, probabilities.max(-1))


def test_a_probability_at_the_threshold_is_enough():
  probabilities = np.array([[0.75, 0.25], [0.25, 0.75]], np.float32)
  labels, _, _ = pseudo_labels.confident(probabilities, [0.75, 0.7500001])
  assert labels.numpy().tolist() == [0, IGNORE_LABEL]
