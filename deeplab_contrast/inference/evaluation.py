"""The evaluation of an experiment on its split, by any number of replicas."""

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from deeplab_contrast.datasets import pipeline, sources
from deeplab_contrast.distributed import workers
from deeplab_contrast.inference import pictures, whole_images
from deeplab_contrast.training import writers


class Evaluation:
  """Scores a classifier on one split, any number of times.

  Args:
    experiment: an `Experiment` that classifies.
    strategy: the strategy its model was made under.
    examples: the opened split; None opens the experiment's `eval_source`.

  Raises:
    ConfigError: an image does not fit into `Evaluator.crop_size`.
    DataError: the data are missing, or the images too large together.
  """

  def __init__(
    self,
    experiment: Any,
    strategy: tf.distribute.Strategy,
    examples: sources.Examples | None = None,
  ):
    if examples is None:
      examples = experiment.eval_source.open(experiment.data_dir)
    limit = experiment.evaluator.limit
    if limit is not None and limit < len(examples):
      examples = sources.Subset(examples, range(limit))
    self._experiment = experiment
    self._strategy = strategy
    self._examples = examples
    self._replicas = strategy.num_replicas_in_sync
    # Of one replica; rounded up, since all take the same number.
    self._count = -(-experiment.evaluator.batch_size // self._replicas)
    self._images = whole_images.of(experiment, examples, self._count)
    # Made once, so that faults of the data are reported now.
    self._batches = self._images.batches(self._count * self._replicas)

  def batches(self) -> tf.data.Dataset:
    """Whole images, padded to one size, each once and in order."""
    return self._batches

  def scores(self, poll: Callable[[], object] = lambda: None) -> dict[str, Any]:
    """Scores the current weights.

    Args:
      poll: called between batches, e.g. to stop on a signal.

    Returns:
      The dict of `Evaluator.evaluate`, and `judged_by`, see
      `Experiment.judged_by`.

    Raises:
      DataError: an image or a label is damaged.
    """
    experiment = self._experiment
    with pipeline.data_errors():
      scores = experiment.evaluator.evaluate(
        experiment.model,
        self._shared_batches(),
        self._examples.info,
        self._strategy,
        poll,
        self._counter,
      )
    return {**scores, 'judged_by': experiment.judged_by}

  def __call__(
    self, poll: Callable[[], object] = lambda: None
  ) -> dict[str, Any]:
    """Scores the current weights, and draws some predictions.

    Args:
      poll: called between batches, e.g. to stop on a signal.

    Returns:
      The dict of `scores`, and under `writers.SHOWN` what TensorBoard shows,
      see `pictures.Shown`; of several workers only the chief gets that.
    """
    scores = self.scores(poll)
    if not workers.of(self._strategy).is_chief:
      return scores
    return {**scores, writers.SHOWN: self._shown(scores)}

  @functools.cached_property
  def _counter(self):
    experiment = self._experiment
    return experiment.evaluator.counter(
      experiment.model, self._examples.info.num_classes, self._strategy
    )

  @functools.cached_property
  def _shown(self):
    return pictures.Shown(self._experiment, self._examples)

  def _shared_batches(self):
    """`batches`; with several workers the share of this one."""
    count = workers.of(self._strategy).count
    if count == 1:
      return self.batches()

    def make(context):
      return self._images.batches(
        self._count,
        context.input_pipeline_id,
        context.num_input_pipelines,
        self._replicas // count,
      )

    return self._strategy.distribute_datasets_from_function(make)
