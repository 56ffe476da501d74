"""The parts of a network as numbers: weights, costs, sizes of maps."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import keras
import tensorflow as tf

from deeplab_contrast.core import resize
from deeplab_contrast.core.network import graph_costs, heads


@dataclasses.dataclass(frozen=True)
class Stop:
  """A map on the way.

  Attributes:
    name: what it is.
    size: (height, width, channels).
    stride: from the image, nominal.
  """

  name: str
  size: tuple[int, int, int]
  stride: int


@dataclasses.dataclass(frozen=True)
class Pass:
  """One image going through a network.

  Attributes:
    size: (height, width) of the image.
    flops: of convolutions and matrix products by part, forward; a multiply-add
      counts as 2. Over an image pyramid, those of all scales.
    stops: in order; at scale 1 of an image pyramid.
    atrous_rates: {part: rates above 1}, where there are some.
    receptive_field: of the backbone's features in pixels, along a side; None
      where every pixel sees the whole image.
  """

  size: tuple[int, int]
  flops: Mapping[str, int]
  stops: Sequence[Stop]
  atrous_rates: Mapping[str, Sequence[int]]
  receptive_field: int | None


def weights(model: keras.Model) -> dict[str, dict[str, int]]:
  """Numbers of weights by part.

  Args:
    model: a built `DeepLab`.

  Returns:
    {part: {'trainable': int, 'fixed': int, 'bytes': int}}; fixed ones are the
    statistics of batch norm.
  """
  return {name: _count(layer) for name, layer in _layers(model).items()}


def one_pass(
  model: keras.Model, size: Sequence[int], scale: float = 1.0
) -> Pass:
  """Follows one image through the network, without computing anything.

  Args:
    model: a built `DeepLab`.
    size: (height, width) of the image.
    scale: factor it is resized by before.

  Returns:
    A `Pass`.
  """
  size = tuple(resize.scale_dimension(side, scale) for side in size)
  flops = dict.fromkeys(_layers(model), 0)
  for scale in model.image_pyramid:
    scaled = [resize.scale_dimension(side, scale) for side in size]
    for name, (graph, _) in _trace(model, scaled).items():
      flops[name] += graph_costs.flops(graph)
  traced = _trace(model, size)
  rates = {
    name: graph_costs.atrous_rates(graph) for name, (graph, _) in traced.items()
  }
  return Pass(
    size=size,
    flops=flops,
    stops=_stops(model, size, traced),
    atrous_rates={name: found for name, found in rates.items() if found},
    receptive_field=_receptive_field(*traced['backbone']),
  )


def _layers(model):
  """{name: layer} of the parts, in order."""
  trunk = model.trunk
  parts = {
    'backbone': trunk.backbone,
    'aspp': trunk.aspp,
    'decoder': trunk.decoder if trunk.decoder.strides else None,
    'head': None if model.trunk_gives_logits else model.head,
  }
  return {name: layer for name, layer in parts.items() if layer is not None}


def _count(layer):
  # Not the counters of dropout layers.
  fixed = [v for v in layer.non_trainable_variables if 'float' in v.dtype]
  trainable = layer.trainable_variables
  return {
    'trainable': sum(math.prod(v.shape) for v in trainable),
    'fixed': sum(math.prod(v.shape) for v in fixed),
    'bytes': sum(
      math.prod(v.shape) * tf.as_dtype(v.dtype).size
      for v in (*trainable, *fixed)
    ),
  }


def _trace(model, size):
  """{part: (graph, outputs)} for one image of a size, in order."""
  layers, size, trunk = _layers(model), tuple(size), model.trunk

  def given(tensor):  # As between the layers of the trunk.
    return tf.cast(tensor, trunk.compute_dtype)

  def decode(features, low):
    low = {int(stride): given(x) for stride, x in low.items()}
    return trunk.decoder(given(features), low, size=size)

  traced = {
    'backbone': graph_costs.trace(
      lambda x: trunk.backbone(given(x)), (1, *size, 3)
    )
  }
  features, low = traced['backbone'][1]
  low = {str(stride): x.shape for stride, x in low.items()}
  steps = {
    'aspp': (lambda x: trunk.aspp(given(x)), ()),
    'decoder': (decode, (low,)),
    'head': (lambda x: model.head(given(x)), ()),
  }
  for name, (function, more) in steps.items():
    if name in layers:
      traced[name] = graph_costs.trace(function, features.shape, *more)
      features = traced[name][1]
  return traced


def _receptive_field(graph, outputs):
  view = graph_costs.receptive_field(outputs[0], graph.inputs[0])
  return None if math.isinf(view.size) else round(view.size)


def _stops(model, size, traced):
  """The maps on the way, as a list."""
  backbone, trunk = model.trunk.backbone, model.trunk
  graph, (features, low) = traced['backbone']
  root = _root(backbone, graph, size)
  stops = [_stop('root', root, round((size[0] - 1) / max(root[1] - 1, 1)))]
  stops += [
    _stop(f'low-level {stride}', x.shape, stride) for stride, x in low.items()
  ]
  stops.append(_stop('backbone', features.shape, backbone.output_stride))
  last, stride = features.shape, backbone.output_stride
  for name in ('aspp', 'decoder', 'head'):
    if name in traced:
      last = traced[name][1].shape
      stride = stride if name == 'aspp' else trunk.stride
      if name == 'head':
        stride = round((size[0] - 1) / max(last[1] - 1, 1))
        name = _name_of_output(model)
      stops.append(_stop(name, last, stride))
  return stops


def _stop(name, shape, stride):
  return Stop(name, tuple(shape[1:]), stride)


def _name_of_output(model):
  is_classifier = isinstance(model.head, heads.Classifier)
  return 'logits' if is_classifier else 'embedding'


def _root(backbone, graph, size):
  """The shape of what the root gives; without one, the first convolution."""
  if not hasattr(backbone, 'root'):
    return graph_costs.first_convolution(graph).shape
  layers = backbone.root if isinstance(backbone.root, list) else [backbone.root]

  def run(x):
    x = tf.cast(x, backbone.compute_dtype)
    for layer in layers:
      x = layer(x)
    return x

  return graph_costs.trace(run, (1, *size, 3))[1].shape
