"""The last step of contrastive training: two views of each image."""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import tensorflow as tf

from deeplab_contrast import common
from deeplab_contrast.datasets.transforms import color, order


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
  gives: ClassVar[str] = order.TWO_VIEWS

  def __post_init__(self) -> None:
    if isinstance(self.distortion, list):  # gin's.
      object.__setattr__(self, 'distortion', tuple(self.distortion))

  def __call__(self, example: order.Example) -> order.Example:
    """Replaces IMAGE by VIEWS, float32 [2, height, width, 3]."""
    rest = dict(example)
    image = rest.pop(common.IMAGE)
    seeds = tf.random.split(example[common.SEED])
    first = self._distort(image, seeds[0]) if self.distort_first else image
    second = self._distort(image, seeds[1])
    return {**rest, common.VIEWS: tf.stack([first, second])}

  def _distort(self, image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    for i, step in enumerate(self._steps()):
      own = tf.random.experimental.stateless_fold_in(seed, i) if i else seed
      image = step({common.IMAGE: image, common.SEED: own})[common.IMAGE]
    return image

  def _steps(self) -> Sequence[order.Transform]:
    if self.distortion is None:
      return ()
    if callable(self.distortion):
      return (self.distortion,)
    return self.distortion
