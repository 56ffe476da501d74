"""A trained network as one function of images, for programs without this code.

The names are those of the original's export: `ImageTensor` goes in,
`SemanticPredictions` and `SemanticProbabilities` come out.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import tensorflow as tf
from tensorflow.python.framework import convert_to_constants

from deeplab_contrast import common
from deeplab_contrast.core import resize
from deeplab_contrast.export.exported import INPUT, LABELS, PROBABILITIES
from deeplab_contrast.inference import predictor as predictor_lib


@dataclasses.dataclass(frozen=True)
class Serving:
  """Images of any size to labels, exactly as in the evaluation.

  The evaluation pads every image at the bottom and the right to one size, with
  the pixel of training, and that padding affects the network (image pooling,
  borders). So the same is done here, as in the original's export: a side
  shorter than `crop_size` is padded to it, a longer one to the next
  k * stride + 1.
  Outputs are cut to the size of the image.

  Attributes:
    model: a `DeepLab` with a `Classifier`.
    predictor: the evaluation's `Predictor`.
    crop_size: (height, width) that smaller images are padded to; (1, 1) pads
      to k * stride + 1 only.
    pixel: the value of new pixels, one float or one for each channel.
  """

  model: Any
  predictor: predictor_lib.Predictor
  crop_size: tuple[int, int] = (1, 1)
  pixel: float | tuple[float, float, float] = common.MEAN_PIXEL

  def __call__(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Predicts.

    Args:
      images: uint8 [batch, height, width, 3].

    Returns:
      Labels, int32 [batch, height, width], and probabilities, float32 [batch,
      height, width, classes].
    """
    height, width = tf.shape(images)[1], tf.shape(images)[2]
    padded = self._pad(images)
    predicted = self.predictor.probabilities(self.model, padded)
    predicted = predicted[:, :height, :width]
    if self.predictor.prediction_with_upsampled_logits:
      labels = tf.argmax(predicted, axis=-1, output_type=tf.int32)
    else:
      labels = self.predictor.labels(self.model, padded)[:, :height, :width]
    return labels, predicted

  def _pad(self, images):
    """float32 images, padded to the input size of the network."""
    stride = self.model.trunk.backbone.output_stride
    missing = [
      _padded_side(side, least, stride) - side
      for side, least in zip(
        resize.spatial_size(images), self.crop_size, strict=True
      )
    ]
    images = tf.cast(images, tf.float32)
    sides = [[0, 0], [0, missing[0]], [0, missing[1]]]
    if not isinstance(self.pixel, tuple):
      return tf.pad(images, [*sides, [0, 0]], constant_values=self.pixel)
    channels = zip(tf.unstack(images, axis=-1), self.pixel, strict=True)
    padded = [tf.pad(x, sides, constant_values=value) for x, value in channels]
    return tf.stack(padded, axis=-1)

  def concrete(self, size: Sequence[int | None] = (None, None, None)) -> Any:
    """The function with its weights as variables: the operations of eval.

    Args:
      size: (batch, height, width) of the images; None where it may be any.

    Returns:
      A concrete function of `ImageTensor` to (labels, probabilities).
    """
    spec = tf.TensorSpec([*size, 3], tf.uint8, name=INPUT)
    return tf.function(self.__call__, autograph=False).get_concrete_function(
      spec
    )

  def frozen(self, size: Sequence[int | None] = (None, None, None)) -> Any:
    """The same with its weights inside, as constants.

    TensorFlow can then optimize it: faster, with different rounding.
    """
    return convert_to_constants.convert_variables_to_constants_v2(
      self.concrete(size)
    )


def module(
  function: Any, asset: str | None = None
) -> tuple[tf.Module, dict[str, Any]]:
  """The module to save: signatures of one function.

  Args:
    function: result of `Serving.frozen` or `Serving.concrete`.
    asset: path of a file to put into the SavedModel's `assets`.

  Returns:
    A tf.Module and its signatures, for tf.saved_model.save: 'serving_default'
    gives both outputs, 'labels' only SemanticPredictions, which needs less
    memory.
  """
  result = tf.Module()
  result.function = function
  result.weights = list(function.variables)  # None in a frozen one.
  if asset is not None:
    result.description = tf.saved_model.Asset(asset)
  spec = tf.TensorSpec(function.inputs[0].shape, tf.uint8, name=INPUT)

  @tf.function(input_signature=[spec], autograph=False)
  def both(images):
    labels, probabilities = function(images)
    return {LABELS: labels, PROBABILITIES: probabilities}

  @tf.function(input_signature=[spec], autograph=False)
  def only_labels(images):
    return {LABELS: function(images)[0]}

  return result, {'serving_default': both, 'labels': only_labels}


def _padded_side(side, least, stride):
  """The input side of the network for a side of an image."""
  fitting = resize.fitting_size(side, stride)
  if isinstance(side, int):
    return fitting if side > least else least
  return tf.where(side > least, fitting, least)
