"""The root of a gin experiment: everything a command needs, in one object."""

import contextlib
import dataclasses
import functools
import json

import keras
import tensorflow as tf

from deeplab_contrast import common
from deeplab_contrast.core import resize
from deeplab_contrast.core.network import heads
from deeplab_contrast.datasets import (
  fingerprints,
  pipeline,
  sources,
  transforms,
)
from deeplab_contrast.datasets.sources import extremes
from deeplab_contrast.distributed import workers
from deeplab_contrast.inference import embedding_judge as embedding_judge_lib
from deeplab_contrast.inference import evaluator as evaluator_lib
from deeplab_contrast.inference import pictures
from deeplab_contrast.tasks import task as task_lib
from deeplab_contrast.training import checkpoints, writers
from deeplab_contrast.training import trainer as trainer_lib
from deeplab_contrast.utils import errors, results, tables

_PRECISIONS = ('float32', 'mixed_bfloat16')


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
    embedding_judge: how pretraining is judged while it runs; None judges it
      only when asked to, by `evaluate`.
    precision: 'float32' or 'mixed_bfloat16'.
    seed: of the weights, the order of the data and all augmentation.
    data_dir: where prepared datasets are kept; None is TFDS's default.

  Raises:
    ValueError: on an unknown precision.
    ConfigError: when the sources disagree on the classes.
  """

  def __init__(
    self,
    model,
    task: task_lib.Task,
    trainer: trainer_lib.Trainer,
    train: pipeline.Pipeline,
    eval_source: sources.Source | None = None,
    evaluator: evaluator_lib.Evaluator | None = None,
    embedding_judge: embedding_judge_lib.EmbeddingJudge | None = None,
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
    self.embedding_judge = embedding_judge
    self.seed = seed
    self.data_dir = data_dir
    self._shown = None  # A `pictures.Shown`, once it is needed.
    _check_same_classes(train.source, eval_source, 'eval_source')
    if embedding_judge is not None:
      _check_same_classes(
        train.source, embedding_judge.source, 'EmbeddingJudge.source'
      )

  @property
  def classifies(self):
    """Whether the network gives classes, so that it can be evaluated."""
    return isinstance(self.model.head, heads.Classifier)

  @property
  def crop_size(self):
    """(height, width) of training crops; None where nothing is cropped."""
    crop = self._last(transforms.RandomCrop)
    return crop and crop.size

  @property
  def pad_pixel(self):
    """What images are padded with in training, and so wherever they are."""
    pad = self._last(transforms.Pad)
    return pad.pixel if pad else common.MEAN_PIXEL

  @property
  def feature_scale(self):
    """The factor images are resized by where features are looked at.

    Of prediction, the one nearest to 1: features of several scales have no mean
    that fine-tuning would start from.
    """
    return min(self.evaluator.predictor.scales, key=lambda s: abs(s - 1.0))

  def _last(self, kind):
    """The last transform of a kind in training; None if there is none."""
    found = [x for x in self.train.transforms if isinstance(x, kind)]
    return found[-1] if found else None

  @property
  def crop_note(self):
    """One line when crops are not k * output stride + 1, or None."""
    if self.crop_size is None:
      return None
    stride = self.model.trunk.backbone.output_stride
    return resize.misfit_note(self.crop_size, stride)

  def fit(self, strategy, model_dir):
    """Trains into a folder, and judges; see `Trainer.fit`.

    Returns:
      What `evaluate` gives at the end; None where nothing judges.

    Raises:
      DataError: the data are missing, wrong, or not those the run began with.
    """
    with strategy.scope():
      self.model.build_variables()
    self.trainer.load_warm_start(self.model, model_dir)
    examples = self.train.source.open(self.data_dir)
    opened = {'train': (self.train.source, examples)}
    evaluate = self._make_ready(strategy, opened)
    self._check_data(strategy, model_dir, opened)
    with data_errors():
      return self.trainer.fit(
        self.model,
        self.task,
        functools.partial(self.train.dataset, examples, seed=self.seed),
        strategy,
        model_dir,
        evaluate,
        functools.partial(pipeline.ids_at, examples, self.seed),
        'val' if self.classifies else 'embedding',
      )

  def _make_ready(self, strategy, opened):
    """What judges during training, or None; adds what it opens to `opened`.

    Opened now, so that faults are met before the training, not after.
    """
    if not self.classifies:
      return self._judgement(opened) if self.embedding_judge else None
    if self.eval_source is None:
      return None
    judging = self.eval_source.open(self.data_dir)
    self.eval_batches(judging, strategy.num_replicas_in_sync)
    opened['eval'] = (self.eval_source, judging)
    return functools.partial(self.judge, strategy)

  def restore(self, strategy, model_dir, path=None, needs_classes=True):
    """Loads the newest weights of a run; returns their step.

    Args:
      strategy: the one the model was made under.
      model_dir: the run's folder.
      path: of a checkpoint to load instead of the newest one.
      needs_classes: whether the run must have classes and a split that judges.

    Raises:
      ConfigError: when the run has not, or has no checkpoint.
      DataError: its classes have been described otherwise since.
    """
    if needs_classes:
      self.check_can_be_judged(model_dir)
    fingerprints.check_classes(model_dir, self.train.source.info.class_names)
    with strategy.scope():
      self.model.build_variables()
    return checkpoints.restore_model(model_dir, self.model, path)[1]

  def check_can_be_judged(self, model_dir):
    """Raises ConfigError for a run without classes or without a split."""
    if not self.classifies or self.eval_source is None:
      raise errors.ConfigError(
        f'The experiment of {model_dir} has no classifier or no eval_source; '
        'only softmax runs predict classes.'
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
    """Scores the model.

    Args:
      strategy: the one the model was made under.
      poll: called now and then, e.g. to stop on a signal.

    Returns:
      The dict of `Evaluator.evaluate` on `eval_source`, and `judged_by`;
      without a classifier that of `embedding_judge.Judgement`.
    """
    if not self.classifies:
      with data_errors():
        return self._judgement({})(poll)
    examples = self._limited(self.eval_source.open(self.data_dir))
    batches = self._shared_eval_batches(strategy, examples)
    with data_errors():
      scores = self.evaluator.evaluate(
        self.model, batches, examples.info, strategy, poll
      )
    return {**scores, 'judged_by': self.judged_by}

  def judge(self, strategy, poll=lambda: None):
    """Scores and shows what a classifier predicts.

    Args:
      strategy: the one the model was made under.
      poll: called now and then, e.g. to stop on a signal.

    Returns:
      The dict of `evaluate`, and for TensorBoard under `writers.SHOWN` IoU per
      class, the confusion matrix and predictions of a few images; of several
      workers the chief alone gets these.
    """
    scores = self.evaluate(strategy, poll)
    if not workers.of(strategy).is_chief:
      return scores
    if self._shown is None:
      examples = self._limited(self.eval_source.open(self.data_dir))
      self._shown = pictures.Shown(self, examples)
    with data_errors():
      shown = self._shown(scores)
    return {**scores, writers.SHOWN: shown}

  def report_embedding(self, model_dir, step, scores):
    """Writes what `evaluate` gave of a pretraining's step; returns a text."""
    info = self._judge_and_source()[1].info
    result = results.write_embedding(model_dir, step, scores, info)
    head = f'{info.name}, step {step}, frozen features'
    return f'{head}\n{tables.embedding_table(result)}'

  def _judge_and_source(self):
    judge = self.embedding_judge or embedding_judge_lib.EmbeddingJudge()
    return judge, judge.source or self.train.source

  def _judgement(self, opened):
    """The `Judgement` of the embedding; `opened` as in `fit`."""
    judge, source = self._judge_and_source()
    if judge.source is None and 'train' in opened:
      examples = opened['train'][1]
    else:
      examples = source.open(self.data_dir)
      opened['embedding'] = (source, examples)
    try:
      return judge.on(self.model, examples, self.feature_scale, self.pad_pixel)
    except ValueError as error:
      raise errors.ConfigError(str(error)) from error

  def eval_batches(self, examples, replicas=1):
    """Whole images, padded to one size, each once and in order.

    Every one of the replicas gets as many of a batch, so it is rounded up.
    """
    count = -(-self.evaluator.batch_size // replicas)
    steps = self._for_eval(examples, count)
    return pipeline.once(examples, steps, count * replicas)

  def _for_eval(self, examples, count):
    return transforms.Decode(), self.pad(examples, count)

  def _shared_eval_batches(self, strategy, examples):
    """`eval_batches`; with several workers the share of this one."""
    replicas = strategy.num_replicas_in_sync
    workers_count = workers.of(strategy).count
    if workers_count == 1:
      return self.eval_batches(examples, replicas)
    count = -(-self.evaluator.batch_size // replicas)

    def make(context):
      return pipeline.once(
        examples,
        self._for_eval(examples, count),
        count,
        context.input_pipeline_id,
        context.num_input_pipelines,
        replicas // workers_count,
      )

    return strategy.distribute_datasets_from_function(make)

  def pad(self, examples, count=1, evaluator=None, labels=True):
    """How whole images are padded, all to one size; raises as `pad_size` does.

    Args:
      examples: opened examples.
      count: how many are predicted at once, on one replica.
      evaluator: `Evaluator`; None is the one of this experiment.
      labels: whether labels are wanted; otherwise probabilities.

    Returns:
      `transforms.Pad`, with the pixel of training.
    """
    size = pad_size(evaluator or self.evaluator, examples, count, labels)
    return transforms.Pad(size, self.pad_pixel, exact=True)

  def _check_data(self, strategy, model_dir, opened):
    """Refuses other data than those the run in this folder began with."""
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

  def _limited(self, examples):
    limit = self.evaluator.limit
    if limit is None or limit >= len(examples):
      return examples
    return sources.Subset(examples, range(limit))


def pad_size(evaluator, examples, count=1, labels=True):
  """The one size all images are padded to; see `Evaluator.pad_size`.

  Args:
    evaluator: `Evaluator`.
    examples: opened examples.
    count: how many are predicted at once, on one replica.
    labels: whether labels are wanted; otherwise probabilities.

  Returns:
    (height, width).

  Raises:
    ConfigError: when an image would not fit.
    DataError: when so many pixels would need absurd amounts of memory.
  """
  try:
    size = evaluator.pad_size(examples.max_size)
  except ValueError as error:
    raise errors.ConfigError(str(error)) from error
  classes = examples.info.num_classes
  remedy = evaluator.less_memory(
    size, classes, count, extremes.MOST_VALUES, labels
  )
  if remedy is not None:
    values = evaluator.predictor.values(size, classes, labels)
    raise extremes.refusal(examples, size, count, values, remedy)
  return size


@contextlib.contextmanager
def data_errors():
  """Gives back the sentence of a DataError raised inside tf.data."""
  try:
    yield
  except tf.errors.OpError as error:
    raise (pipeline.data_error(error) or error) from error


def _check_same_classes(train, judged, name):
  if judged is None:
    return
  ours, theirs = train.info, judged.info
  if ours.class_names != theirs.class_names:
    raise errors.ConfigError(
      f'The training data ({ours.name}) and {name} ({theirs.name}) have other '
      'classes.'
    )
