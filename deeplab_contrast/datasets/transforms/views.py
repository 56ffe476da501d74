"""The last step of a training with several views of each image."""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import tensorflow as tf

from deeplab_contrast import common
from deeplab_contrast.core.augment import cutmix
from deeplab_contrast.datasets.transforms import color, order, settings
from deeplab_contrast.utils import errors


@dataclasses.dataclass(frozen=True)
class TwoViews:
  """Replaces IMAGE by VIEWS: the image and a distorted copy of it.

  Both have the same geometry, hence one label: put it after the crop and flip.

  Attributes:
    distortion: a transform of IMAGE alone (it does not see the label), or
      several, one after the other; None for two equal views. gin sets the
      fields of the default only if it is named: TwoViews.distortion =
      @transforms.ColorDistortion().
    distort_first: whether the first view is distorted too, independently.
      False in the paper, where anchors are taken from the plain image; True
      in released variants of its code.
  """

  distortion: order.Transform | Sequence[order.Transform] | None = (
    dataclasses.field(default_factory=color.ColorDistortion)
  )
  distort_first: bool = False
  takes: ClassVar[str] = order.DECODED
  gives: ClassVar[str] = order.SEVERAL_VIEWS

  def __post_init__(self) -> None:
    if isinstance(self.distortion, list):  # gin's.
      object.__setattr__(self, 'distortion', tuple(self.distortion))

  def __call__(self, example: order.Example) -> order.Example:
    """Replaces IMAGE by VIEWS, float32 [2, height, width, 3]."""
    rest = dict(example)
    image = rest.pop(common.IMAGE)
    seeds = tf.random.split(example[common.SEED])
    first = image
    if self.distort_first:
      first = _distorted(image, self.distortion, seeds[0])
    second = _distorted(image, self.distortion, seeds[1])
    return {**rest, common.VIEWS: tf.stack([first, second])}


@dataclasses.dataclass(frozen=True)
class WeakAndStrong:
  """Views of an unlabelled image: as it is, and strongly distorted.

  For tasks.consistency. Decode.marks_void must be set, so that padding can be
  told from pixels without a label. The ranges are those of UniMatch V2.

  Attributes:
    strong: number of distorted views, 1 or 2.
    distortion: of these views; see `TwoViews`.
    mix_probability: of CutMix, in each distorted view.
    mix_area: (smallest, largest) share of the image that CutMix replaces.
    mix_aspect: (smallest, largest) height / width of its box.
  """

  strong: int = 1
  distortion: order.Transform | Sequence[order.Transform] | None = (
    dataclasses.field(
      default_factory=lambda: (
        color.ColorDistortion(strength=0.625),
        color.GaussianBlur(),
      )
    )
  )
  mix_probability: float = 0.5
  mix_area: tuple[float, float] = (0.02, 0.4)
  mix_aspect: tuple[float, float] = (0.3, 3.3)
  takes: ClassVar[str] = order.DECODED
  gives: ClassVar[str] = order.SEVERAL_VIEWS

  def __post_init__(self) -> None:
    settings.check_probability(
      'WeakAndStrong.mix_probability', self.mix_probability
    )
    if self.strong not in (1, 2):
      raise errors.ConfigError(
        f'WeakAndStrong.strong must be 1 or 2: got {self.strong}.'
      )
    if isinstance(self.distortion, list):
      object.__setattr__(self, 'distortion', tuple(self.distortion))
    for name, most in (('mix_area', 1.0), ('mix_aspect', float('inf'))):
      span = tuple(getattr(self, name))
      object.__setattr__(self, name, span)
      if len(span) != 2 or not 0 < span[0] <= span[1] <= most:
        raise errors.ConfigError(
          f'WeakAndStrong.{name} must be two numbers above 0, the smaller one '
          f'first{", at most 1" if most == 1.0 else ""}: got {span}.'
        )

  def __call__(self, example: order.Example) -> order.Example:
    """Replaces IMAGE by VIEWS, MIX and VALID.

    VIEWS is float32 [1 + strong, height, width, 3], MIX bool [strong, height,
    width], where CutMix replaces pixels, and VALID bool [height, width], false
    where the image was padded. LABEL, which nothing learns from, gets
    IGNORE_LABEL back.
    """
    rest = dict(example)
    image, label = rest.pop(common.IMAGE), rest.pop(common.LABEL)
    seed = example[common.SEED]
    views, mix = [image], []
    for view_seed in tf.unstack(tf.random.split(seed, self.strong)):
      seeds = tf.random.split(view_seed)
      views.append(_distorted(image, self.distortion, seeds[0]))
      mix.append(
        cutmix.random_box(
          (label.shape[0], label.shape[1]),
          self.mix_probability,
          self.mix_area,
          self.mix_aspect,
          seeds[1],
        )
      )
    return {
      **rest,
      common.VIEWS: tf.stack(views),
      common.MIX: tf.stack(mix),
      common.VALID: label != common.IGNORE_LABEL,
      common.LABEL: tf.where(
        label == common.VOID_LABEL, common.IGNORE_LABEL, label
      ),
    }


def _distorted(image, distortion, seed):
  """The image after one distortion, several, or none."""
  if distortion is None:
    return image
  steps = (distortion,) if callable(distortion) else distortion
  for i, step in enumerate(steps):
    own = tf.random.experimental.stateless_fold_in(seed, i) if i else seed
    image = step({common.IMAGE: image, common.SEED: own})[common.IMAGE]
  return image
