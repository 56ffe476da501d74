"""The decoder of DeepLabV3+, deeplab/model.py of the original."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from deeplab_contrast.core import resize
from deeplab_contrast.core.network import conv

_LOW_LEVEL_FILTERS = 48


class Decoder(keras.layers.Layer):
  """Refines features stage by stage with low-level features.

  Arguments have the names and defaults of the original's flags, except for
  `decoder_output_stride`: by default the original has no decoder (DeepLabV3).

  Args:
    decoder_output_stride: strides of the stages, from coarse to fine; None or
      () leaves the decoder out.
    decoder_filters: channels of the convolutions.
    decoder_use_separable_conv: split separable 3x3 convolutions rather than
      plain ones.
    decoder_use_sum_merge: adds the low-level features to one convolution,
      rather than applying two convolutions to the concatenation of both.
    decoder_output_is_logits: 1x1 convolutions without batch norm and
      activation, one filter per class: no logits layer follows.
    use_bounded_activation: ReLU6 rather than ReLU.
    batch_norm_decay: share of the old moving statistics kept at an update.

  Raises:
    ValueError: when strides do not descend or are not 4, 8 or 16, or logits
      are requested from two convolutions.
  """

  def __init__(
    self,
    decoder_output_stride: Sequence[int] | None = (4,),
    decoder_filters: int = 256,
    decoder_use_separable_conv: bool = True,
    decoder_use_sum_merge: bool = False,
    decoder_output_is_logits: bool = False,
    use_bounded_activation: bool = False,
    batch_norm_decay: float = 0.9997,
  ):
    super().__init__(name='decoder')
    self.strides = tuple(decoder_output_stride or ())
    _check(self.strides)
    self.filters = decoder_filters
    self.sums = decoder_use_sum_merge
    self.output_is_logits = decoder_output_is_logits
    self.separable = decoder_use_separable_conv and not decoder_output_is_logits
    relu = tf.nn.relu6 if use_bounded_activation else tf.nn.relu
    self._shared: dict[str, Any] = {
      'activation': None if decoder_output_is_logits else relu,
      'momentum': batch_norm_decay,
    }
    # As in the original, only the stages after the first are numbered.
    endings = ['' if i == 0 else f'_{i}' for i in range(len(self.strides))]
    self.projections = [self._project(ending) for ending in endings]
    self.stages = [self._make_stage(ending) for ending in endings]

  def _project(self, ending):
    filters = self.filters if self.sums else _LOW_LEVEL_FILTERS
    return self._conv(1, f'feature_projection0{ending}', filters)

  def _make_stage(self, ending):
    """The convolutions of a stage; a list of one or two."""
    if self.sums:
      if self.separable:
        return [self._separable(f'decoder_split_sep_conv0{ending}')]
      kernel_size = 1 if self.output_is_logits else 3
      return [self._conv(kernel_size, f'decoder_conv0{ending}')]
    if self.separable:
      return [self._separable(f'decoder_conv{i}{ending}') for i in range(2)]
    scope = f'decoder_conv0{ending}'
    # slim.repeat puts the two into their own scope.
    return [self._conv(3, f'{scope}.{scope}_{i}') for i in (1, 2)]

  def _conv(self, kernel_size, name, filters=None):
    return conv.ConvNorm(
      filters or self.filters,
      kernel_size,
      normalize=not self.output_is_logits,
      initializer=keras.initializers.GlorotUniform(),
      name=name,
      **self._shared,
    )

  def _separable(self, name):
    return conv.SeparableConvNorm(self.filters, name, **self._shared)

  def call(
    self,
    features: tf.Tensor,
    low: Mapping[int, tf.Tensor],
    size: Sequence[int | tf.Tensor],
    training: bool = False,
  ) -> tf.Tensor:
    """Refines features.

    Args:
      features: [batch, h, w, c], the ASPP output.
      low: {stride: [batch, h', w', c']}, low-level features of the backbone.
      size: (height, width) of the image.
      training: whether batch norm uses the statistics of the batch.

    Returns:
      [batch, (size[0] - 1) / stride + 1, ..., filters] at the last stride.
    """
    for stride, projection, convs in zip(
      self.strides, self.projections, self.stages, strict=True
    ):
      grid = [resize.scale_dimension(side, 1.0 / stride) for side in size]
      projected = projection(low[stride], training=training)
      features, projected = _to_size(features, grid), _to_size(projected, grid)
      if not self.sums:
        features = tf.concat([features, projected], axis=-1)
      for layer in convs:
        features = layer(features, training=training)
      if self.sums:
        features += projected
    return features


def _check(strides):
  if any(stride not in (4, 8, 16) for stride in strides):
    raise ValueError(
      f'decoder_output_stride is {strides}; low-level features have strides '
      '16, 8 and 4.'
    )
  if any(a <= b for a, b in zip(strides, strides[1:], strict=False)):
    raise ValueError(
      f'decoder_output_stride is {strides}; list strides from coarse to fine.'
    )


def _to_size(features, size):
  if tuple(features.shape[1:3]) == tuple(size):
    return features
  return tf.cast(resize.bilinear(features, size), features.dtype)
