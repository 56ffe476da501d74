"""Batch norm folded into the convolutions before it, for inference."""

import keras
import numpy as np

from deeplab_contrast.core import conv, norm


def fold(model):
  """Folds batch norm into convolutions, in place; training is over then.

  With fixed statistics batch norm is one scale and one offset per channel; the
  scale goes into the kernel, computed in float64 and stored as float32, and the
  offset stays as a bias. What is not a convolution with our own batch norm
  right behind it (layers of foreign backbones) is left alone.

  Args:
    model: a built Keras model.

  Returns:
    The number of layers folded.
  """
  count = 0
  for layer in model._flatten_layers():
    units = (conv.ConvNorm, conv.DepthwiseConvNorm)
    if not isinstance(layer, units):
      continue
    if isinstance(layer.norm, norm.BatchNorm) and not layer.norm.is_folded:
      _scale_kernel(layer.conv, layer.norm.fold())
      count += 1
  return count


def _scale_kernel(layer, scale):
  """Multiplies what a convolution gives by a factor per channel."""
  if isinstance(layer, keras.layers.DepthwiseConv2D):
    # [height, width, channels, multiplier]: outputs are ordered alike.
    scale = scale.reshape(layer.kernel.shape[2:])
  kernel = np.asarray(layer.kernel, np.float64) * scale
  layer.kernel.assign(kernel.astype(np.float32))
