"""The one way to predict: evaluation, pictures and exports all use it."""

import dataclasses
import functools
from collections.abc import Sequence

import keras
import tensorflow as tf

from deeplab_contrast.core import resize, tiles


@dataclasses.dataclass(frozen=True)
class Predictor:
  """Class probabilities of whole images, over scales and a mirrored copy.

  As in the original: logits of every pass are resized to the image, and the
  mean is taken over probabilities (predict_labels_multi_scale).

  Attributes:
    scales: factors the images are resized by; (1.0,) is one plain pass.
    flip: whether to add a mirrored pass for every scale.
    prediction_with_upsampled_logits: the original's flag: without it labels
      are decided on the grid of the logits and then resized to the image by
      the nearest pixel, which takes less memory; for one plain pass only.
    tile_size: side of the square tiles that larger images are cut into, in
      pixels, k * 32 + 1; None predicts every image whole. `labels` then needs
      memory for one row of tiles (about three times tile_size x width x classes
      floats) besides that of the network for one tile, whatever the height of
      the image; `probabilities` needs memory for its result.
    overlap: least overlap of neighbouring tiles in pixels, over which one
      fades into the next; None is a quarter of the tile. See `core.tiles`.
  """

  scales: tuple[float, ...] = (1.0,)
  flip: bool = False
  prediction_with_upsampled_logits: bool = True
  tile_size: int | None = None
  overlap: int | None = None

  def __post_init__(self):
    """Refuses invalid scales, passes and tiles."""
    if not self.scales or min(self.scales) <= 0:
      raise ValueError(f'scales is {self.scales}; give at least one, all > 0.')
    is_plain = tuple(self.scales) == (1.0,) and not self.flip
    if not self.prediction_with_upsampled_logits and not is_plain:
      raise ValueError(
        'Without prediction_with_upsampled_logits there is nothing to average '
        f'over: scales is {self.scales}, flip is {self.flip}.'
      )
    self._check_tiles()

  def probabilities(self, model: keras.Model, images: tf.Tensor) -> tf.Tensor:
    """Predicts.

    Args:
      model: a `DeepLab` with a `Classifier`.
      images: [batch, height, width, 3], pixels 0..255, uint8 or float.

    Returns:
      float32 [batch, height, width, classes].
    """
    if self.tile_size is not None:
      return self._by_tiles(model, images, self.tile_size, labels=False)
    return self._whole(model, images)

  def labels(self, model: keras.Model, images: tf.Tensor) -> tf.Tensor:
    """The most probable class, int32 [batch, height, width]."""
    if not self.prediction_with_upsampled_logits:
      logits = model(tf.cast(images, tf.float32), training=False)
      labels = tf.argmax(logits, axis=-1, output_type=tf.int32)
      return resize.labels_nearest(labels, resize.spatial_size(images))
    if self.tile_size is not None:
      return self._by_tiles(model, images, self.tile_size, labels=True)
    # As in the original, a single pass needs no probabilities.
    found = self._whole(model, images, only_order=True)
    return tf.argmax(found, axis=-1, output_type=tf.int32)

  def values(
    self, size: Sequence[int], num_classes: int, labels: bool = True
  ) -> int:
    """The size of the largest array that predicting one image makes.

    The maps inside the network are not counted.

    Args:
      size: (height, width) of the image, ints.
      num_classes: int.
      labels: for `labels`; otherwise for `probabilities`.

    Returns:
      The number of its elements.
    """
    height, width = size
    rows = height
    if labels and self.tile_size is not None:
      rows = min(height, self.tile_size)
    if labels and not self.prediction_with_upsampled_logits:
      rows = 0
    return max(rows * width * num_classes, height * width * 3)

  def _whole(self, model, images, only_order=False):
    """Probabilities; of a single pass, by `only_order`, its logits."""
    images = tf.cast(images, tf.float32)
    passes = [
      self._one_pass(model, images, scale, mirrored)
      for scale in self.scales
      for mirrored in ((False, True) if self.flip else (False,))
    ]
    if len(passes) == 1:
      return passes[0] if only_order else tf.nn.softmax(passes[0])
    return tf.add_n([tf.nn.softmax(x) for x in passes]) / len(passes)

  def _by_tiles(self, model, images, tile_size, labels):
    overlap = tile_size // 4 if self.overlap is None else self.overlap
    rows, columns = (
      tiles.axis(side, tile_size, overlap)
      for side in resize.spatial_size(images)
    )
    predict = functools.partial(self._whole, model)
    classes = model.head.num_classes
    return tiles.blend(predict, images, rows, columns, classes, labels)

  def _one_pass(self, model, images, scale, mirrored):
    """The logits of a pass, at the size of the image."""
    size = resize.spatial_size(images)
    scaled = resize.by_factor(images, scale)
    if mirrored:
      scaled = scaled[:, :, ::-1]
    logits = model(scaled, training=False)
    if mirrored:
      logits = logits[:, :, ::-1]
    if scale != 1.0:
      # The original first resizes all scales to one grid.
      finest = max(1.0, scale) / model.logits_stride
      grid = [resize.scale_dimension(side, finest) for side in size]
      logits = resize.bilinear(logits, grid)
    return resize.bilinear(logits, size)

  def _check_tiles(self):
    """Refuses tiles whose maps would not align with those of the image."""
    size, overlap = self.tile_size, self.overlap
    if size is None:
      if overlap is not None:
        raise ValueError(f'overlap is {overlap}, but there is no tile_size.')
      return
    if size < 2 * tiles.GRID or size % tiles.GRID != 1:
      raise ValueError(
        f'tile_size is {size}; it must be k * {tiles.GRID} + 1, 65 or more, '
        'such as 513.'
      )
    if overlap is not None and not 0 <= overlap <= size - tiles.GRID:
      raise ValueError(
        f'overlap is {overlap}; it must be 0 to {size - tiles.GRID}, '
        f'tile_size {size} less {tiles.GRID}.'
      )
    if not self.prediction_with_upsampled_logits:
      raise ValueError(
        'Without prediction_with_upsampled_logits there is nothing to blend: '
        f'tile_size is {size}.'
      )
