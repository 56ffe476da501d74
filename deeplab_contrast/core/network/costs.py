"""What backbone, ASPP, decoder and head cost: weights, FLOPs, feature maps.

Tables have a row for each of these layers that the network has, named
'backbone', 'aspp', 'decoder' and 'head'.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from deeplab_contrast.core import resize
from deeplab_contrast.core.network import graph_costs, heads


@dataclasses.dataclass(frozen=True)
class FeatureMap:
  """The output of a layer.

  Attributes:
    name: such as 'backbone', 'low-level 4' or 'logits'.
    size: (height, width, channels).
    stride: relative to the image, nominal.
  """

  name: str
  size: tuple[int, int, int]
  stride: int


@dataclasses.dataclass(frozen=True)
class Pass:
  """A forward pass of one image.

  Attributes:
    size: (height, width) of the image.
    flops: {layer: of its convolutions and matrix products}; a multiply-add
      counts as 2. With an image pyramid, those of all scales.
    feature_maps: in order; at scale 1 of an image pyramid.
    atrous_rates: {layer: rates above 1}, for layers that have any; without
      those that reach beyond the map of this size.
    receptive_field: side of the square, in pixels, that the backbone's features
      see; None if it is the whole image.
  """

  size: tuple[int, int]
  flops: Mapping[str, int]
  feature_maps: Sequence[FeatureMap]
  atrous_rates: Mapping[str, Sequence[int]]
  receptive_field: int | None


def weights(model: keras.Model) -> dict[str, dict[str, int]]:
  """The numbers of weights of each layer.

  Args:
    model: a built `DeepLab`.

  Returns:
    {layer: {'trainable': int, 'fixed': int, 'bytes': int}}; fixed weights are
    the statistics of batch norm.
  """
  return {name: _count(layer) for name, layer in _layers(model).items()}


def one_pass(
  model: keras.Model, size: Sequence[int], scale: float = 1.0
) -> Pass:
  """Traces one image through the network, without computing anything.

  Args:
    model: a built `DeepLab`.
    size: (height, width) of the image.
    scale: factor by which the image is resized first.

  Returns:
    A `Pass`.
  """
  height, width = (resize.scale_dimension(side, scale) for side in size)
  size = height, width
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
    feature_maps=_feature_maps(model, size, traced),
    atrous_rates={name: found for name, found in rates.items() if found},
    receptive_field=_receptive_field(*traced['backbone']),
  )


def _layers(model):
  """{name: layer}, in order."""
  trunk = model.trunk
  layers = {
    'backbone': trunk.backbone,
    'aspp': trunk.aspp,
    'decoder': trunk.decoder if trunk.decoder.strides else None,
    'head': None if model.trunk_gives_logits else model.head,
  }
  return {name: layer for name, layer in layers.items() if layer is not None}


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
  """{layer: (graph, outputs)} for one image of a size, in order."""
  layers, size, trunk = _layers(model), tuple(size), model.trunk

  def given(tensor):  # As the trunk passes tensors between its layers.
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
  steps: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
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


def _feature_maps(model, size, traced):
  backbone, trunk = model.trunk.backbone, model.trunk
  graph, (features, low) = traced['backbone']
  root = _root(backbone, graph, size)
  maps = [_map('root', root, round((size[0] - 1) / max(root[1] - 1, 1)))]
  maps += [
    _map(f'low-level {stride}', x.shape, stride) for stride, x in low.items()
  ]
  maps.append(_map('backbone', features.shape, backbone.output_stride))
  last, stride = features.shape, backbone.output_stride
  for name in ('aspp', 'decoder', 'head'):
    if name in traced:
      last = traced[name][1].shape
      stride = stride if name == 'aspp' else trunk.stride
      if name == 'head':
        stride = round((size[0] - 1) / max(last[1] - 1, 1))
        name = _name_of_output(model)
      maps.append(_map(name, last, stride))
  return maps


def _map(name, shape, stride):
  return FeatureMap(name, tuple(shape[1:]), stride)


def _name_of_output(model):
  is_classifier = isinstance(model.head, heads.Classifier)
  return 'logits' if is_classifier else 'embedding'


def _root(backbone, graph, size):
  """The shape of the root's output, or else of the first convolution's."""
  if not hasattr(backbone, 'root'):
    return graph_costs.first_convolution(graph).shape
  layers = backbone.root if isinstance(backbone.root, list) else [backbone.root]

  def run(x):
    x = tf.cast(x, backbone.compute_dtype)
    for layer in layers:
      x = layer(x)
    return x

  return graph_costs.trace(run, (1, *size, 3))[1].shape
