"""The first step: from the bytes of files to pixels and class ids."""

import dataclasses
from typing import ClassVar

import tensorflow as tf

from deeplab_contrast import common
from deeplab_contrast.datasets.transforms import order
from deeplab_contrast.imaging import decoding


@dataclasses.dataclass(frozen=True)
class Decode:
  """Decodes IMAGE and LABEL from bytes; always the first step.

  IMAGE: jpeg, png, bmp or gif (its first picture) to float32
  [height, width, 3], 0 to 255. LABEL: a png of one channel to int32
  [height, width]; empty bytes mean an unlabelled image and give IGNORE_LABEL
  everywhere.

  Attributes:
    marks_void: whether pixels of LABEL without a class become VOID_LABEL, so
      that later they can be told from padding: for unlabelled images.

  Raises, when run: InvalidArgumentError if the bytes are not an image, or the
  label has several channels or a different size from its image.
  """

  marks_void: bool = False
  takes: ClassVar[str] = order.ENCODED
  gives: ClassVar[str] = order.DECODED

  def __call__(self, example: order.Example) -> order.Example:
    """Maps IMAGE and LABEL: string [] to pixels and class ids."""
    image, label = self.to_bytes(example)
    image, label = tf.cast(image, tf.float32), tf.cast(label, tf.int32)
    return {**example, common.IMAGE: image, common.LABEL: label}

  def to_bytes(self, example: order.Example) -> tuple[tf.Tensor, tf.Tensor]:
    """The same image and label, still uint8."""
    image = decoding.image(example[common.IMAGE])
    label = decoding.label(example, tf.shape(image)[:2])
    if self.marks_void:
      void = tf.constant(common.VOID_LABEL, tf.uint8)
      label = tf.where(label == common.IGNORE_LABEL, void, label)
    return image, label
