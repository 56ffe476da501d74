"""Steps that move pixels: image and label together."""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import tensorflow as tf

from deeplab_contrast import common
from deeplab_contrast.core.augment import geometry
from deeplab_contrast.datasets.transforms import order, settings
from deeplab_contrast.utils import errors


@dataclasses.dataclass(frozen=True)
class ResizeToRange:
  """Resizes so that both sides are in a range; goes before RandomScale.

  Attributes:
    min_size: length of the shorter side in pixels.
    max_size: limit for the longer side, which takes precedence over min_size;
      None for no limit.
    factor: sides are enlarged to the next k * factor + 1; None to leave them.
  """

  min_size: int
  max_size: int | None = None
  factor: int | None = None
  takes: ClassVar[str] = order.DECODED

  def __post_init__(self) -> None:
    for name in ('min_size', 'max_size', 'factor'):
      value = getattr(self, name)
      may_be_none = name != 'min_size' and value is None
      if not (may_be_none or (type(value) is int and value > 0)):
        raise errors.ConfigError(
          f'ResizeToRange.{name} must be a positive int: got {value!r}.'
        )

  def __call__(self, example: order.Example) -> order.Example:
    """Resizes IMAGE bilinearly, LABEL by the nearest pixel."""
    sizes = self.min_size, self.max_size, self.factor
    return _moved(example, geometry.resize_to_range, *sizes)


@dataclasses.dataclass(frozen=True)
class RandomScale:
  """Resizes by a random factor.

  Attributes:
    minimum: the smallest factor.
    maximum: the largest factor.
    step: the distance between neighbouring factors, which must divide the
      range; 0 for any factor in between.
  """

  minimum: float = 0.5
  maximum: float = 2.0
  step: float = 0.25
  takes: ClassVar[str] = order.DECODED

  def __post_init__(self) -> None:
    if not 0 < self.minimum <= self.maximum:
      raise errors.ConfigError(
        'RandomScale needs 0 < minimum <= maximum: got minimum '
        f'{self.minimum} and maximum {self.maximum}.'
      )
    if not self.step >= 0:
      raise errors.ConfigError(
        f'RandomScale.step must be 0 or more: got {self.step}.'
      )
    steps = (self.maximum - self.minimum) / self.step if self.step else 0
    if abs(steps - round(steps)) > 1e-6:
      raise errors.ConfigError(
        f'RandomScale cannot get from {self.minimum} to {self.maximum} in '
        f'steps of {self.step}: give a step that divides the range, or 0 for '
        'any factor in between.'
      )

  def __call__(self, example: order.Example) -> order.Example:
    """Resizes IMAGE bilinearly, LABEL by the nearest pixel."""
    factor = geometry.random_scale_factor(
      self.minimum, self.maximum, self.step, example[common.SEED]
    )
    return _moved(example, geometry.scale, factor)


@dataclasses.dataclass(frozen=True)
class Pad:
  """Pads at the bottom and right up to a size; larger images stay as they are.

  Attributes:
    size: (height, width) in pixels; one int means a square.
    pixel: the value of new pixels, one float or one for each channel; the
      default is zero after the network's normalization. New labels are
      IGNORE_LABEL.
    exact: promises that no image is larger, so that the graph knows the size.
  """

  size: int | tuple[int, int]
  pixel: float | tuple[float, float, float] = common.MEAN_PIXEL
  exact: bool = False
  takes: ClassVar[str] = order.DECODED

  def __post_init__(self) -> None:
    object.__setattr__(
      self, 'size', settings.height_and_width('Pad', self.size)
    )
    if isinstance(self.pixel, (tuple, list)):
      object.__setattr__(self, 'pixel', tuple(self.pixel))
      if len(self.pixel) != 3:
        raise errors.ConfigError(
          'Pad.pixel must be one number or three (red, green, blue): got '
          f'{self.pixel}.'
        )

  def __call__(self, example: order.Example) -> order.Example:
    """Pads IMAGE with `pixel` and LABEL with IGNORE_LABEL."""
    size = settings.height_and_width('Pad', self.size)
    fill = (*size, self.pixel, common.IGNORE_LABEL)
    padded = _moved(example, geometry.pad_to, *fill)
    if not self.exact:
      return padded
    image = tf.ensure_shape(padded[common.IMAGE], (*size, 3))
    label = tf.ensure_shape(padded[common.LABEL], size)
    return {**padded, common.IMAGE: image, common.LABEL: label}


@dataclasses.dataclass(frozen=True)
class RandomCrop:
  """Cuts one window out of image and label; needs Pad before it.

  Attributes:
    size: (height, width) in pixels; one int means a square.
    class_uniform: probability of a window around a pixel of a class that is
      drawn from those in the image, rare ones as often as common ones.
  """

  size: int | tuple[int, int]
  class_uniform: float = 0.0
  takes: ClassVar[str] = order.DECODED

  def __post_init__(self) -> None:
    object.__setattr__(
      self, 'size', settings.height_and_width('RandomCrop', self.size)
    )
    settings.check_probability('RandomCrop.class_uniform', self.class_uniform)

  def __call__(self, example: order.Example) -> order.Example:
    """Crops IMAGE and LABEL to `size`, their static shape from here on."""
    size = settings.height_and_width('RandomCrop', self.size)
    draw = (example[common.SEED], self.class_uniform)
    return _moved(example, geometry.random_crop, *size, *draw)


@dataclasses.dataclass(frozen=True)
class RandomFlip:
  """Mirrors left and right.

  Attributes:
    probability: probability of mirroring, 0 to 1.
  """

  probability: float = 0.5
  takes: ClassVar[str] = order.DECODED

  def __post_init__(self) -> None:
    settings.check_probability('RandomFlip.probability', self.probability)

  def __call__(self, example: order.Example) -> order.Example:
    """Mirrors IMAGE and LABEL together."""
    draw = (self.probability, example[common.SEED])
    return _moved(example, geometry.random_flip, *draw)


def _moved(
  example: order.Example, move: Callable, *arguments: Any
) -> order.Example:
  """Applies a function of core.augment.geometry to image and label together."""
  image, label = move(example[common.IMAGE], example[common.LABEL], *arguments)
  return {**example, common.IMAGE: image, common.LABEL: label}
