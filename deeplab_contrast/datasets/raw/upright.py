"""Photos as people see them, with the labels that were drawn on them."""

from deeplab_contrast.imaging import images, masks, orientation

BOTH_WAYS = (
  'photos with an EXIF tag that turns them, and masks that fit both ways: save '
  'them without the tag, turned as their masks are'
)


def turn(picture, labels, path):
  """Turns a photo upright, as viewers and `predict` show it.

  Some annotation tools heed the EXIF tag of a photo, others draw on the pixels
  as they are stored. The size of the mask tells which.

  Args:
    picture: images.Picture.
    labels: uint8 [height, width]; None without a mask.
    path: of the image, for messages.

  Returns:
    (Picture, labels), both upright; labels of a size that fits neither way are
    returned as they are.

  Raises:
    MaskError: the labels fit the photo both ways (it is square, or upside
      down).
  """
  noted = picture.orientation
  if noted == orientation.UPRIGHT:
    return picture, labels
  pixels = orientation.upright(picture.pixels, noted)
  if labels is not None and labels.shape == picture.pixels.shape[:2]:
    if labels.shape == pixels.shape[:2]:
      raise masks.MaskError(
        f'{path} has an EXIF tag that turns it, and its mask fits it both '
        'ways: save the image without the tag, turned as its mask is.',
        BOTH_WAYS,
      )
    labels = orientation.upright(labels, noted)
  return images.Picture(None, pixels), labels
