"""Batch norm folded into the convolutions before it, for inference."""

import contextlib
from collections.abc import Iterator

import keras
import numpy as np

from deeplab_contrast.core.network import conv, norm


@contextlib.contextmanager
def folded(model: keras.Model) -> Iterator[int]:
  """While inside, batch norm is part of the convolutions; yields how many.

  With fixed statistics batch norm is one scale and one offset per channel; the
  scale goes into the kernel, computed in float64 and stored as float32, and the
  offset stays as a bias. What is not a convolution with our own batch norm
  right behind it (layers of foreign backbones) is left alone. Functions traced
  inside stay folded only if they are frozen inside as well.

  Args:
    model: a built Keras model; it is as before afterwards.
  """
  units = [
    layer
    for layer in model._flatten_layers()
    if isinstance(layer, (conv.ConvNorm, conv.DepthwiseConvNorm))
    and isinstance(layer.norm, norm.BatchNorm)
  ]
  changed = [v for unit in units for v in (unit.conv.kernel, unit.norm.beta)]
  kept = [np.array(variable) for variable in changed]
  try:
    for unit in units:
      _scale_kernel(unit.conv, unit.norm.fold())
    yield len(units)
  finally:
    for unit in units:
      unit.norm.is_folded = False
    for variable, value in zip(changed, kept, strict=True):
      variable.assign(value)


def _scale_kernel(layer, scale):
  """Multiplies what a convolution gives by a factor per channel."""
  if isinstance(layer, keras.layers.DepthwiseConv2D):
    # [height, width, channels, multiplier]: outputs are ordered alike.
    scale = scale.reshape(layer.kernel.shape[2:])
  kernel = np.asarray(layer.kernel, np.float64) * scale
  layer.kernel.assign(kernel.astype(np.float32))
