"""Steps that change colours: the image alone."""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

from deeplab_contrast import common
from deeplab_contrast.core.augment import blur, color
from deeplab_contrast.datasets.transforms import order, settings
from deeplab_contrast.utils import errors


@dataclasses.dataclass(frozen=True)
class BrightnessContrast:
  """Changes brightness and contrast, for softmax training.

  The paper names this augmentation without its ranges: 0.2 is our choice.

  Attributes:
    brightness: b >= 0, for a factor drawn from [max(0, 1 - b), 1 + b]; or the
      (lowest, highest) factor.
    contrast: the same for contrast.
  """

  brightness: float | tuple[float, float] = 0.2
  contrast: float | tuple[float, float] = 0.2
  takes: ClassVar[str] = order.DECODED

  def __post_init__(self) -> None:
    for name in ('brightness', 'contrast'):
      value = getattr(self, name)
      if isinstance(value, (tuple, list)):
        value = tuple(value)
        object.__setattr__(self, name, value)
        if not (len(value) == 2 and 0 <= value[0] <= value[1]):
          raise errors.ConfigError(
            f'BrightnessContrast.{name} must be one number or two, the lowest '
            f'(0 or more) and the highest factor: got {value}.'
          )
      elif not value >= 0:
        raise errors.ConfigError(
          'BrightnessContrast needs brightness and contrast of 0 or more: got '
          f'{self.brightness} and {self.contrast}.'
        )

  def __call__(self, example: order.Example) -> order.Example:
    """Changes the colours of IMAGE."""
    spans = self.brightness, self.contrast
    return _recolored(example, color.random_brightness_contrast, *spans)


@dataclasses.dataclass(frozen=True)
class ColorDistortion:
  """Distorts colours as SimCLR does: jitter in random order, then gray.

  Attributes:
    strength: strength of the jitter, 0 to 2.5; SimCLR's default is 1.
    jitter_probability: probability of changing brightness, contrast,
      saturation and hue, all four of them.
    gray_probability: probability of dropping the colour.
  """

  strength: float = 1.0
  jitter_probability: float = 0.8
  gray_probability: float = 0.2
  takes: ClassVar[str] = order.DECODED

  def __post_init__(self) -> None:
    # At 2.5 the hue turns by up to half the colour wheel either way: any hue.
    if not 0 <= self.strength <= 2.5:
      raise errors.ConfigError(
        f'ColorDistortion.strength must be from 0 to 2.5: got {self.strength}.'
      )
    for name in ('jitter_probability', 'gray_probability'):
      settings.check_probability(f'ColorDistortion.{name}', getattr(self, name))

  def __call__(self, example: order.Example) -> order.Example:
    """Distorts the colours of IMAGE."""
    amounts = self.strength, self.jitter_probability, self.gray_probability
    return _recolored(example, color.random_distortion, *amounts)


@dataclasses.dataclass(frozen=True)
class GaussianBlur:
  """Blurs as SimCLR does; after ColorDistortion, in TwoViews.distortion.

  Attributes:
    probability: probability of blurring, 0 to 1.
    sigmas: the (lowest, highest) standard deviation in pixels.
    kernel: width of the kernel as a fraction of the image's height.
  """

  probability: float = 0.5
  sigmas: tuple[float, float] = (0.1, 2.0)
  kernel: float = 0.1
  takes: ClassVar[str] = order.DECODED

  def __post_init__(self) -> None:
    settings.check_probability('GaussianBlur.probability', self.probability)
    settings.check_probability('GaussianBlur.kernel', self.kernel)
    object.__setattr__(self, 'sigmas', tuple(self.sigmas))
    if len(self.sigmas) != 2 or not 0 < self.sigmas[0] <= self.sigmas[1]:
      raise errors.ConfigError(
        'GaussianBlur.sigmas must be two numbers above 0, the lower one first: '
        f'got {self.sigmas}.'
      )

  def __call__(self, example: order.Example) -> order.Example:
    """Blurs IMAGE."""
    amounts = self.probability, self.sigmas, self.kernel
    return _recolored(example, blur.random_blur, *amounts)


def _recolored(
  example: order.Example, change: Callable, *arguments: Any
) -> order.Example:
  """Applies a random function of core.augment to the image."""
  image = change(example[common.IMAGE], *arguments, example[common.SEED])
  return {**example, common.IMAGE: image}
