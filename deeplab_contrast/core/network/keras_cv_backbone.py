"""Backbones of keras-cv 0.9.0 with the interface of `resnet_v1`.

Features have stride 32, or 16 or 8 with atrous rates; low-level features have
strides 4, 8 and 16. Nothing is downloaded. Differences from keras-cv:

- CSPDarkNet takes even sizes only; odd ones get a row or column of zeros.
- MobileNetV3 and EfficientNetLite, built for unknown sizes, pad as for even
  ones; here they pad for the actual size (TensorFlow's SAME).
- MiT takes square images of one size; here its layers run on maps of any size.
- Batch norm and stochastic depth are ours; see `keras_cv_layers.ours`.

At sizes that keras-cv itself supports, outputs are equal.
"""

import collections
import contextlib
import io
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf
from keras.src.backend.common import global_state

from deeplab_contrast.core import resize
from deeplab_contrast.core.network import (
  atrous,
  dropout,
  keras_cv_layers,
  keras_cv_variants,
  pixels,
)

# Families whose output is not the last layer: EfficientNetLite ends with a
# convolution to 1280 channels, for its image classifier.
_LAST = {'efficientnet': 'block7a_project_bn'}


# Families whose features at a smaller stride contain the native ones, with new
# ones in between.
_ATROUS = ('efficientnet', 'efficientnet_v2', 'resnet_v2')


class KerasCvBackbone(keras.layers.Layer):
  """A backbone of keras-cv as the encoder of a DeepLab.

  Most families get pixels from 0 to 1 (keras-cv's own `include_rescaling`);
  EfficientNetLite gets those of its ImageNet training.

  Args:
    variant: one of `keras_cv_variants.NAMES`, such as 'efficientnet_v2_b0',
      'efficientnet_lite0', 'mobilenet_v3_large', 'csp_darknet_s',
      'resnet_v2_50' or 'mit_b0'.
    output_stride: 32, the native stride; or 16 or 8 for the families in
      `_ATROUS`, whose features atrous rates keep.
    width: multiplies channels, for small machines.
    arguments: of keras-cv's constructor, which override those of the variant.
    normalization: of pixels; 'keras' is what the ImageNet weights of Keras
      Applications expect, for EfficientNetV2 and MobileNetV3; None is as above.

  Raises:
    ValueError: on an unknown variant, a different output stride, or a
      normalization that the variant does not have.
  """

  def __init__(
    self,
    variant: str = 'efficientnet_v2_b0',
    output_stride: int = 32,
    width: float = 1.0,
    arguments: Mapping[str, Any] | None = None,
    normalization: str | None = None,
  ):
    family, size = keras_cv_variants.find(variant)
    atrous.check_output_stride(output_stride)
    if output_stride != 32 and family not in _ATROUS:
      raise ValueError(
        f'output_stride is {output_stride}; {variant} has only its native '
        f'stride, 32 (16 and 8 work for {", ".join(_ATROUS)}).'
      )
    super().__init__(name=variant)
    self.output_stride = output_stride
    self.normalize = _normalize(family, size, normalization)
    self._pads_to_even = family == 'csp_darknet'
    class_name, make_arguments, _, levels = keras_cv_variants.FAMILIES[family]
    arguments = {**make_arguments(size, width), **(arguments or {})}
    with _own_names(['deeplab', 'trunk', variant]):
      backbone = _build(class_name, arguments)
      outputs = [
        backbone.get_layer(backbone.pyramid_level_inputs[level]).output
        for level in levels
      ]
      last = backbone.output
      if family in _LAST:
        last = backbone.get_layer(_LAST[family]).output
      self.encoder = keras.Model(backbone.input, [*outputs, last])
      _make_counters(self.encoder)
    if family in ('mobilenet_v3', 'efficientnet'):
      keras_cv_layers.pad_by_size(self.encoder)
    if output_stride != 32:
      keras_cv_layers.make_atrous(self.encoder, output_stride)
    self._stages = _mit_stages(self.encoder) if family == 'mit' else None

  def call(
    self, images: tf.Tensor, training: bool = False
  ) -> tuple[tf.Tensor, dict[int, tf.Tensor]]:
    """Extracts features.

    Args:
      images: [batch, height, width, 3], normalized pixels.
      training: whether batch norm uses the statistics of the batch.

    Returns:
      Features [batch, h, w, channels] at the output stride, and
      `{4: ..., 8: ..., 16: ...}`, the low-level features up to that.
    """
    if self._stages is not None:
      outputs = _run_mit(self._stages, images, training)
    else:
      if self._pads_to_even:
        images = _to_even(images)
      outputs = self.encoder(images, training=training)
    low = zip((4, 8, 16), outputs, strict=False)
    return outputs[-1], {k: v for k, v in low if k <= self.output_stride}


def _normalize(family, size, normalization):
  """The function that maps pixels 0..255 to what the backbone expects."""
  if normalization is None:
    return pixels.lite if family == 'efficientnet' else pixels.unit_range
  if normalization == 'keras' and family == 'mobilenet_v3':
    return pixels.zero_mean_unit_range
  if normalization == 'keras' and family == 'efficientnet_v2':
    base = size.startswith('b')
    return pixels.standard_scores if base else pixels.half_range
  raise ValueError(
    f"normalization is {normalization!r}; use None, or 'keras' for variants of "
    'efficientnet_v2 and mobilenet_v3.'
  )


def _build(class_name, arguments):
  """The keras-cv model itself."""
  # Only here, since it is slow to import and prints messages.
  printed = io.StringIO()
  with (
    contextlib.redirect_stdout(printed),
    contextlib.redirect_stderr(printed),
  ):
    from keras_cv import models
  with keras_cv_layers.ours():
    return getattr(models, class_name)(include_rescaling=False, **arguments)


@contextlib.contextmanager
def _own_names(scopes):
  """Makes Keras number layers from one, and put variables in the scopes.

  Otherwise it numbers them per process, and a checkpoint of one process would
  not match the network of another.
  """
  key = 'object_name_uids'
  kept = global_state.get_global_attribute(key)
  global_state.set_global_attribute(key, collections.defaultdict(int))
  try:
    with contextlib.ExitStack() as stack:
      for scope in scopes:
        stack.enter_context(keras.name_scope(scope))
      yield
  finally:
    global_state.set_global_attribute(key, kept)


def _inner_layers(model):
  return list(model._flatten_layers(include_self=False))


def _make_counters(encoder):
  """Replaces the stochastic depth of MiT by our own."""
  blocks = 'HierarchicalTransformerEncoder'
  owners = [x for x in _inner_layers(encoder) if _kind(x) == blocks]
  for seed, owner in enumerate(owners):
    old = owner.drop_path
    new = dropout.Dropout(
      old.rate, seed, name=f'{owner.name}_drop', whole_examples=True
    )
    new.build(())
    owner._tracker.unlock()
    owner._layers.remove(old)
    owner.drop_path = new
    owner._tracker.lock()


def _kind(layer):
  return type(layer).__name__


def _to_even(images):
  """Pads odd sizes with zeros at the bottom and at the right."""
  height, width = resize.spatial_size(images)
  return tf.pad(images, [[0, 0], [0, height % 2], [0, width % 2], [0, 0]])


def _mit_stages(encoder):
  """Lists (patch embedding, transformer blocks, final norm) of every stage."""
  layers = encoder.layers
  patches = [x for x in layers if _kind(x) == 'OverlappingPatchingAndEmbedding']
  norms = [x for x in layers if isinstance(x, keras.layers.LayerNormalization)]
  return [
    (
      patch,
      [x for x in layers if x.name.startswith(f'hierarchical_encoder_{i}_')],
      norm,
    )
    for i, (patch, norm) in enumerate(zip(patches, norms, strict=True))
  ]


def _run_mit(stages, images, training):
  """The model's computation, but always on maps [batch, h, w, channels].

  Keras-cv flattens them to sequences, and reshapes those to squares again.
  """
  net, outputs = images, []
  for patch, blocks, norm in stages:
    net = patch.norm(patch.proj(net))
    for block in blocks:
      attended = _attention(block.attn, block.norm1(net))
      net += block.drop_path(attended, training=training)
      mixed = _mix(block.mlp, block.norm2(net))
      net += block.drop_path(mixed, training=training)
    net = norm(net)
    outputs.append(net)
  return outputs


def _mix(layer, net):
  """The feed-forward block: Dense, depthwise convolution, GELU, Dense."""
  return layer.fc2(tf.nn.gelu(layer.dwconv(layer.fc1(net)), approximate=True))


def _attention(layer, net):
  """Attention of all pixels to a coarser map (SegFormer)."""
  batch = tf.shape(net)[0] if net.shape[0] is None else net.shape[0]
  height, width = resize.spatial_size(net)
  channels = net.shape[-1]
  heads = layer.num_heads

  def split(x):  # To [batch, heads, pixels, channels / heads].
    x = tf.reshape(x, [batch, -1, heads, channels // heads])
    return tf.transpose(x, [0, 2, 1, 3])

  coarse = tf.reshape(net, [batch, -1, channels])
  if layer.sr_ratio > 1:
    # Keras-cv 0.9.0 reads the transposed sequence as a map, which mixes pixels
    # and channels; kept, so that weights trained with it stay valid.
    coarse = tf.reshape(
      tf.transpose(coarse, [0, 2, 1]), [batch, height, width, channels]
    )
    coarse = tf.reshape(layer.sr(coarse), [batch, channels, -1])
    coarse = layer.norm(tf.transpose(coarse, [0, 2, 1]))
  scores = tf.matmul(
    split(layer.q(net)), split(layer.k(coarse)), transpose_b=True
  )
  attended = tf.matmul(
    tf.nn.softmax(scores * layer.scale), split(layer.v(coarse))
  )
  attended = tf.transpose(attended, [0, 2, 1, 3])
  return layer.proj(tf.reshape(attended, [batch, height, width, channels]))
