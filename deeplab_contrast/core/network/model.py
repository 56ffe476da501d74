"""DeepLabV3+: a trunk (backbone, ASPP, decoder) and a head."""

from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from deeplab_contrast.core import resize
from deeplab_contrast.core.network import aspp as aspp_lib
from deeplab_contrast.core.network import decoder as decoder_lib
from deeplab_contrast.core.network import heads, norm, original_names


class Trunk(keras.layers.Layer):
  """Pixels to features: everything that pretraining passes on.

  Args:
    backbone: `features, low = backbone(images)`, with an `output_stride` and a
      `normalize` of pixels. See `core.network.resnet_v1`.
    aspp: builds the ASPP, given `output_stride`.
    decoder: builds the decoder.
    aspp_with_batch_norm: the original's name for having an ASPP at all; without
      it the head has atrous rates, see `core.network.heads.Classifier`.
    fine_tune_batch_norm: whether batch norm uses and updates the statistics of
      batches in training, or keeps its initial ones. Scale and offset are
      trained either way.
    freeze_backbone_norm: whether the backbone alone keeps its initial ones:
      those of pretrained weights, with small batches.
  """

  def __init__(
    self,
    backbone: keras.layers.Layer,
    aspp: Callable[..., aspp_lib.ASPP] = aspp_lib.ASPP,
    decoder: Callable[[], decoder_lib.Decoder] = decoder_lib.Decoder,
    aspp_with_batch_norm: bool = True,
    fine_tune_batch_norm: bool = True,
    freeze_backbone_norm: bool = False,
  ):
    super().__init__(name='trunk')
    self.backbone = backbone
    self.aspp = None
    if aspp_with_batch_norm:
      self.aspp = aspp(output_stride=backbone.output_stride)
    self.decoder = decoder()
    self.stride = (self.decoder.strides or (backbone.output_stride,))[-1]
    self.fine_tune_batch_norm = fine_tune_batch_norm
    if not fine_tune_batch_norm:
      _freeze(self._flatten_layers(include_self=False))
    elif freeze_backbone_norm:
      _freeze(backbone._flatten_layers(include_self=False))

  def call(
    self,
    images: tf.Tensor,
    training: bool = False,
    perturb: Callable[[tf.Tensor, int], tf.Tensor] | None = None,
  ) -> tf.Tensor:
    """Maps pixels to features.

    Args:
      images: float [batch, height, width, 3], 0..255.
      training: whether dropout is active and batch norm uses the statistics of
        the batch.
      perturb: changes the outputs of the backbone, [batch, h, w, channels],
        given the tensor and its stride (0 for the last one).

    Returns:
      [batch, (height - 1) / stride + 1, ..., channels].
    """
    images = tf.cast(images, tf.float32)
    pixels = tf.cast(self.backbone.normalize(images), self.compute_dtype)
    features, low = self.backbone(pixels, training=training)
    if perturb is not None:
      features = perturb(features, 0)
      low = {stride: perturb(x, stride) for stride, x in low.items()}
    if self.aspp is not None:
      features = self.aspp(features, training=training)
    size = tuple(resize.spatial_size(images))
    return self.decoder(features, low, size=size, training=training)


class DeepLab(keras.Model):
  """A network that takes pixels: trunk and head.

  Args:
    trunk: a `Trunk`.
    head: `core.network.heads.Classifier` or `core.network.heads.Projection`.
    image_pyramid: scales at which the network sees the image, the original's
      flag; None means (1.0,).
    merge_method: how to merge logits of several scales, 'max' or 'avg'.
    projection: a second head, which some tasks train; the model's output does
      not depend on it.

  Raises:
    ValueError: if trunk and head do not match, or merge_method is unknown.
  """

  def __init__(
    self,
    trunk: Trunk,
    head: keras.layers.Layer,
    image_pyramid: Sequence[float] | None = None,
    merge_method: str = 'max',
    projection: keras.layers.Layer | None = None,
  ):
    super().__init__(name='deeplab')
    self.trunk = trunk
    self.head = head
    self.projection = projection
    self.image_pyramid = tuple(image_pyramid or (1.0,))
    self.merge_method = merge_method
    self.trunk_gives_logits = trunk.decoder.output_is_logits
    _check(self)

  @property
  def logits_stride(self) -> int:
    """The stride of the head's input relative to the image."""
    return self.trunk.stride

  def call(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
    """Maps pixels 0..255 [batch, height, width, 3] to the head's output.

    Over several scales, logits are merged as in the original's
    `multi_scale_logits`.
    """
    if self.image_pyramid == (1.0,):
      return self._at_one_scale(images, training)
    return self.logits_of_scales(images, training)['merged_logits']

  def logits_of_scales(
    self, images: tf.Tensor, training: bool = False
  ) -> dict[str, tf.Tensor]:
    """The logits of every scale, and their merge.

    Args:
      images: [batch, height, width, 3], pixels 0..255.
      training: see `Trunk`.

    Returns:
      {name: float32 [batch, h, w, classes]}, all with the size of the largest
      scale, at least that of scale 1; named as in the original:
      'merged_logits' and, with several scales, 'logits_0.50' and so on.
    """
    size = resize.spatial_size(images)
    finest = max(1.0, *self.image_pyramid) / self.logits_stride
    grid = [resize.scale_dimension(side, finest) for side in size]
    logits = {
      f'logits_{scale:.2f}': resize.bilinear(
        self._at_one_scale(resize.by_factor(images, scale), training), grid
      )
      for scale in self.image_pyramid
    }
    if len(logits) == 1:
      return {'merged_logits': next(iter(logits.values()))}
    stacked = tf.stack(list(logits.values()))
    merge = tf.reduce_max if self.merge_method == 'max' else tf.reduce_mean
    return {**logits, 'merged_logits': merge(stacked, axis=0)}

  def _at_one_scale(self, images, training):
    features = self.trunk(images, training=training)
    if self.trunk_gives_logits:
      return tf.cast(features, tf.float32)
    return self.head(features, training=training)

  def build_variables(self) -> None:
    """Creates all variables; call it inside the strategy's scope."""
    # Keras builds a layer that contains others by tracing its call twice, at
    # every level. One real call creates the same variables three times as fast.
    for layer in self._flatten_layers():
      if getattr(layer.build, '_is_default', False):
        layer.built = True
    # The smallest image with two pixels at every stride.
    image = tf.zeros([1, 65, 65, 3])
    self(image, training=False)
    if self.projection is not None:
      self.projection(self.trunk(image, training=False))

  def decayed_kernels(self) -> list[keras.Variable]:
    """Variables under weight decay: convolution kernels, except depthwise ones.

    As in the original: no biases, no batch norm, no depthwise kernels. The
    Dense layers of keras-cv backbones are 1x1 convolutions; some layers of
    those backbones are not used here and never built.
    """
    kinds = (keras.layers.Conv2D, keras.layers.Dense)
    layers = self._flatten_layers(include_self=False)
    return [x.kernel for x in layers if isinstance(x, kinds) and x.built]

  def gradient_multipliers(
    self, multiplier: float = 1.0, logits_only: bool = False
  ) -> list[float]:
    """The gradient's factor for each trainable variable; see `original_names`.

    Args:
      multiplier: the original's last_layer_gradient_multiplier.
      logits_only: the original's last_layers_contain_logits_only.

    Returns:
      A list of floats, in the order of `trainable_variables`.
    """
    layers = (
      original_names.LOGITS_ONLY if logits_only else original_names.EXTRA_LAYERS
    )
    return [
      original_names.gradient_multiplier(v.path, multiplier, layers)
      for v in self.trainable_variables
    ]


def _freeze(layers):
  """Makes batch norm keep its initial statistics."""
  for layer in layers:
    if isinstance(layer, norm.BatchNorm):
      layer.is_frozen = True
    elif isinstance(layer, keras.layers.BatchNormalization):
      # From keras-cv; Keras can only freeze the whole layer.
      layer.trainable = False


def _check(model):
  if model.merge_method not in ('max', 'avg'):
    raise ValueError(
      f"merge_method is {model.merge_method!r}; known: 'max', 'avg'."
    )
  classifies = isinstance(model.head, heads.Classifier)
  if model.image_pyramid != (1.0,) and not classifies:
    raise ValueError(
      f'image_pyramid is {model.image_pyramid}; only logits can be merged over '
      'scales, and this head has none.'
    )
  if not model.trunk_gives_logits:
    return
  decoder = model.trunk.decoder
  if not (classifies and decoder.filters == model.head.num_classes):
    classes = model.head.num_classes if classifies else 'no'
    raise ValueError(
      'decoder_output_is_logits needs a classifier, and decoder_filters equal '
      f'to the number of classes; here there are {decoder.filters} filters and '
      f'{classes} classes.'
    )
