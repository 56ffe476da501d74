"""Our numbers against the official evaluator, over files for its server."""

import types

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from deeplab_contrast import common
from deeplab_contrast.datasets.cityscapes_segmentation import (
  Cityscapes,
)
from deeplab_contrast.datasets.cityscapes_segmentation import (
  cityscapes_segmentation_dataset_builder as builder,
)
from deeplab_contrast.inference import evaluator, test_servers

official = pytest.importorskip(
  'cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling',
  reason='cityscapesscripts is not installed (extra cityscapes).',
)

SIZE = (24, 40)


def blocks(rng, values):
  """A label map of 4 x 4 blocks."""
  small = rng.choice(values, (SIZE[0] // 4, SIZE[1] // 4))
  return small.repeat(4, 0).repeat(4, 1).astype(np.uint8)


def make(folder, count=5):
  """Truth and prediction files; the same as a dataset of batches of two."""
  rng = np.random.default_rng(0)
  server = test_servers.of_dataset(Cityscapes.info)
  to_train = np.full(256, common.IGNORE_LABEL)
  to_train[list(builder.LABEL_IDS)] = np.arange(19)
  files, images, labels = [], [], []
  for i in range(count):
    name = f'ulm_{i:06}_000019'
    # Trains (31) are nowhere; trucks (14) are predicted only.
    truth = blocks(rng, [x for x in range(34) if x not in (27, 31)])
    guess = blocks(rng, [x for x in range(19) if x != 16])
    guess = np.where(rng.random(SIZE) < 0.5, guess, to_train[truth] % 19)
    guess = np.where(guess == 16, 0, guess)
    Image.fromarray(truth).save(folder / f'{name}_gtFine_labelIds.png')
    server.write(str(folder / server.name_of(name)), guess)
    files.append(name)
    images.append(np.stack([guess] * 3, -1))
    labels.append(to_train[truth])
  images.append(np.zeros_like(images[0]))
  labels.append(np.full(SIZE, common.IGNORE_LABEL))
  batches = tf.data.Dataset.from_tensor_slices(
    {
      common.IMAGE: np.array(images, np.float32),
      common.LABEL: np.array(labels, np.int32),
    }
  ).batch(2)
  predictions = [str(folder / server.name_of(name)) for name in files]
  truths = [str(folder / f'{name}_gtFine_labelIds.png') for name in files]
  return predictions, truths, batches


def test_scores_are_those_of_the_official_evaluator(tmp_path):
  predictions, truths, batches = make(tmp_path)
  arguments = official.args
  arguments.evalInstLevelScore = arguments.JSONOutput = False
  arguments.quiet = True
  expected = official.evaluateImgLists(predictions, truths, arguments)

  red = types.SimpleNamespace(
    labels=lambda model, images: tf.cast(images[..., 0], tf.int32)
  )
  scores = evaluator.Evaluator(predictor=red).evaluate(
    None, batches, Cityscapes.info, tf.distribute.get_strategy()
  )
  ids = list(builder.LABEL_IDS)
  np.testing.assert_array_equal(
    scores['matrix'], np.array(expected['confMatrix'])[ids][:, ids]
  )
  classes = [expected['classScores'][x] for x in Cityscapes.info.class_names]
  np.testing.assert_array_equal(scores['iou'], classes)
  assert np.isnan(classes[16]) and classes[14] == 0.0
  assert scores['miou'] == pytest.approx(expected['averageScoreClasses'], 1e-12)
  categories = {
    name: score
    for name, score in expected['categoryScores'].items()
    if name != 'void'
  }
  assert scores['category_iou'] == categories
  assert scores['category_miou'] == pytest.approx(
    expected['averageScoreCategories'], 1e-12
  )


def test_the_official_evaluator_finds_our_files(tmp_path):
  predictions, truths, _ = make(tmp_path, count=2)
  names = [path.rpartition('/')[2] for path in predictions]
  arguments = types.SimpleNamespace(
    predictionPath=str(tmp_path), predictionWalk=[(str(tmp_path), names)]
  )
  found = [official.getPrediction(arguments, truth) for truth in truths]
  assert found == predictions
