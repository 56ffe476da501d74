"""FLOPs, atrous rates and receptive fields of a TensorFlow graph.

TensorFlow's own profiler miscounts dilated depthwise convolutions, since they
run on rearranged and padded maps.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

_CONVOLUTIONS = ('Conv2D', 'DepthwiseConv2dNative')
_POOLS = ('MaxPool', 'AvgPool')
_PRODUCTS = ('BatchMatMulV2', 'BatchMatMul')


@dataclasses.dataclass(frozen=True)
class View:
  """The receptive field of a pixel of a feature map, along each side.

  Attributes:
    size: in pixels of the input; infinite for the whole image.
    step: between neighbouring pixels of the map, in pixels of the input.
  """

  size: float
  step: float


def trace(function: Callable[..., Any], *shapes: Any) -> tuple[tf.Graph, Any]:
  """The graph of a function of float32 tensors.

  Args:
    function: takes tensors, or dicts of them.
    *shapes: shapes of its arguments, fully known: tuples, or dicts of tuples.

  Returns:
    (graph, outputs): a `FuncGraph` and its symbolic outputs, nested as the
    function returned them.
  """
  specs = _specs(shapes)
  concrete = tf.function(function, autograph=False).get_concrete_function(
    *specs
  )
  return concrete.graph, concrete.graph.structured_outputs


def flops(graph: tf.Graph) -> int:
  """Floating-point operations of convolutions and matrix products.

  A multiply-add counts as 2. Everything else (normalization, activations,
  resizing, pooling) is left out.

  Args:
    graph: with fully known shapes.
  """
  return sum(_flops(operation) for operation in graph.get_operations())


def first_convolution(graph: tf.Graph) -> tf.Tensor:
  """The output of the first convolution of a graph."""
  found = [op for op in graph.get_operations() if op.type == 'Conv2D']
  return found[0].outputs[0]


def atrous_rates(graph: tf.Graph) -> list[int]:
  """The sorted rates above 1 of the convolutions of a graph."""
  rates = {max(_rates(operation)) for operation in graph.get_operations()}
  return sorted(rates - {1})


def receptive_field(output: tf.Tensor, source: tf.Tensor) -> View:
  """The receptive field of a feature map.

  Args:
    output: symbolic tensor of the map.
    source: symbolic tensor of the input, a placeholder.

  Returns:
    A `View`.

  Raises:
    KeyError: when the map does not depend on the input.
  """
  views = {source.ref(): View(1.0, 1.0)}
  for operation in output.graph.get_operations():
    seen = [views[x.ref()] for x in operation.inputs if x.ref() in views]
    if not seen:
      continue
    widest = View(max(v.size for v in seen), max(v.step for v in seen))
    for result in operation.outputs:
      views[result.ref()] = _through(operation, widest)
  return views[output.ref()]


def _specs(shapes):
  return [
    {key: tf.TensorSpec(value) for key, value in shape.items()}
    if isinstance(shape, dict)
    else tf.TensorSpec(shape)
    for shape in shapes
  ]


def _flops(operation):
  if operation.type in _CONVOLUTIONS:
    height, width, channels, _ = operation.inputs[1].shape
    area = height * width
    if operation.type == 'Conv2D':
      area *= channels
    return 2 * area * _true_output(operation).shape.num_elements()
  if operation.type == 'MatMul':
    rows = 0 if operation.get_attr('transpose_a') else 1
    inner = operation.inputs[0].shape[rows]
    return 2 * inner * operation.outputs[0].shape.num_elements()
  if operation.type in _PRODUCTS:
    inner = operation.inputs[0].shape[-2 if operation.get_attr('adj_x') else -1]
    return 2 * inner * operation.outputs[0].shape.num_elements()
  return 0


def _true_output(operation):
  """The output of a convolution, without the padding for its rate."""
  output = operation.outputs[0]
  for consumer in output.consumers():
    if consumer.type == 'BatchToSpaceND':
      return consumer.outputs[0]
  return output


def _rates(operation):
  """Vertical and horizontal atrous rate of an operation."""
  if operation.type in _CONVOLUTIONS:
    return tuple(operation.get_attr('dilations')[1:3])
  if operation.type == 'SpaceToBatchND':
    return tuple(int(x) for x in _constant(operation.inputs[1]))
  return 1, 1


def _constant(tensor):
  return np.asarray(tf.get_static_value(tensor))


def _through(operation, view):
  """The view after an operation; the larger one of both sides."""
  if operation.type in _CONVOLUTIONS:
    kernel = max(operation.inputs[1].shape[:2])
    reach = (kernel - 1) * max(_rates(operation))
    stride = max(operation.get_attr('strides')[1:3])
    return View(view.size + reach * view.step, view.step * stride)
  if operation.type in _POOLS:
    reach = max(operation.get_attr('ksize')[1:3]) - 1
    stride = max(operation.get_attr('strides')[1:3])
    return View(view.size + reach * view.step, view.step * stride)
  if operation.type == 'SpaceToBatchND':
    return View(view.size, view.step * max(_rates(operation)))
  if operation.type == 'BatchToSpaceND':
    return View(view.size, view.step / max(_constant(operation.inputs[1])))
  if operation.type == 'StridedSlice':
    return _sliced(operation, view)
  if operation.type == 'Mean' or operation.type in _PRODUCTS:
    # Image pooling, squeeze and excitation, attention.
    return View(math.inf, view.step)
  return view


def _sliced(operation, view):
  """The view after a strided slice of a map, `x[:, a::b]`."""
  if len(operation.inputs[0].shape) != 4:
    return view
  first, strides = _constant(operation.inputs[1]), operation.inputs[3]
  stride = max(_constant(strides)[1:3], default=1)
  skipped = max(first[1:3], default=0)
  return View(view.size + skipped * view.step, view.step * stride)
