"""Batch norm folded into the convolutions before it, for inference."""

import contextlib
from collections.abc import Iterator

import keras
import numpy as np

from deeplab_contrast.core.network import conv, norm

# The blocks of keras-cv that are layers of their own, and what they connect.
_BLOCKS = ('MBConvBlock', 'FusedMBConvBlock')
_MB = (('conv1', 'bn1'), ('depthwise', 'bn2'), ('output_conv', 'bn3'))


@contextlib.contextmanager
def folded(model: keras.Model) -> Iterator[int]:
  """Folds batch norm into the convolutions while inside; yields how many.

  With fixed statistics batch norm is one scale and one offset per channel: the
  scale goes into the kernel, computed in float64 and stored as float32; the
  offset stays as a bias. Only convolutions followed directly, and by nothing
  else, by our own batch norm are folded. Functions traced inside stay folded
  only if they are frozen inside as well.

  Args:
    model: a built Keras model; restored afterwards.
  """
  units = [x for layer in model._flatten_layers() for x in _units(layer)]
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


def _units(layer):
  """(convolution, batch norm) pairs that a layer itself connects."""
  if isinstance(layer, (conv.ConvNorm, conv.DepthwiseConvNorm)):
    is_ours = isinstance(layer.norm, norm.BatchNorm)
    return [(layer.conv, layer.norm)] if is_ours else []
  if type(layer).__name__ in _BLOCKS:
    pairs = [(getattr(layer, c, None), getattr(layer, n, None)) for c, n in _MB]
    return [(c, n) for c, n in pairs if c is not None and c.built]
  if isinstance(layer, keras.Model) and hasattr(layer, 'operations'):
    return [
      (before, x)
      for x in layer.layers
      if isinstance(x, norm.BatchNorm) and (before := _before(x)) is not None
    ]
  return []


def _before(batch_norm):
  """The convolution without a bias that only this layer uses, or None."""
  (parent,) = (n.operation for n in batch_norm._inbound_nodes[0].parent_nodes)
  kinds = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)
  alone = isinstance(parent, kinds) and len(parent._outbound_nodes) == 1
  return parent if alone and not parent.use_bias else None


def _scale_kernel(layer, scale):
  """Multiplies the output of a convolution by a factor per channel."""
  if isinstance(layer, keras.layers.DepthwiseConv2D):
    # [height, width, channels, multiplier]: outputs have the same order.
    scale = scale.reshape(layer.kernel.shape[2:])
  kernel = np.asarray(layer.kernel, np.float64) * scale
  layer.kernel.assign(kernel.astype(np.float32))
