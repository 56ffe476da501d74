"""Batch norm folded into the convolutions before it, for inference."""

import contextlib
from collections.abc import Iterator

import keras
import numpy as np

from deeplab_contrast.core.network import conv, norm


@contextlib.contextmanager
def folded(model: keras.Model) -> Iterator[int]:
  """Folds batch norm into the convolutions while inside; yields how many.

  With fixed statistics batch norm is one scale and one offset per channel: the
  scale goes into the kernel, computed in float64 and stored as float32; the
  offset stays as a bias. Only convolutions followed directly by our own batch
  norm are folded, not the layers of keras-cv backbones. Functions traced inside
  stay folded only if they are frozen inside as well.

  Args:
    model: a built Keras model; restored afterwards.
  """
  units = [
    (layer.conv, layer.norm)
    for layer in model._flatten_layers()
    if isinstance(layer, (conv.ConvNorm, conv.DepthwiseConvNorm))
    and isinstance(layer.norm, norm.BatchNorm)
  ]
  changed = [
    v for layer, batch_norm in units for v in (layer.kernel, batch_norm.beta)
  ]
  kept = [np.array(variable) for variable in changed]
  try:
    for layer, batch_norm in units:
      _scale_kernel(layer, batch_norm.fold())
    yield len(units)
  finally:
    for _, batch_norm in units:
      batch_norm.is_folded = False
    for variable, value in zip(changed, kept, strict=True):
      variable.assign(value)


def _scale_kernel(layer, scale):
  """Multiplies the output of a convolution by a factor per channel."""
  if isinstance(layer, keras.layers.DepthwiseConv2D):
    # [height, width, channels, multiplier]: outputs have the same order.
    scale = scale.reshape(layer.kernel.shape[2:])
  kernel = np.asarray(layer.kernel, np.float64) * scale
  layer.kernel.assign(kernel.astype(np.float32))
