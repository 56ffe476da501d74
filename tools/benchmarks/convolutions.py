"""The convolutions of our network, each timed alone.

Their sum (forward and both gradients) is the time that a step cannot go below
with the kernels at hand.
"""

import time
from typing import NamedTuple

from tools.benchmarks import step_candidates


class Convolution(NamedTuple):
  """One convolution, without its padding where that is explicit.

  Attributes:
    shape: of the input, [batch, height, width, channels].
    filters: of the output.
    size: side of the kernel.
    stride: 1 or 2.
    rate: the dilation.
    padding: 'valid' or 'same'.
    depthwise: whether each channel is convolved alone.
    count: how many the network has of it.
  """

  shape: tuple[int, ...]
  filters: int
  size: int
  stride: int
  rate: int
  padding: str
  depthwise: bool
  count: int = 1


def of_network(arguments):
  """The different convolutions of our network, counted."""
  import keras
  import tensorflow as tf

  from deeplab_contrast.tasks import softmax

  model = step_candidates.network(arguments, softmax.Softmax())
  found = []

  def watched(layer):
    call = layer.call

    def record(inputs):
      found.append(_described(layer, inputs))
      return call(inputs)

    layer.call = record

  kinds = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)
  for layer in model._flatten_layers():
    if isinstance(layer, kinds):
      watched(layer)
  shape = [arguments.batch, arguments.crop, arguments.crop, 3]
  tf.function(model).get_concrete_function(tf.TensorSpec(shape))
  return [x._replace(count=found.count(x)) for x in dict.fromkeys(found)]


def _described(layer, inputs):
  depthwise = hasattr(layer, 'depth_multiplier')
  return Convolution(
    tuple(inputs.shape),
    inputs.shape[-1] if depthwise else layer.filters,
    layer.kernel_size[0],
    layer.strides[0],
    layer.dilation_rate[0],
    layer.padding,
    depthwise,
  )


def convs_tf(arguments):
  """Times them in TensorFlow: its kernels, our form where it has none."""
  import tensorflow as tf

  dtype = tf.bfloat16 if arguments.precision == 'bfloat16' else tf.float32
  runs = []
  for conv in of_network(arguments):
    runs += _tensorflow_runs(conv, dtype, tf)
  return lambda count: [_fastest(run, count) for run in runs]


def _tensorflow_runs(conv, dtype, tf):
  """Functions for forward, input gradient and kernel gradient."""
  if conv.rate > 1:
    return _atrous_runs(conv, dtype, tf)
  shape = conv.shape
  kernel_shape = [conv.size, conv.size, shape[-1], conv.filters]
  if conv.depthwise:
    kernel_shape[-1] = 1
  pixels, kernel = (
    tf.cast(tf.random.stateless_normal(s, (0, 0)), dtype)
    for s in (shape, kernel_shape)
  )
  settings = {
    'strides': [1, conv.stride, conv.stride, 1],
    'padding': conv.padding.upper(),
  }
  ops = tf.raw_ops
  if conv.depthwise:
    forward = lambda: ops.DepthwiseConv2dNative(  # noqa: E731
      input=pixels, filter=kernel, **settings
    )
    by_input = ops.DepthwiseConv2dNativeBackpropInput
    by_kernel = ops.DepthwiseConv2dNativeBackpropFilter
  else:
    forward = lambda: ops.Conv2D(input=pixels, filter=kernel, **settings)  # noqa: E731
    by_input, by_kernel = ops.Conv2DBackpropInput, ops.Conv2DBackpropFilter
  upstream = forward()
  functions = [
    forward,
    lambda: by_input(
      input_sizes=shape, filter=kernel, out_backprop=upstream, **settings
    ),
    lambda: by_kernel(
      input=pixels,
      filter_sizes=kernel_shape,
      out_backprop=upstream,
      **settings,
    ),
  ]
  return [tf.function(f) for f in functions]


def _atrous_runs(conv, dtype, tf):
  """The same in our form, since TensorFlow has no such gradient kernels."""
  from deeplab_contrast.core.network import conv as layers

  settings = {'padding': 'same', 'dilation_rate': conv.rate, 'use_bias': False}
  settings['dtype'] = dtype.name
  if conv.depthwise:
    layer = layers.DepthwiseConv2D(conv.size, **settings)
  else:
    layer = layers.Conv2D(conv.filters, conv.size, **settings)
  pixels = tf.cast(tf.random.stateless_normal(conv.shape, (0, 0)), dtype)
  upstream = layer(pixels)
  weight = layer.trainable_variables[0].value

  def gradient(source):
    # The forward convolution is not needed, and pruned.
    with tf.GradientTape() as tape:
      tape.watch(source)
      output = layer(pixels)
    return tape.gradient(output, source, upstream)

  return [
    tf.function(f)
    for f in (
      lambda: layer(pixels),
      lambda: gradient(pixels),
      lambda: gradient(weight),
    )
  ]


def convs_torch(arguments):
  """Times them in PyTorch, with channels last."""
  import torch

  half = arguments.precision == 'bfloat16'
  dtype = torch.bfloat16 if half else torch.float32
  runs = []
  for conv in arguments.convolutions:
    runs += _torch_runs(Convolution(*conv), dtype, torch)
  return lambda count: [_fastest(run, count) for run in runs]


def _torch_runs(conv, dtype, torch):
  batch, height, width, channels = conv.shape
  groups = channels if conv.depthwise else 1
  last = {'dtype': dtype, 'memory_format': torch.channels_last}
  pixels = torch.randn(batch, channels, height, width).to(**last)
  kernel = torch.randn(conv.filters, channels // groups, conv.size, conv.size)
  kernel = kernel.to(**last)
  side = (conv.size - 1) * conv.rate // 2 if conv.padding == 'same' else 0
  settings = (
    *([conv.stride] * 2, [side] * 2, [conv.rate] * 2),
    *(False, [0, 0], groups),
  )
  forward = lambda: torch.convolution(pixels, kernel, None, *settings)  # noqa: E731
  upstream = forward()
  backward = torch.ops.aten.convolution_backward

  def gradient(*mask):
    with torch.inference_mode():
      backward(upstream, pixels, kernel, None, *settings, [*mask, False])

  return [
    torch.inference_mode()(forward),
    lambda: gradient(True, False),
    lambda: gradient(False, True),
  ]


def _fastest(run, count):
  best = float('inf')
  for _ in range(count):
    start = time.perf_counter()
    run()
    best = min(best, time.perf_counter() - start)
  return best
