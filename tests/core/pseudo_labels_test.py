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


def test_thresholds_of_a_precision_by_hand():
  # Class 0: from 0.6 on, 2 of 3 are right; from 0.8 on, both. Class 1: the
  # surest pixel is wrong. Class 2 is never seen.
  classes = np.array([0, 0, 0, 1, 1])
  confidence = np.array([0.6, 0.8, 0.9, 0.7, 0.95], np.float32)
  right = np.array([False, True, True, True, False])
  judged = pseudo_labels.histograms(classes, confidence, 3)
  of_right = pseudo_labels.histograms(classes[right], confidence[right], 3)
  assert judged.sum() == 5 and judged[0, 6000] == judged[1, 9500] == 1
  found = pseudo_labels.of_precision(of_right, judged, 0.9)
  # The lowest threshold that keeps no pixel of 0.6.
  np.testing.assert_allclose(found, [0.6001, pseudo_labels.NEVER, np.nan])
  found = pseudo_labels.of_precision(of_right, judged, 0.5)
  np.testing.assert_allclose(found, [0.0, 0.0, np.nan])


def test_thresholds_of_a_share_by_hand():
  confidence = np.array([0.2, 0.4, 0.6, 0.8, 0.5], np.float32)
  classes = np.array([0, 0, 0, 0, 1])
  counts = pseudo_labels.histograms(classes, confidence, 3)
  found = pseudo_labels.of_share(counts, 0.5)
  np.testing.assert_allclose(found, [0.6, 0.5, np.nan])
  kept = confidence >= found[classes]
  assert kept.tolist() == [False, False, True, True, True]
