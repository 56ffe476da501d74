"""Steps from a stored example to what the network sees, dict to dict.

Each step is a frozen dataclass: its fields are its settings, checked when it
is made; ConfigError says what is wrong with them. Steps that draw numbers take
the int32 [2] SEED of the example, of which the pipeline gives each step
another one. All of them run eagerly and in tf.data.Dataset.map.

The order of the original (deeplab/input_preprocess.py):
Decode, RandomScale, Pad, RandomCrop, RandomFlip, then the colours.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import ClassVar

import tensorflow as tf

from deeplab_contrast import common
from deeplab_contrast.core.augment import blur, color, geometry
from deeplab_contrast.datasets import settings as checks
from deeplab_contrast.imaging import decoding
from deeplab_contrast.utils import errors

Transform = Callable[[dict], dict]

# The states of an example, by which `check` knows a wrong order.
_ENCODED = 'an encoded image'
_DECODED = 'a decoded image'
_TWO_VIEWS = 'two views'


@dataclasses.dataclass(frozen=True)
class Decode:
  """Decodes IMAGE and LABEL from bytes; always the first step.

  IMAGE: jpeg, png, bmp or gif (its first picture) to float32
  [height, width, 3], 0 to 255. LABEL: a png of one channel to int32
  [height, width]; empty bytes mean an unlabelled image and give IGNORE_LABEL
  everywhere.

  Raises, when run: InvalidArgumentError where bytes are no image, or the label
  has several channels or another size than its image.
  """

  takes: ClassVar[str] = _ENCODED
  gives: ClassVar[str] = _DECODED

  def __call__(self, example):
    """Maps IMAGE and LABEL: string [] to pixels and class ids."""
    image, label = self.to_bytes(example)
    image, label = tf.cast(image, tf.float32), tf.cast(label, tf.int32)
    return {**example, common.IMAGE: image, common.LABEL: label}

  def to_bytes(self, example):
    """The same IMAGE and LABEL, before they become float32 and int32: uint8."""
    image = decoding.image(example[common.IMAGE])
    return image, decoding.label(example, tf.shape(image)[:2])


@dataclasses.dataclass(frozen=True)
class ResizeToRange:
  """Resizes so that the sides lie in a range; stands before RandomScale.

  Attributes:
    min_size: pixels the shorter side gets.
    max_size: pixels the longer side gets if it would get more; None for no
      limit.
    factor: sides are enlarged to the next k * factor + 1; None for no such
      thing.
  """

  min_size: int
  max_size: int | None = None
  factor: int | None = None
  takes: ClassVar[str] = _DECODED

  def __post_init__(self):
    for name in ('min_size', 'max_size', 'factor'):
      value = getattr(self, name)
      may_be_none = name != 'min_size' and value is None
      if not (may_be_none or (type(value) is int and value > 0)):
        raise errors.ConfigError(
          f'ResizeToRange.{name} must be a positive int: got {value!r}.'
        )

  def __call__(self, example):
    """Resizes IMAGE bilinearly, LABEL by the nearest pixel."""
    settings = dataclasses.astuple(self)
    return _moved(example, geometry.resize_to_range, *settings)


@dataclasses.dataclass(frozen=True)
class RandomScale:
  """Resizes by a factor drawn anew for each image.

  Attributes:
    minimum: the smallest factor.
    maximum: the largest factor.
    step: the distance of neighbouring factors, dividing the range; 0 for any
      factor in between.
  """

  minimum: float = 0.5
  maximum: float = 2.0
  step: float = 0.25
  takes: ClassVar[str] = _DECODED

  def __post_init__(self):
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
        f'RandomScale cannot go from {self.minimum} to {self.maximum} in '
        f'steps of {self.step}: give a step that divides the range, or 0 for '
        'any factor in between.'
      )

  def __call__(self, example):
    """Resizes IMAGE bilinearly, LABEL by the nearest pixel."""
    factor = geometry.random_scale_factor(
      self.minimum, self.maximum, self.step, example[common.SEED]
    )
    return _moved(example, geometry.scale, factor)


@dataclasses.dataclass(frozen=True)
class Pad:
  """Pads at the bottom and the right up to a size; larger images remain.

  Attributes:
    size: (height, width) in pixels; one int means a square.
    pixel: the value of new pixels, one float or one for each channel; the
      default is zero after the network's normalization. New labels are
      IGNORE_LABEL.
    exact: no image is larger, so the size is known to the graph.
  """

  size: int | tuple[int, int]
  pixel: float | tuple[float, float, float] = common.MEAN_PIXEL
  exact: bool = False
  takes: ClassVar[str] = _DECODED

  def __post_init__(self):
    object.__setattr__(self, 'size', checks.height_and_width('Pad', self.size))
    if isinstance(self.pixel, (tuple, list)):
      object.__setattr__(self, 'pixel', tuple(self.pixel))
      if len(self.pixel) != 3:
        raise errors.ConfigError(
          'Pad.pixel must be one number or three (red, green, blue): got '
          f'{self.pixel}.'
        )

  def __call__(self, example):
    """Pads IMAGE with `pixel` and LABEL with IGNORE_LABEL."""
    settings = (*self.size, self.pixel, common.IGNORE_LABEL)
    padded = _moved(example, geometry.pad_to, *settings)
    if not self.exact:
      return padded
    image = tf.ensure_shape(padded[common.IMAGE], (*self.size, 3))
    label = tf.ensure_shape(padded[common.LABEL], self.size)
    return {**padded, common.IMAGE: image, common.LABEL: label}


@dataclasses.dataclass(frozen=True)
class RandomCrop:
  """Cuts one window out of image and label; needs Pad before it.

  Attributes:
    size: (height, width) in pixels; one int means a square.
    class_uniform: how often, 0 to 1, the window goes around a pixel of a class
      drawn from those in the image, rare ones as often as common ones.
  """

  size: int | tuple[int, int]
  class_uniform: float = 0.0
  takes: ClassVar[str] = _DECODED

  def __post_init__(self):
    object.__setattr__(
      self, 'size', checks.height_and_width('RandomCrop', self.size)
    )
    checks.check_probability('RandomCrop.class_uniform', self.class_uniform)

  def __call__(self, example):
    """Crops IMAGE and LABEL to `size`, their static shape from here on."""
    settings = (*self.size, example[common.SEED], self.class_uniform)
    return _moved(example, geometry.random_crop, *settings)


@dataclasses.dataclass(frozen=True)
class RandomFlip:
  """Mirrors left and right.

  Attributes:
    probability: how often, 0 to 1.
  """

  probability: float = 0.5
  takes: ClassVar[str] = _DECODED

  def __post_init__(self):
    checks.check_probability('RandomFlip.probability', self.probability)

  def __call__(self, example):
    """Mirrors IMAGE and LABEL together."""
    settings = (self.probability, example[common.SEED])
    return _moved(example, geometry.random_flip, *settings)


@dataclasses.dataclass(frozen=True)
class BrightnessContrast:
  """Changes brightness and contrast, for softmax training.

  The paper names this augmentation without its ranges: 0.2 is our choice.

  Attributes:
    brightness: b >= 0, the factor being drawn from [max(0, 1 - b), 1 + b]; or
      its (lowest, highest) value.
    contrast: the same for the contrast.
  """

  brightness: float | tuple[float, float] = 0.2
  contrast: float | tuple[float, float] = 0.2
  takes: ClassVar[str] = _DECODED

  def __post_init__(self):
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

  def __call__(self, example):
    """Changes the colours of IMAGE."""
    settings = dataclasses.astuple(self)
    return _recolored(example, color.random_brightness_contrast, *settings)


@dataclasses.dataclass(frozen=True)
class ColorDistortion:
  """Distorts colours as SimCLR does: jitter in random order, then gray.

  Attributes:
    strength: of the jitter, 0 to 2.5; SimCLR's default is 1.
    jitter_probability: how often brightness, contrast, saturation and hue
      are changed, all four of them.
    gray_probability: how often the colour is dropped.
  """

  strength: float = 1.0
  jitter_probability: float = 0.8
  gray_probability: float = 0.2
  takes: ClassVar[str] = _DECODED

  def __post_init__(self):
    # At 2.5 the hue turns by up to half the wheel either way: all there is.
    if not 0 <= self.strength <= 2.5:
      raise errors.ConfigError(
        'ColorDistortion.strength must lie between 0 and 2.5: got '
        f'{self.strength}.'
      )
    for name in ('jitter_probability', 'gray_probability'):
      checks.check_probability(f'ColorDistortion.{name}', getattr(self, name))

  def __call__(self, example):
    """Distorts the colours of IMAGE."""
    settings = dataclasses.astuple(self)
    return _recolored(example, color.random_distortion, *settings)


@dataclasses.dataclass(frozen=True)
class GaussianBlur:
  """Blurs as SimCLR does; after ColorDistortion, in TwoViews.distortion.

  Attributes:
    probability: how often, 0 to 1.
    sigmas: the (lowest, highest) standard deviation in pixels.
    kernel: width of the kernel as a part of the image's height.
  """

  probability: float = 0.5
  sigmas: tuple[float, float] = (0.1, 2.0)
  kernel: float = 0.1
  takes: ClassVar[str] = _DECODED

  def __post_init__(self):
    checks.check_probability('GaussianBlur.probability', self.probability)
    checks.check_probability('GaussianBlur.kernel', self.kernel)
    object.__setattr__(self, 'sigmas', tuple(self.sigmas))
    if len(self.sigmas) != 2 or not 0 < self.sigmas[0] <= self.sigmas[1]:
      raise errors.ConfigError(
        'GaussianBlur.sigmas must be two numbers above 0, the lower one first: '
        f'got {self.sigmas}.'
      )

  def __call__(self, example):
    """Blurs IMAGE."""
    settings = (self.probability, self.sigmas, self.kernel)
    return _recolored(example, blur.random_blur, *settings)


@dataclasses.dataclass(frozen=True)
class TwoViews:
  """Replaces IMAGE by VIEWS: the image and its distorted twin.

  Both share one geometry, hence one label: put it after the crop and the flip.

  Attributes:
    distortion: a transform of IMAGE alone (it does not see the label), or
      several, one after the other; None for two equal views. gin sets the
      fields of the default only if it is named: TwoViews.distortion =
      @transforms.ColorDistortion().
    distort_first: whether the first view is distorted too, by a draw of its
      own. False in the paper, where anchors come from the plain image; True
      in released variants of its code.
  """

  distortion: Transform | Sequence[Transform] | None = dataclasses.field(
    default_factory=ColorDistortion
  )
  distort_first: bool = False
  takes: ClassVar[str] = _DECODED
  gives: ClassVar[str] = _TWO_VIEWS

  def __post_init__(self):
    if isinstance(self.distortion, list):  # gin's.
      object.__setattr__(self, 'distortion', tuple(self.distortion))

  def __call__(self, example):
    """Puts float32 VIEWS [2, height, width, 3] in the place of IMAGE."""
    rest = dict(example)
    image = rest.pop(common.IMAGE)
    seeds = tf.random.split(example[common.SEED])
    first = self._distort(image, seeds[0]) if self.distort_first else image
    second = self._distort(image, seeds[1])
    return {**rest, common.VIEWS: tf.stack([first, second])}

  def _distort(self, image, seed):
    steps = self.distortion
    if not isinstance(steps, tuple):
      steps = () if steps is None else (steps,)
    for i, step in enumerate(steps):
      own = tf.random.experimental.stateless_fold_in(seed, i) if i else seed
      image = step({common.IMAGE: image, common.SEED: own})[common.IMAGE]
    return image


def check(transforms: Sequence[Transform]):
  """Refuses an order in which a step would miss what it works on.

  A transform of the user's own without `takes` and `gives` may stand anywhere.

  Args:
    transforms: the steps of a pipeline, the first one first.

  Raises:
    ConfigError: names the first step out of place.
  """
  state = _ENCODED
  for place, transform in enumerate(transforms, start=1):
    takes = getattr(transform, 'takes', state)
    if takes != state:
      raise errors.ConfigError(
        f'Transform {place}, {type(transform).__name__}, takes {takes}, but '
        f'at its place there is {state}: start with Decode, and end with '
        'TwoViews if you use it.'
      )
    state = getattr(transform, 'gives', state)


def _moved(example, move, *settings):
  """Applies a function of core.augment.geometry to image and label together."""
  image, label = move(example[common.IMAGE], example[common.LABEL], *settings)
  return {**example, common.IMAGE: image, common.LABEL: label}


def _recolored(example, change, *settings):
  """Applies one random function of core.augment.color to the image."""
  image = change(example[common.IMAGE], *settings, example[common.SEED])
  return {**example, common.IMAGE: image}
