"""The root of a gin experiment: everything a command needs, in one object."""

import contextlib
import dataclasses
import functools

import keras
import tensorflow as tf

from deeplab_contrast import evaluator as evaluator_lib
from deeplab_contrast import trainer as trainer_lib
from deeplab_contrast.core import heads, resize
from deeplab_contrast.datasets import (
  fingerprints,
  pipeline,
  sources,
  transforms,
)
from deeplab_contrast.tasks import task as task_lib
from deeplab_contrast.utils import checkpoints, distribution, errors

_PRECISIONS = ('float32', 'mixed_bfloat16', 'mixed_float16')


class Experiment:
  """One training and the way it is judged.

  Built by `launch`, inside the scope of the strategy.

  Args:
    model: makes the `DeepLab` from the head of the task; not made yet, since
      the precision comes first.
    task: what a step teaches.
    trainer: how it is taught.
    train: the training data.
    eval_source: the split that judges; None where there is none.
    evaluator: how it judges.
    precision: 'float32', 'mixed_bfloat16' or 'mixed_float16'.
    seed: of the weights, the order of the data and all augmentation.
    data_dir: where prepared datasets are kept; None is TFDS's default.

  Raises:
    ValueError: on an unknown precision.
    ConfigError: when the two sources disagree on the classes.
  """

  def __init__(
    self,
    model,
    task: task_lib.Task,
    trainer: trainer_lib.Trainer,
    train: pipeline.Pipeline,
    eval_source: sources.Source | None = None,
    evaluator: evaluator_lib.Evaluator | None = None,
    precision: str = 'float32',
    seed: int = 0,
    data_dir: str | None = None,
  ):
    if precision not in _PRECISIONS:
      raise ValueError(f'precision is {precision!r}; known: {_PRECISIONS}.')
    keras.mixed_precision.set_global_policy(precision)
    keras.utils.set_random_seed(seed)
    self.model = model(head=task.make_head(train.source.info.num_classes))
    self.task = task
    self.trainer = trainer
    self.train = train
    self.eval_source = eval_source
    self.evaluator = evaluator or evaluator_lib.Evaluator()
    self.seed = seed
    self.data_dir = data_dir
    _check_same_classes(train.source, eval_source)

  @property
  def classifies(self):
    """Whether the network gives classes, so that it can be evaluated."""
    return isinstance(self.model.head, heads.Classifier)

  @property
  def crop_size(self):
    """(height, width) of training crops; None where nothing is cropped."""
    sizes = [
      step.size
      for step in self.train.transforms
      if isinstance(step, transforms.RandomCrop)
    ]
    return sizes[-1] if sizes else None

  @property
  def crop_note(self):
    """One line when crops are not k * output stride + 1, or None."""
    if self.crop_size is None:
      return None
    stride = self.model.trunk.backbone.output_stride
    return resize.misfit_note(self.crop_size, stride)

  def fit(self, strategy, model_dir):
    """Trains into a folder; see `Trainer.fit`.

    Raises:
      DataError: the data are missing, wrong, or not those the run began with.
    """
    examples = self.train.source.open(self.data_dir)
    opened = {'train': (self.train.source, examples)}
    evaluate = None
    if self.classifies and self.eval_source is not None:
      # Opened now, so that faults are met before the training, not after.
      judging = self.eval_source.open(self.data_dir)
      self.eval_batches(judging)
      opened['eval'] = (self.eval_source, judging)
      evaluate = functools.partial(self.evaluate, strategy)
    self._check_data(strategy, model_dir, opened)
    with strategy.scope():
      self.model.build_variables()
    with data_errors():
      return self.trainer.fit(
        self.model,
        self.task,
        functools.partial(self.train.dataset, examples, seed=self.seed),
        strategy,
        model_dir,
        evaluate,
        functools.partial(pipeline.ids_at, examples, self.seed),
      )

  def restore(self, strategy, model_dir, path=None):
    """Loads the newest weights of a run; returns their step.

    Args:
      strategy: the one the model was made under.
      model_dir: the run's folder.
      path: of a checkpoint to load instead of the newest one.

    Raises:
      ConfigError: when the run cannot be evaluated or has no checkpoint.
    """
    self.check_can_be_judged(model_dir)
    with strategy.scope():
      self.model.build_variables()
    averaged = self.trainer.optimizer.use_ema
    return checkpoints.restore_model(model_dir, self.model, averaged, path)[1]

  def check_can_be_judged(self, model_dir):
    """Raises ConfigError for a run without classes or without a split."""
    if not self.classifies or self.eval_source is None:
      raise errors.ConfigError(
        f'The experiment of {model_dir} has no classifier or no eval_source; '
        'only softmax runs can be evaluated.'
      )

  @property
  def judged_by(self):
    """How this experiment is judged, as JSON: scores compare if it is equal."""
    return {
      'dataset': self.eval_source.info.name,
      'split': getattr(self.eval_source, 'split', 'val'),
      'limit': self.evaluator.limit,
      'crop_size': self.evaluator.crop_size,
      **dataclasses.asdict(self.evaluator.predictor),
    }

  def evaluate(self, strategy, poll=lambda: None):
    """Scores the model on `eval_source`.

    Returns:
      The dict of `Evaluator.evaluate`, and `judged_by`.
    """
    examples = self._limited(self.eval_source.open(self.data_dir))
    batches = self.eval_batches(examples)
    with data_errors():
      scores = self.evaluator.evaluate(
        self.model, batches, examples.info, strategy, poll
      )
    return {**scores, 'judged_by': self.judged_by}

  def eval_batches(self, examples):
    """Whole images, padded to one size, each once and in order."""
    size = self.pad_size(examples)
    steps = (transforms.Decode(), transforms.Pad(size, exact=True))
    return pipeline.once(examples, steps, self.evaluator.batch_size)

  def pad_size(self, examples):
    """The size images are padded to; see `Evaluator.pad_size`.

    Raises:
      ConfigError: when an image would not fit.
    """
    try:
      return self.evaluator.pad_size(examples.max_size)
    except ValueError as error:
      raise errors.ConfigError(str(error)) from error

  def _check_data(self, strategy, model_dir, opened):
    """Refuses other data than those the run in this folder began with."""
    found = fingerprints.of_sources(opened, self.data_dir)
    is_chief = distribution.is_chief(strategy)
    fingerprints.check(model_dir, found, write=is_chief)

  def _limited(self, examples):
    limit = self.evaluator.limit
    if limit is None or limit >= len(examples):
      return examples
    return sources.Subset(examples, range(limit))


@contextlib.contextmanager
def data_errors():
  """Gives back the sentence of a DataError raised inside tf.data."""
  try:
    yield
  except tf.errors.OpError as error:
    raise (pipeline.data_error(error) or error) from error


def _check_same_classes(train, judged):
  if judged is None:
    return
  ours, theirs = train.info, judged.info
  if ours.class_names != theirs.class_names:
    raise errors.ConfigError(
      f'The training data ({ours.name}) and eval_source ({theirs.name}) have '
      'other classes.'
    )
