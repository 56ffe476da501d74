"""The root of a gin experiment: everything a command needs, in one object."""

import dataclasses
import functools
import json
from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf

from deeplab_contrast import common
from deeplab_contrast.core import resize
from deeplab_contrast.core.network import heads
from deeplab_contrast.datasets import (
  fingerprints,
  pipeline,
  second_stream,
  sources,
  transforms,
)
from deeplab_contrast.distributed import workers
from deeplab_contrast.inference import embedding_judge as embedding_judge_lib
from deeplab_contrast.inference import evaluation
from deeplab_contrast.inference import evaluator as evaluator_lib
from deeplab_contrast.tasks import task as task_lib
from deeplab_contrast.training import checkpoints, origins
from deeplab_contrast.training import trainer as trainer_lib
from deeplab_contrast.utils import errors

WEIGHTS = ('teacher', 'student')
_PRECISIONS = ('float32', 'mixed_bfloat16')


class Experiment:
  """One training and how it is evaluated; does not change once it is built.

  Built by `launch`, inside the scope of the strategy.

  Args:
    model: makes the `DeepLab` from the head of the task; called here, after
      the precision is set.
    task: the losses of a training step.
    trainer: how the network is trained.
    train: the training data.
    unlabelled: images without labels, or whose labels are not used, for tasks
      that need `UNLABELLED`: each step sees as many of them as of `train`.
    weights: those to evaluate, predict and export with: 'teacher', the moving
      averages where the run keeps them, or 'student', the trained ones.
    eval_source: the split to evaluate on; None where there is none.
    evaluator: how classifiers are evaluated; None takes the defaults.
    embedding_judge: how pretraining is evaluated while it runs; None leaves
      that to the `eval` command.
    precision: 'float32' or 'mixed_bfloat16'; in gin files also 'auto', the
      faster one on this machine, see `config.automatic`.
    seed: seed of the weights, the order of the data and all augmentation.
    data_dir: where prepared datasets are kept; None is TFDS's default.

  Raises:
    ValueError: on an unknown precision.
    ConfigError: when the sources disagree on the classes.
  """

  def __init__(
    self,
    model: Callable[..., Any],
    task: task_lib.Task,
    trainer: trainer_lib.Trainer,
    train: pipeline.Pipeline,
    eval_source: sources.Source | None = None,
    evaluator: evaluator_lib.Evaluator | None = None,
    embedding_judge: embedding_judge_lib.EmbeddingJudge | None = None,
    precision: str = 'float32',
    seed: int = 0,
    data_dir: str | None = None,
    unlabelled: pipeline.Pipeline | None = None,
    weights: str = 'teacher',
  ):
    if precision not in _PRECISIONS:
      raise ValueError(f'precision is {precision!r}; known: {_PRECISIONS}.')
    if weights not in WEIGHTS:
      raise ValueError(f'weights is {weights!r}; known: {WEIGHTS}.')
    keras.mixed_precision.set_global_policy(precision)
    keras.utils.set_random_seed(seed)
    heads_of_task = {'head': task.make_head(train.source.info.num_classes)}
    projection = task.make_projection()
    if projection is not None:
      heads_of_task['projection'] = projection
    self.model = model(**heads_of_task)
    self.task = task
    self.trainer = trainer
    self.train = train
    self.unlabelled = unlabelled
    self.weights = weights
    self.eval_source = eval_source
    self.evaluator = evaluator or evaluator_lib.Evaluator()
    self.embedding_judge = embedding_judge
    self.seed = seed
    self.data_dir = data_dir
    _check_same_classes(train.source, eval_source, 'eval_source')
    if unlabelled is not None:
      _check_same_classes(train.source, unlabelled.source, 'unlabelled')
    if embedding_judge is not None:
      _check_same_classes(
        train.source, embedding_judge.source, 'EmbeddingJudge.source'
      )

  @property
  def classifies(self) -> bool:
    """Whether the network predicts classes."""
    return isinstance(self.model.head, heads.Classifier)

  @property
  def crop_size(self) -> tuple[int, int] | None:
    """(height, width) of training crops; None where nothing is cropped."""
    crop = self._last(transforms.RandomCrop)
    return crop and crop.size

  @property
  def pad_pixel(self) -> float | tuple[float, float, float]:
    """What images are padded with: everywhere as in training."""
    pad = self._last(transforms.Pad)
    return pad.pixel if pad else common.MEAN_PIXEL

  @property
  def feature_scale(self) -> float:
    """The factor that images are resized by to compute features.

    It is the scale of the predictor that is nearest to 1: features, unlike
    probabilities, are not averaged over scales.
    """
    return min(self.evaluator.predictor.scales, key=lambda s: abs(s - 1.0))

  def _last(self, kind):
    """The last transform of a kind in training; None if there is none."""
    found = [x for x in self.train.transforms if isinstance(x, kind)]
    return found[-1] if found else None

  @property
  def crop_note(self) -> str | None:
    """A line for the user if crops are not k * output stride + 1; else None."""
    if self.crop_size is None:
      return None
    stride = self.model.trunk.backbone.output_stride
    return resize.misfit_note(self.crop_size, stride)

  @property
  def weights_note(self) -> str:
    """The source of a new training's weights; see `origins.note`."""
    return origins.note(self.trainer, self.model)

  def fit(
    self, strategy: tf.distribute.Strategy, model_dir: str
  ) -> Mapping[str, Any] | None:
    """Trains into a folder, and evaluates; see `Trainer.fit`.

    Returns:
      The scores at the end, of `evaluation.Evaluation` or of
      `embedding_judge.Judgement`; None if nothing is evaluated.

    Raises:
      DataError: the data are missing, wrong, or not those the run began with.
    """
    with strategy.scope():
      self.model.build_variables()
    self.trainer.load_warm_start(self.model, model_dir)
    examples = self.train.source.open(self.data_dir)
    opened = {'train': (self.train.source, examples)}
    evaluate = self._open_evaluation(strategy, opened)
    stream: Callable[..., tf.data.Dataset] = functools.partial(
      self.train.dataset, examples, seed=self.seed
    )
    if common.UNLABELLED in self.task.needs and self.unlabelled is not None:
      others = second_stream.open_images(self, opened)
      opened['unlabelled'] = (self.unlabelled.source, others)
      stream = second_stream.Joined(stream, self.unlabelled, others, self.seed)
    self._check_data(strategy, model_dir, opened)
    self.task.see_classes(functools.partial(sources.count_classes, examples))
    with pipeline.data_errors():
      return self.trainer.fit(
        self.model,
        self.task,
        stream,
        strategy,
        model_dir,
        evaluate,
        functools.partial(pipeline.ids_at, examples, self.seed),
        'val' if self.classifies else 'embedding',
        self.train.source.info.class_names,
      )

  def _open_evaluation(self, strategy, opened):
    """The evaluation during training, or None; adds its data to `opened`.

    Opened now, so that faults are reported before the training, not after.
    """
    if self.classifies and self.eval_source is not None:
      examples = self.eval_source.open(self.data_dir)
      opened['eval'] = (self.eval_source, examples)
      return evaluation.Evaluation(self, strategy, examples)
    if self.classifies or self.embedding_judge is None:
      return None
    found = embedding_judge_lib.of_experiment(self, opened['train'][1])
    if self.embedding_judge.source is not None:
      opened['embedding'] = (self.embedding_judge.source, found.examples)
    return found

  def restore(
    self,
    strategy: tf.distribute.Strategy,
    model_dir: str,
    path: str | None = None,
    needs_classes: bool = True,
  ) -> int:
    """Loads the newest weights of a run; returns their step.

    Args:
      strategy: the one the model was made under.
      model_dir: the run's folder.
      path: path of a checkpoint to load instead of the newest one.
      needs_classes: whether to refuse a run that cannot be evaluated, see
        `check_can_be_evaluated`.

    Raises:
      ConfigError: it is refused, or has no checkpoint.
      DataError: the description of its classes has changed since.
    """
    if needs_classes:
      self.check_can_be_evaluated(model_dir)
    fingerprints.check_classes(model_dir, self.train.source.info.class_names)
    with strategy.scope():
      self.model.build_variables()
    is_averaged = self.weights == 'teacher'
    found = checkpoints.restore_model(model_dir, self.model, path, is_averaged)
    return found[1]

  def check_can_be_evaluated(self, model_dir: str | None) -> None:
    """Raises ConfigError for a run without classes or without a split."""
    if not self.classifies or self.eval_source is None:
      raise errors.ConfigError(
        f'The experiment of {model_dir} has no classifier or no eval_source; '
        'only softmax runs predict classes.'
      )

  @property
  def judged_by(self) -> dict[str, Any]:
    """How it is evaluated, as JSON; only equal ones have comparable scores."""
    assert self.eval_source is not None
    return {
      'dataset': self.eval_source.info.name,
      'split': getattr(self.eval_source, 'split', 'val'),
      'limit': self.evaluator.limit,
      'crop_size': self.evaluator.crop_size,
      **dataclasses.asdict(self.evaluator.predictor),
      **({} if self.weights == 'teacher' else {'weights': self.weights}),
    }

  def _check_data(self, strategy, model_dir, opened):
    """Refuses data that differ from those the run began with."""
    found = fingerprints.of_sources(opened, self.data_dir)
    team = workers.of(strategy)
    team.agree(
      {
        f'{role} data': json.dumps(x, sort_keys=True)
        for role, x in found.items()
      },
      'give all of them the same data.',
    )
    fingerprints.check(model_dir, found, write=team.is_chief)
    names = found['train']['classes']
    fingerprints.check_classes(model_dir, names)


def _check_same_classes(train, evaluated, name):
  if evaluated is None:
    return
  ours, theirs = train.info, evaluated.info
  if ours.class_names != theirs.class_names:
    raise errors.ConfigError(
      f'The training data ({ours.name}) and {name} ({theirs.name}) have '
      'different classes.'
    )
