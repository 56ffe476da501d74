"""The one inference path: evaluation, pictures and export all go through it."""

import dataclasses

import tensorflow as tf

from deeplab_contrast.core import resize


@dataclasses.dataclass(frozen=True)
class Predictor:
  """Class probabilities of whole images, over scales and a mirrored copy.

  As in the original: logits of every pass are resized to the image, and the
  mean is taken over probabilities (predict_labels_multi_scale).

  Attributes:
    scales: factors the images are resized by; (1.0,) is one plain pass.
    flip: whether to add a mirrored pass for every scale.
    prediction_with_upsampled_logits: the original's flag: without it labels
      are decided on the grid of the logits and then brought to the image by
      the nearest pixel, which takes less memory; for one plain pass only.
  """

  scales: tuple[float, ...] = (1.0,)
  flip: bool = False
  prediction_with_upsampled_logits: bool = True

  def __post_init__(self):
    """Refuses scales and passes that make no sense."""
    if not self.scales or min(self.scales) <= 0:
      raise ValueError(f'scales is {self.scales}; name at least one, all > 0.')
    is_plain = tuple(self.scales) == (1.0,) and not self.flip
    if not self.prediction_with_upsampled_logits and not is_plain:
      raise ValueError(
        'Without prediction_with_upsampled_logits there is nothing to average '
        f'over: scales is {self.scales}, flip is {self.flip}.'
      )

  def probabilities(self, model, images):
    """Predicts.

    Args:
      model: a `DeepLab` with a `Classifier`.
      images: [batch, height, width, 3], pixels 0..255, uint8 or float.

    Returns:
      float32 [batch, height, width, classes].
    """
    images = tf.cast(images, tf.float32)
    passes = [
      self._one_pass(model, images, scale, mirrored)
      for scale in self.scales
      for mirrored in ((False, True) if self.flip else (False,))
    ]
    return tf.add_n(passes) / len(passes)

  def labels(self, model, images):
    """The most probable class, int32 [batch, height, width]."""
    if not self.prediction_with_upsampled_logits:
      logits = model(tf.cast(images, tf.float32), training=False)
      labels = tf.argmax(logits, axis=-1, output_type=tf.int32)
      return resize.labels_nearest(labels, resize.spatial_size(images))
    probabilities = self.probabilities(model, images)
    return tf.argmax(probabilities, axis=-1, output_type=tf.int32)

  def _one_pass(self, model, images, scale, mirrored):
    size = resize.spatial_size(images)
    scaled = resize.by_factor(images, scale)
    if mirrored:
      scaled = scaled[:, :, ::-1]
    logits = model(scaled, training=False)
    if mirrored:
      logits = logits[:, :, ::-1]
    if scale != 1.0:
      # The original first brings all scales to one grid.
      finest = max(1.0, scale) / model.logits_stride
      grid = [resize.scale_dimension(side, finest) for side in size]
      logits = resize.bilinear(logits, grid)
    return tf.nn.softmax(resize.bilinear(logits, size))
