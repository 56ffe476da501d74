"""Learning from images without labels: a teacher, and weak to strong views.

UniMatch V2 (Yang et al., 2410.10777), whose parts can be set one by one: with
one strong view and no channel dropout it is FixMatch with an averaged teacher;
with threshold 0 and no CutMix, mean teacher with hard labels.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

import keras
import numpy as np
import tensorflow as tf

from deeplab_contrast import common
from deeplab_contrast.core import resize
from deeplab_contrast.core.augment import cutmix
from deeplab_contrast.core.losses import (
  feature_bank,
  pixel_contrast,
  softmax_loss,
)
from deeplab_contrast.core.network import channel_dropout, heads, norm
from deeplab_contrast.core.network.model import DeepLab
from deeplab_contrast.tasks import task

# The loss has its own seed for random draws. Those of transforms are numbered
# from 0.
_CONTRAST_SEED = 1_000_000


class Labelled(Protocol):
  """What the task needs of the one for labelled images: `softmax.Softmax`."""

  def make_head(self, num_classes: int) -> keras.layers.Layer:
    """See `Task.make_head`."""

  def see_classes(self, count: Callable[[], np.ndarray]) -> None:
    """See `Task.see_classes`."""

  def of_logits(
    self, logits: tf.Tensor, labels: tf.Tensor, step: tf.Tensor
  ) -> common.Weighted:
    """The loss of logits."""


class Consistency(task.Task):
  """Cross entropy on labelled images, consistency on unlabelled ones, contrast.

  The teacher, a moving average of the network, labels the weak view of each
  unlabelled image; where it is confident, the network learns that label on the
  strong views. Neighbours in a batch (the first and the second image, and so
  on) are CutMix partners.

  Without `weight` there is no second stream: cross entropy, and `contrast` on
  the same features, are learned jointly.

  Args:
    labelled: the loss of labelled images.
    weight: of the consistency loss, the mean over all valid pixels and strong
      views, relative to cross entropy.
    ramp_steps: the weight rises linearly from 0 during these steps.
    threshold: the least confidence of a label: a number, or one per class.
    threshold_momentum: if above 0, one threshold for all classes starts at
      `threshold` and moves towards the teacher's mean confidence: in each step
      it keeps this share of its value.
    channel_dropout: the share of the unlabelled images of which half of the
      channels of all features are dropped, and the others doubled; with two
      strong views, the second keeps what the first drops.
    moves_statistics: which forward passes move the statistics of batch norm:
      'labelled', or 'all' (labelled and strong views). Each pass is normalized
      with the statistics of its own batch.
    contrast: a contrastive loss on labelled and confident unlabelled pixels,
      within the batch or against a bank of earlier features.
    contrast_weight: relative to cross entropy.
    contrast_start: the step at which it begins.
    projection: builds the projection head of `contrast`.

  Raises:
    ValueError: a number is out of its range, or the task would be plain cross
      entropy.
  """

  def __init__(
    self,
    labelled: Labelled,
    weight: float = 1.0,
    ramp_steps: int = 0,
    threshold: float | Sequence[float] = 0.95,
    threshold_momentum: float = 0.0,
    channel_dropout: float = 0.0,
    moves_statistics: str = 'labelled',
    contrast: pixel_contrast.PixelContrast
    | feature_bank.FeatureBank
    | None = None,
    contrast_weight: float = 0.1,
    contrast_start: int = 0,
    projection: Callable[[], keras.layers.Layer] = heads.Projection,
  ):
    _check_shares(
      threshold_momentum=threshold_momentum, channel_dropout=channel_dropout
    )
    if moves_statistics not in ('labelled', 'all'):
      raise ValueError(
        f"moves_statistics is {moves_statistics!r}; it must be 'labelled' or "
        "'all'."
      )
    if weight < 0 or contrast_weight < 0 or ramp_steps < 0:
      raise ValueError(
        f'weight is {weight}, contrast_weight {contrast_weight}, ramp_steps '
        f'{ramp_steps}; none may be negative.'
      )
    if weight == 0 and contrast is None:
      raise ValueError(
        'weight is 0 and there is no contrast, which leaves cross entropy: use '
        'tasks.softmax.'
      )
    self.labelled = labelled
    self.weight = float(weight)
    self.ramp_steps = ramp_steps
    self.threshold = (
      tuple(threshold) if isinstance(threshold, (list, tuple)) else threshold
    )
    self.threshold_momentum = threshold_momentum
    self.channel_dropout = channel_dropout
    self.moves_statistics = moves_statistics
    self.contrast = contrast
    self.contrast_weight = float(contrast_weight)
    self.contrast_start = contrast_start
    self.needs = (common.IMAGE, common.LABEL, common.SEED)
    if self.weight:
      self.needs += (common.UNLABELLED,)
    self.needs_teacher = self.weight > 0
    self._projection = projection
    self._teacher: task.Teacher | None = None
    self._moving: tf.Variable | None = None
    self._bank: dict[str, tf.Variable] = {}

  def make_head(self, num_classes: int) -> keras.layers.Layer:
    """The classifier of `labelled`.

    Raises:
      ValueError: `threshold` has a different number of classes.
    """
    numbers = self.threshold if isinstance(self.threshold, tuple) else None
    if numbers and len(numbers) != num_classes:
      raise ValueError(
        f'threshold has {len(numbers)} numbers for {num_classes} classes.'
      )
    return self.labelled.make_head(num_classes)

  def see_classes(self, count: Callable[[], np.ndarray]) -> None:
    """Counts the class weights of `labelled`."""
    self.labelled.see_classes(count)

  def make_projection(self) -> keras.layers.Layer | None:
    """The projection head of the contrastive loss, if there is one."""
    return None if self.contrast is None else self._projection()

  def begin(
    self, model: DeepLab, teacher: task.Teacher | None
  ) -> Mapping[str, tf.Variable]:
    """Takes the teacher; returns the moving threshold and the bank, if any.

    Raises:
      ValueError: the network has several scales, or logits from its decoder.
    """
    if model.trunk_gives_logits or model.image_pyramid != (1.0,):
      raise ValueError(
        'Consistency needs features at one scale: no image_pyramid, no '
        'decoder_output_is_logits.'
      )
    self._teacher = teacher
    state = {}
    if self.threshold_momentum:
      self._moving = state['threshold'] = tf.Variable(
        self.threshold,
        dtype=tf.float32,
        trainable=False,
        aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
      )
    if isinstance(self.contrast, feature_bank.FeatureBank):
      features = model.trunk(tf.zeros([1, 65, 65, 3]), training=False)
      assert model.projection is not None
      channels = model.projection(features).shape[-1]
      self._bank = self.contrast.make(model.head.num_classes, channels)
    return state | self._bank

  def losses(
    self,
    model: DeepLab,
    batch: Mapping[str, tf.Tensor],
    training: bool,
    step: tf.Tensor,
  ) -> dict[str, common.Weighted | common.Term]:
    """Computes the losses; see `Task.losses`.

    Returns:
      'softmax'; with unlabelled images 'consistency', and for the log, by the
      class that the teacher sees, 'confident', the share of confident pixels,
      and 'teacher_accuracy', the share of right ones among those whose hidden
      label is known; 'contrast'.
    """
    labels = batch[common.LABEL]
    features = model.trunk(batch[common.IMAGE], training=training)
    logits = model.head(features, training=training)
    terms: dict[str, common.Weighted | common.Term] = {}
    terms['softmax'] = self.labelled.of_logits(logits, labels, step)
    seen = [_Seen(features, labels, batch[common.SEED])]
    if self.weight:
      found, strong = self._unlabelled(model, batch, training, step)
      terms |= found
      seen.append(strong)
    if self.contrast is not None:
      terms['contrast'] = self._contrast(model, logits, seen, training, step)
    return terms

  def _unlabelled(self, model, batch, training, step):
    """The terms of the unlabelled images; strong features and their labels."""
    unlabelled = batch[common.UNLABELLED]
    valid = unlabelled[common.VALID]
    guess, confidence = self._taught(unlabelled[common.VIEWS][:, 0], valid)
    sure = valid & (confidence >= self._thresholds(guess))
    if training and self._moving is not None:
      self._move(self._moving, confidence, valid)
    taught = tf.where(sure, guess, common.IGNORE_LABEL)
    images, labels, counted = _mixed(unlabelled, taught)
    features, logits = self._strong(model, unlabelled, images, training)
    logits = resize.bilinear(logits, resize.spatial_size(labels))
    total = softmax_loss.pixel_cross_entropy(logits, labels).total
    weight = self.weight * self._ramp(step)
    terms = {
      'consistency': common.Term(total, _count(counted), weight),
      **_watched(
        guess, valid, sure, unlabelled[common.LABEL], model.head.num_classes
      ),
    }
    seeds = tf.tile(
      unlabelled[common.SEED], [unlabelled[common.MIX].shape[1], 1]
    )
    return terms, _Seen(features, labels, seeds)

  def _taught(self, images, valid):
    """The teacher's classes and their probabilities, [batch, height, width]."""
    assert self._teacher is not None
    logits = resize.bilinear(self._teacher(images), resize.spatial_size(valid))
    probabilities = tf.stop_gradient(tf.nn.softmax(logits))
    guess = tf.argmax(probabilities, -1, output_type=tf.int32)
    return guess, tf.reduce_max(probabilities, -1)

  def _thresholds(self, guess):
    if self._moving is not None:
      return self._moving.value()
    if isinstance(self.threshold, tuple):
      return tf.gather(tf.constant(self.threshold, tf.float32), guess)
    return self.threshold

  def _move(self, threshold, confidence, valid):
    total = tf.reduce_sum(tf.where(valid, confidence, 0.0))
    total, count = _sum_over_replicas([total, _count(valid)])
    mean = tf.math.divide_no_nan(total, count)
    keep = self.threshold_momentum
    threshold.assign(keep * threshold + (1.0 - keep) * mean)

  def _strong(self, model, unlabelled, images, training):
    """Features and logits of the strong views [views * batch, ...]."""
    perturb = None
    if self.channel_dropout:
      views = images.shape[0] // unlabelled[common.VIEWS].shape[0]
      perturb = channel_dropout.ChannelDropout(
        unlabelled[common.SEED], self.channel_dropout, views
      )
    is_kept = self.moves_statistics == 'labelled'
    with norm.moving_statistics_kept(is_kept):
      features = model.trunk(images, training=training, perturb=perturb)
      return features, model.head(features, training=training)

  def _ramp(self, step):
    if not self.ramp_steps:
      return 1.0
    return tf.minimum(1.0, tf.cast(step, tf.float32) / self.ramp_steps)

  def _contrast(self, model, logits, seen, training, step):
    """The contrastive loss on all features whose labels are known or taught."""
    features = tf.concat([x.features for x in seen], 0)
    embeddings = model.projection(features, training=training)
    size = resize.spatial_size(embeddings)
    labels = [resize.labels_nearest(x.labels, size) for x in seen]
    seeds = tf.concat([x.seeds for x in seen], 0)
    if isinstance(self.contrast, feature_bank.FeatureBank):
      loss = self._against_bank(self.contrast, embeddings, labels, seeds)
      if training:
        self._add_to_bank(self.contrast, embeddings, labels[0], seeds, logits)
    else:
      assert self.contrast is not None
      seed = tf.random.experimental.stateless_fold_in(
        seeds[0], _CONTRAST_SEED, 'philox'
      )
      loss = self.contrast(embeddings, embeddings, tf.concat(labels, 0), seed)
    weight: float | tf.Tensor = self.contrast_weight
    if self.contrast_start:
      weight *= tf.cast(step >= self.contrast_start, tf.float32)
    return common.Term(loss.total, loss.count, weight)

  def _against_bank(self, bank, embeddings, labels, seeds):
    kept = self._bank['bank'], self._bank['bank_count']
    return bank.loss(*kept, embeddings, tf.concat(labels, 0), seeds)

  def _add_to_bank(self, bank, embeddings, labels, seeds, logits):
    """Adds labelled pixels that are predicted rightly."""
    logits = resize.bilinear(logits, resize.spatial_size(labels))
    guess = tf.argmax(logits, -1, output_type=tf.int32)
    right = tf.where(guess == labels, labels, common.IGNORE_LABEL)
    kept = self._bank['bank'], self._bank['bank_count']
    count = labels.shape[0]
    bank.add(*kept, embeddings[:count], right, seeds[:count])


class _Seen(NamedTuple):
  """What the network made of some images, their labels, and their seeds."""

  features: tf.Tensor
  labels: tf.Tensor
  seeds: tf.Tensor


def _mixed(unlabelled, labels):
  """Strong views after CutMix, their labels and valid pixels, view by view.

  Args:
    unlabelled: the batch of unlabelled images.
    labels: int32 [batch, height, width], of the weak views.

  Returns:
    float32 [views * batch, height, width, 3], int32 and bool [views * batch,
    height, width].
  """
  views, mix = unlabelled[common.VIEWS], unlabelled[common.MIX]
  found = [
    [
      cutmix.paste(values, mix[:, i])
      for values in (views[:, 1 + i], labels, unlabelled[common.VALID])
    ]
    for i in range(mix.shape[1])
  ]
  return [tf.concat(parts, 0) for parts in zip(*found, strict=True)]


def _watched(guess, valid, sure, hidden, num_classes):
  """The terms 'confident' and 'teacher_accuracy', by guessed class."""
  known = sure & (hidden != common.IGNORE_LABEL)
  right = known & (hidden == guess)
  # Each of these masks is inside the one before, so a pixel's number of them
  # says which it is in, and one count is enough.
  inside = tf.add_n([tf.cast(x, tf.int32) for x in (sure, known, right)])
  size = 4 * num_classes
  cells = tf.where(valid, 4 * guess + inside, size)
  cells = tf.reshape(cells, [-1])
  # Unlike bincount, XLA can compile this.
  counts = tf.math.unsorted_segment_sum(tf.ones_like(cells), cells, size + 1)
  counts = tf.reshape(tf.cast(counts[:-1], tf.float32), [num_classes, 4])
  counts = tf.unstack(tf.cumsum(counts, axis=1, reverse=True), axis=1)
  all_valid, all_sure, all_known, all_right = counts
  return {
    'confident': common.Term(all_sure, all_valid, 0.0),
    'teacher_accuracy': common.Term(all_right, all_known, 0.0),
  }


def _count(mask):
  return tf.reduce_sum(tf.cast(mask, tf.float32))


def _sum_over_replicas(values):
  context = tf.distribute.get_replica_context()
  if context is None or context.num_replicas_in_sync == 1:
    return values
  return context.all_reduce(tf.distribute.ReduceOp.SUM, values)


def _check_shares(**shares):
  for name, value in shares.items():
    if not 0 <= value <= 1:
      raise ValueError(f'{name} is {value}; it must be from 0 to 1.')
