"""Photos as people see them, with the labels that were drawn on them."""

import os

import numpy as np

from deeplab_contrast.imaging import images, masks, orientation

BOTH_WAYS = (
  'photos with an EXIF tag that rotates them, and masks that fit both ways: '
  'save them without the tag, rotated like their masks'
)


def turn(
  picture: images.Picture,
  labels: np.ndarray | None,
  path: str | os.PathLike,
  are_upright: bool = False,
) -> tuple[images.Picture, np.ndarray | None]:
  """Rotates a photo upright, as viewers and `predict` show it.

  Some annotation tools respect the EXIF tag of a photo, others use the pixels
  as they are stored. The size of the mask shows which.

  Args:
    picture: the photo as read.
    labels: uint8 [height, width]; None without a mask.
    path: path of the image, for messages.
    are_upright: whether the labels are known to be for the upright photo.

  Returns:
    The photo and labels, both upright; labels of a size that fits neither way
    are returned unchanged.

  Raises:
    MaskError: the labels fit the photo both ways (it is square, or upside
      down).
  """
  noted = picture.orientation
  if noted == orientation.UPRIGHT:
    return picture, labels
  pixels = orientation.upright(picture.pixels, noted)
  if labels is None or are_upright:
    return images.Picture(None, pixels), labels
  if labels.shape == picture.pixels.shape[:2]:
    if labels.shape == pixels.shape[:2]:
      raise masks.MaskError(
        f'{path} has an EXIF tag that rotates it, and its mask fits both '
        'ways: save the image without the tag, rotated like its mask.',
        BOTH_WAYS,
      )
    labels = orientation.upright(labels, noted)
  return images.Picture(None, pixels), labels
