"""Resizing by the original's convention: corners of input and output align.

Every size is k * stride + 1, so that each pixel of a smaller map coincides with
a pixel of the larger one. (The original: deeplab/core/utils.py.)
"""

from collections.abc import Sequence
from typing import TypeAlias

import tensorflow as tf

# A side of an image in pixels; a tensor in graphs that take any size.
Side: TypeAlias = int | tf.Tensor


def scale_dimension(size: Side, scale: float) -> Side:
  """Scales a k * stride + 1 size: 513 * 1/4 gives 129, not 128.

  Args:
    size: int, or int32 tensor, the number of pixels of one side.
    scale: float.

  Returns:
    An int for an int, an int32 tensor for a tensor.
  """
  if isinstance(size, int):
    return int((float(size) - 1.0) * scale + 1.0)
  # In the precision of a Python float: 361 * 0.7 gives 252 either way.
  size = tf.cast(size, tf.float64)
  return tf.cast((size - 1.0) * scale + 1.0, tf.int32)


def fitting_size(size: Side, stride: int) -> Side:
  """The smallest k * stride + 1 size that is not below a side.

  Args:
    size: int, or int32 tensor, 1 or more.
    stride: int, of the network.

  Returns:
    An int for an int, an int32 tensor for a tensor.
  """
  return (size + stride - 2) // stride * stride + 1


def fitting_sizes(size: int, stride: int) -> tuple[int, int]:
  """The nearest k * stride + 1 sizes of a side, below (or equal) and above.

  Args:
    size: the number of pixels of the side.
    stride: stride of the network.

  Returns:
    (below, above), both equal to `size` if it fits.
  """
  below = max(size - 1, 0) // stride * stride + 1
  return below, fitting_size(size, stride)


def misfit_note(size: Sequence[int], stride: int) -> str | None:
  """A line about a crop whose feature maps do not align at the corners.

  Args:
    size: (height, width) of the crop.
    stride: the output stride of the backbone.

  Returns:
    The line, or None where both sides are k * stride + 1.
  """
  misfits = []
  for name, side in zip(('height', 'width'), size, strict=True):
    below, above = fitting_sizes(side, stride)
    if below != side:
      sizes = f'{below} or {above}' if below > 1 else f'{above}'
      misfits.append(f'{name} {sizes}')
  if not misfits:
    return None
  return (
    f'Note: the training crop {tuple(size)} is not k * {stride} + 1 (the output'
    f' stride); it works, but {" and ".join(misfits)} would fit exactly.'
  )


def bilinear(images: tf.Tensor, size: Sequence[Side] | tf.Tensor) -> tf.Tensor:
  """Resizes images bilinearly, corners aligned.

  Args:
    images: [batch, height, width, channels], any float type or uint8.
    size: (height, width), ints or int32 tensors.

  Returns:
    float32 [batch, size[0], size[1], channels].
  """
  if _has_size(images, size):
    return tf.cast(images, tf.float32)
  return tf.raw_ops.ResizeBilinear(
    images=images, size=tf.stack(size), align_corners=True
  )


def _has_size(images, size):
  """Whether images are known to have a size."""
  is_known = not tf.is_tensor(size) and all(isinstance(x, int) for x in size)
  return is_known and tuple(images.shape[1:3]) == tuple(size)


def by_factor(images: tf.Tensor, scale: float) -> tf.Tensor:
  """Resizes [batch, height, width, c] to `scale_dimension` of its sides."""
  if scale == 1.0:
    return images
  size = [scale_dimension(side, scale) for side in spatial_size(images)]
  return bilinear(images, size)


def nearest(images: tf.Tensor, size: Sequence[Side] | tf.Tensor) -> tf.Tensor:
  """Resizes to the nearest pixel, corners aligned; creates no new values.

  Args:
    images: [batch, height, width, channels], any numeric type.
    size: (height, width), ints or int32 tensors.

  Returns:
    [batch, size[0], size[1], channels], with the dtype of `images`.
  """
  return tf.raw_ops.ResizeNearestNeighbor(
    images=images, size=tf.stack(size), align_corners=True
  )


def labels_nearest(
  labels: tf.Tensor, size: Sequence[Side] | tf.Tensor
) -> tf.Tensor:
  """Resizes label maps [batch, height, width] to the nearest pixel."""
  return nearest(labels[..., tf.newaxis], size)[..., 0]


def spatial_size(images: tf.Tensor) -> list[Side]:
  """Height and width of [batch, height, width, ...]; ints if known."""
  dynamic = tf.shape(images)
  return [
    known if known is not None else dynamic[axis]
    for axis, known in enumerate(images.shape[1:3], start=1)
  ]
