"""Changes the layers inside the backbones of keras-cv."""

import collections
import contextlib
import itertools
from collections.abc import Iterator

import keras

from deeplab_contrast.core.network import conv, dropout, norm


@contextlib.contextmanager
def ours() -> Iterator[None]:
  """While inside, keras-cv uses some of our layers in place of Keras'.

  Our batch norm can be frozen while gamma and beta keep learning, uses the
  batches of all replicas, and is fused on one; our dropout keeps its random
  state where checkpoints save it.
  """
  seeds = itertools.count()

  def batch_norm(axis=-1, momentum=0.99, epsilon=1e-3, name=None):
    del axis  # Always the channels.
    return norm.BatchNorm(momentum, epsilon, name)

  def stochastic_depth(rate, noise_shape=None, name=None):
    return dropout.Dropout(
      rate, next(seeds), name, whole_examples=noise_shape is not None
    )

  replaced = {
    'BatchNormalization': batch_norm,
    'DepthwiseConv2D': conv.DepthwiseConv2D,
    'Dropout': stochastic_depth,
  }
  kept = {name: getattr(keras.layers, name) for name in replaced}
  try:
    for name, make in replaced.items():
      setattr(keras.layers, name, make)
    yield
  finally:
    for name, layer in kept.items():
      setattr(keras.layers, name, layer)


def pad_by_size(encoder: keras.Model) -> None:
  """Replaces padding for even sizes and VALID convolutions by SAME."""
  for layer in encoder._flatten_layers(include_self=False):
    if isinstance(layer, keras.layers.ZeroPadding2D):
      layer.padding = ((0, 0), (0, 0))
    elif isinstance(layer, (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)):
      layer.padding = 'same'


def make_atrous(encoder: keras.Model, output_stride: int) -> None:
  """Trades strides beyond `output_stride` for atrous rates.

  Like `atrous.plan`, but on the graph of a functional model: a layer that gives
  up its stride keeps the rate so far; layers after it get a larger one.

  Args:
    encoder: a functional model; branches that join have the same stride.
    output_stride: the stride of its output.

  Raises:
    ValueError: when its strides do not lead to `output_stride`.
  """
  # (stride, rate) of the output of every layer; the input has (1, 1).
  reached: dict[keras.layers.Layer, tuple[int, int]] = collections.defaultdict(
    lambda: (1, 1)
  )
  for layer in encoder.layers:
    parents = [n.operation for n in layer._inbound_nodes[0].parent_nodes]
    state = reached[parents[0]] if parents else (1, 1)
    for part in layer._flatten_layers():
      if part.built and not list(part._flatten_layers(include_self=False)):
        state = _dilate(part, *state, output_stride)
    reached[layer] = state
  stride = reached[encoder.layers[-1]][0]
  if stride != output_stride:
    raise ValueError(
      f'The strides of {encoder.name} multiply to {stride} only.'
    )


def _dilate(layer, stride, rate, output_stride):
  """Changes one layer; returns (stride, rate) of its output."""
  if type(layer).__name__ == 'Focus':  # It slices out every second pixel.
    return stride * 2, rate
  step = max(_pair(getattr(layer, 'strides', 1)))
  if rate > 1 and max(_pair(getattr(layer, 'kernel_size', 1))) > 1:
    layer.dilation_rate = (rate, rate)
  if step == 1 or stride < output_stride:
    return stride * step, rate
  layer.strides = (1, 1)
  return stride, rate * step


def _pair(value):
  return value if isinstance(value, (tuple, list)) else (value, value)
