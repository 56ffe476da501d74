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
from deeplab_contrast.core import color, geometry
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
    image = _decode_image(example[common.IMAGE])
    size = tf.shape(image)[:2]
    label = tf.cond(
      tf.equal(example[common.LABEL], b''),
      lambda: tf.fill(size, common.IGNORE_LABEL),
      lambda: _decode_label(example, size),
    )
    image = tf.cast(image, tf.float32)
    return {**example, common.IMAGE: image, common.LABEL: label}


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
    object.__setattr__(self, 'size', _height_and_width('Pad', self.size))
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
  """

  size: int | tuple[int, int]
  takes: ClassVar[str] = _DECODED

  def __post_init__(self):
    object.__setattr__(self, 'size', _height_and_width('RandomCrop', self.size))

  def __call__(self, example):
    """Crops IMAGE and LABEL to `size`, their static shape from here on."""
    return _moved(
      example, geometry.random_crop, *self.size, example[common.SEED]
    )


@dataclasses.dataclass(frozen=True)
class RandomFlip:
  """Mirrors left and right.

  Attributes:
    probability: how often, 0 to 1.
  """

  probability: float = 0.5
  takes: ClassVar[str] = _DECODED

  def __post_init__(self):
    _check_probability('RandomFlip.probability', self.probability)

  def __call__(self, example):
    """Mirrors IMAGE and LABEL together."""
    settings = (self.probability, example[common.SEED])
    return _moved(example, geometry.random_flip, *settings)


@dataclasses.dataclass(frozen=True)
class BrightnessContrast:
  """Changes brightness and contrast, for softmax training.

  The paper names this augmentation without its ranges: 0.2 is our choice.

  Attributes:
    brightness: b >= 0, the factor being drawn from [max(0, 1 - b), 1 + b].
    contrast: the same for the contrast.
  """

  brightness: float = 0.2
  contrast: float = 0.2
  takes: ClassVar[str] = _DECODED

  def __post_init__(self):
    if not (self.brightness >= 0 and self.contrast >= 0):
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
      _check_probability(f'ColorDistortion.{name}', getattr(self, name))

  def __call__(self, example):
    """Distorts the colours of IMAGE."""
    settings = dataclasses.astuple(self)
    return _recolored(example, color.random_distortion, *settings)


@dataclasses.dataclass(frozen=True)
class TwoViews:
  """Replaces IMAGE by VIEWS: the image and its distorted twin.

  Both share one geometry, hence one label: put it after the crop and the flip.

  Attributes:
    distortion: a transform of IMAGE alone (it does not see the label); None
      for two equal views. gin sets the fields of the default only if it is
      named: TwoViews.distortion = @transforms.ColorDistortion().
    distort_first: whether the first view is distorted too, by a draw of its
      own. False in the paper, where anchors come from the plain image; True
      in released variants of its code.
  """

  distortion: Transform | None = dataclasses.field(
    default_factory=ColorDistortion
  )
  distort_first: bool = False
  takes: ClassVar[str] = _DECODED
  gives: ClassVar[str] = _TWO_VIEWS

  def __call__(self, example):
    """Puts float32 VIEWS [2, height, width, 3] in the place of IMAGE."""
    rest = dict(example)
    image = rest.pop(common.IMAGE)
    seeds = tf.random.split(example[common.SEED])
    first = self._distort(image, seeds[0]) if self.distort_first else image
    second = self._distort(image, seeds[1])
    return {**rest, common.VIEWS: tf.stack([first, second])}

  def _distort(self, image, seed):
    if self.distortion is None:
      return image
    alone = {common.IMAGE: image, common.SEED: seed}
    return self.distortion(alone)[common.IMAGE]


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
  """Applies one function of core.geometry to image and label together."""
  image, label = move(example[common.IMAGE], example[common.LABEL], *settings)
  return {**example, common.IMAGE: image, common.LABEL: label}


def _recolored(example, change, *settings):
  """Applies one random function of core.color to the image."""
  image = change(example[common.IMAGE], *settings, example[common.SEED])
  return {**example, common.IMAGE: image}


def _decode_image(encoded):
  # decode_image has no dct_method, and TensorFlow's default one differs from
  # Pillow and OpenCV by 1.3 of 255 on average; the accurate one by nothing, at
  # the same speed.
  return tf.cond(
    tf.io.is_jpeg(encoded),
    lambda: tf.io.decode_jpeg(
      encoded, channels=3, dct_method='INTEGER_ACCURATE'
    ),
    lambda: tf.io.decode_image(encoded, channels=3, expand_animations=False),
  )


def _decode_label(example, size):
  # Without channels=1 a palette or colour png keeps its three channels and is
  # refused; with it, it would silently become luminance (class 1 becomes 38).
  label = tf.io.decode_png(example[common.LABEL])
  label = tf.ensure_shape(label, [None, None, 1])[..., 0]
  tf.debugging.Assert(
    tf.reduce_all(tf.equal(tf.shape(label), size)),
    [
      'Label and image differ in size (id, label, image):',
      example.get(common.ID, ''),
      tf.shape(label),
      size,
    ],
  )
  return tf.cast(label, tf.int32)


def _height_and_width(name, size):
  pair = (size, size) if isinstance(size, int) else size
  valid = (
    isinstance(pair, (tuple, list))
    and len(pair) == 2
    and all(type(side) is int and side > 0 for side in pair)
  )
  if not valid:
    raise errors.ConfigError(
      f'{name}.size must be one positive int or two (height, width): got '
      f'{size!r}.'
    )
  return tuple(pair)


def _check_probability(name, value):
  if not 0 <= value <= 1:
    raise errors.ConfigError(f'{name} must lie between 0 and 1: got {value}.')
