"""Pixel classification: training from scratch and fine-tuning."""

from collections.abc import Callable, Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf

from deeplab_contrast import common
from deeplab_contrast.core import resize
from deeplab_contrast.core.losses import softmax_loss
from deeplab_contrast.core.network import heads
from deeplab_contrast.core.network.model import DeepLab
from deeplab_contrast.tasks import task


class Softmax(task.Task):
  """Cross entropy, with the original's options under the original's names.

  Args:
    classifier: builds the logits layer, given the number of classes.
    upsample_logits: computes the loss at the resolution of the labels;
      otherwise labels are resized to that of the logits.
    label_weights: a weight for every class; None weights all classes equally.
    class_balance: in place of label_weights, weights counted from the labels to
      train on: (median frequency / frequency) ** class_balance, at least 0.1
      and at most 10. 0 weights all classes equally.
    top_k_percent_pixels: the share of the pixels, the hardest ones, that count;
      0..1. With several replicas, each takes this share of its own batch.
    hard_example_mining_step: until this step, that share falls linearly from 1.

  Raises:
    ValueError: when top_k_percent_pixels is not in (0, 1], class_balance is
      negative, or there are both kinds of weights.
  """

  needs = (common.IMAGE, common.LABEL)

  def __init__(
    self,
    classifier: Callable[[int], keras.layers.Layer] = heads.Classifier,
    upsample_logits: bool = True,
    label_weights: Sequence[float] | None = None,
    class_balance: float = 0.0,
    top_k_percent_pixels: float = 1.0,
    hard_example_mining_step: int = 0,
  ):
    if not 0 < top_k_percent_pixels <= 1:
      raise ValueError(
        f'top_k_percent_pixels is {top_k_percent_pixels}; it must be a '
        'share, greater than 0 and at most 1.'
      )
    if class_balance < 0 or (class_balance and label_weights):
      raise ValueError(
        f'class_balance is {class_balance}; it must not be negative, and 0 '
        'beside label_weights.'
      )
    self.upsample_logits = upsample_logits
    self.class_balance = class_balance
    self.label_weights = label_weights and tuple(label_weights)
    self.top_k_percent_pixels = float(top_k_percent_pixels)
    self.hard_example_mining_step = hard_example_mining_step
    self._classifier = classifier

  def make_head(self, num_classes: int) -> keras.layers.Layer:
    """A classifier for the dataset's classes.

    Raises:
      ValueError: when label_weights has a different number of weights.
    """
    weights = self.label_weights
    if weights is not None and len(weights) != num_classes:
      raise ValueError(
        f'label_weights has {len(weights)} weights for {num_classes} classes.'
      )
    return self._classifier(num_classes)

  def see_classes(self, count: Callable[[], np.ndarray]) -> None:
    """Counts the weights of `class_balance`, if it is set."""
    if self.class_balance:
      self.label_weights = softmax_loss.balancing_weights(
        count(), self.class_balance
      )

  def losses(
    self,
    model: DeepLab,
    batch: Mapping[str, tf.Tensor],
    training: bool,
    step: tf.Tensor,
  ) -> dict[str, common.Weighted]:
    """Returns `{'softmax': Weighted over pixels}`; see `Task.losses`.

    With an image pyramid there is a term for every scale, and one for the
    merged logits.
    """
    images = batch[common.IMAGE]
    if len(model.image_pyramid) == 1:
      scales = {'softmax': model(images, training=training)}
    else:
      logits = model.logits_of_scales(images, training=training)
      scales = {f'softmax_{name}': value for name, value in logits.items()}
    labels = batch[common.LABEL]
    return {
      name: self.of_logits(logits, labels, step)
      for name, logits in scales.items()
    }

  def of_logits(
    self, logits: tf.Tensor, labels: tf.Tensor, step: tf.Tensor
  ) -> common.Weighted:
    """The loss of logits that were computed already.

    Args:
      logits: float [batch, h, w, classes].
      labels: int32 [batch, height, width], class ids or IGNORE_LABEL.
      step: int64 [], number of training steps done so far.

    Returns:
      `Weighted` over pixels.
    """
    mined = softmax_loss.mined_share(
      self.top_k_percent_pixels, self.hard_example_mining_step, step
    )
    if self.upsample_logits:
      logits = resize.bilinear(logits, resize.spatial_size(labels))
    else:
      labels = resize.labels_nearest(labels, resize.spatial_size(logits))
    return softmax_loss.pixel_cross_entropy(
      logits, labels, self.label_weights, mined
    )
