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
  """

  scales: tuple[float, ...] = (1.0,)
  flip: bool = False

  def __post_init__(self):
    """Refuses an empty or non-positive list of scales."""
    if not self.scales or min(self.scales) <= 0:
      raise ValueError(f'scales is {self.scales}; name at least one, all > 0.')

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
