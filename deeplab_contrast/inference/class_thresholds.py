"""Thresholds of pseudo-labels, chosen from what a run predicts."""

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from deeplab_contrast import common
from deeplab_contrast.config import build, run_folder
from deeplab_contrast.core import pseudo_labels
from deeplab_contrast.datasets import sources
from deeplab_contrast.datasets.sources import overlap
from deeplab_contrast.inference import evaluator as evaluator_lib
from deeplab_contrast.inference import predictor, pseudo_labeler, whole_images
from deeplab_contrast.utils import progress, run_files


def open_held_out(
  labeler: pseudo_labeler.PseudoLabeler,
  experiment: Any,
  allow_imports: Sequence[str] = (),
) -> sources.Examples | None:
  """Opens the labelled images that choose thresholds, None if none do.

  Args:
    labeler: says how many.
    experiment: the `Experiment` that predicts.
    allow_imports: packages that gin files of earlier runs may import.

  Raises:
    ConfigError: the label budget leaves too few.
    DataError: the run, or one that it started from, has seen one of them, with
      a label or without, or they are images of the evaluation.
  """
  if not labeler.held_out:
    return None
  data_dir = experiment.data_dir
  examples = labeler.held_out_of(experiment.train.source).open(data_dir)
  seen = [('training', s) for s in _seen(experiment, allow_imports)]
  if experiment.eval_source is not None:
    seen.append(('val', experiment.eval_source))
  for name, source in seen:
    overlap.refuse(examples, source.open(data_dir), name, 'held-out')
  return examples


def _seen(
  experiment: Any, allow_imports: Sequence[str]
) -> Iterator[sources.Source]:
  """All images of a training, and of those that it started from."""
  yield experiment.train.source
  if common.UNLABELLED in experiment.task.needs:
    yield experiment.unlabelled.source
  start = experiment.trainer.warm_start
  # A folder of converted weights has a configuration, but was never trained.
  if start is not None and os.path.exists(
    os.path.join(start.path, run_files.DATA)
  ):
    files = [run_folder.config_file(start.path)]
    earlier = build.parse(files, allow_imports=allow_imports)
    yield from _seen(earlier.root, allow_imports)


def choose(
  labeler: pseudo_labeler.PseudoLabeler,
  experiment: Any,
  examples: sources.Examples,
  held_out: sources.Examples | None,
  how: evaluator_lib.Evaluator,
  poll: Callable[[], object] = lambda: None,
) -> np.ndarray:
  """The thresholds of a run, given or chosen.

  Args:
    labeler: says how they are chosen.
    experiment: the `Experiment` that predicts, its weights restored.
    examples: the images to label; all are predicted for `PseudoLabeler.share`.
    held_out: what `open_held_out` gave.
    how: how images are predicted.
    poll: called between batches, e.g. to stop on a signal.

  Returns:
    float32 [classes]; `pseudo_labels.NEVER` for a class that gets no labels.
  """
  given = labeler.thresholds(examples.info.class_names)
  if labeler.share is not None:
    everything, _ = _count(experiment, examples, how, poll)
    found = pseudo_labels.of_share(everything, labeler.share)
  elif held_out is not None:
    labelled, right = _count(experiment, held_out, how, poll, labelled=True)
    found = pseudo_labels.of_precision(right, labelled, labeler.precision)
  else:
    return given
  return np.where(np.isnan(found), given, found)


def _count(experiment, examples, how, poll, labelled=False):
  """`histograms` of all pixels, or the labelled ones, and of right ones."""
  classes = examples.info.num_classes
  everything = right = np.zeros([classes, 1], np.int64)
  whole = whole_images.of(
    experiment, examples, how.batch_size, how, labels=False
  )
  nothing = np.zeros(classes, np.float32)
  predict = make_predict(experiment.model, how.predictor, nothing)
  several = whole.predict(predict, range(len(examples)), how.batch_size, poll)
  for image in progress.over(several, 'Measuring', len(examples), 'images'):
    guess, _, confidence = image.maps
    if labelled:
      known = image.label != common.IGNORE_LABEL
      guess, confidence = guess[known], confidence[known]
      is_right = guess == image.label[known]
      right = right + pseudo_labels.histograms(
        guess[is_right], confidence[is_right], classes
      )
    everything = everything + pseudo_labels.histograms(
      guess, confidence, classes
    )
  return everything, right


def make_predict(
  model: keras.Model, how: predictor.Predictor, thresholds: np.ndarray
) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor, tf.Tensor]]:
  """The compiled prediction of a batch; see `pseudo_labels.confident`."""

  @tf.function(autograph=False)
  def predict(batch):
    return pseudo_labels.confident(
      how.probabilities(model, batch), tf.constant(thresholds, tf.float32)
    )

  return predict
