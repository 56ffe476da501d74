"""Masks with a palette: are the ids the indices, or the colours?

The ids are the indices, as long as programs leave these alone. But a program
that optimizes an image makes a palette of the colours it finds, so an index
means something different in each file; `mask_sets` compares the files. This
module uses what one file shows: greys that are ids, and black and white.
"""

import os
from collections.abc import Mapping

import numpy as np

from deeplab_contrast import common
from deeplab_contrast.imaging import masks

CAUSE = 'masks whose ids a program replaced by the indices of a grey palette'

BLACK, WHITE = (0, 0, 0), (255, 255, 255)


def to_ids(
  path: str | os.PathLike, mask: masks.Mask, classes: Mapping[int, int]
) -> np.ndarray:
  """The ids of a mask, by index unless it is black and white.

  White is 255 if that is the id of a class and 1 is not: a 1-bit file or a
  palette of black and white then means the same as 8-bit grey.

  Args:
    path: path of the file, for messages.
    mask: the mask as read.
    classes: {id: class id or IGNORE_LABEL}, the ids that masks may have.

  Returns:
    uint8 [height, width].

  Raises:
    MaskError: it can be read both ways.
  """
  if mask.palette is None:
    return mask.values
  if not set(map(tuple, mask.palette.tolist())) - {BLACK, WHITE}:
    is_white = mask.palette[:, 0] == 255
    return _of_black_and_white(path, mask.values, is_white, classes)
  shown = used(mask)
  greys = {color[0] for color in shown.values()}
  is_grey = all(len(set(color)) == 1 for color in shown.values())
  # Two classes are often black and white only to make them visible.
  says_same = greys <= {0, 255} or all(i == c[0] for i, c in shown.items())
  if is_grey and not says_same and greys <= set(classes):
    raise masks.MaskError(
      f'{path} has a palette of greys: by its indices it has the ids '
      f'{sorted(shown)}, by its greys {sorted(greys)}; save it as 8-bit grey '
      'PNG.',
      CAUSE,
    )
  return mask.values


def _of_black_and_white(path, indices, is_white, classes):
  void = common.IGNORE_LABEL
  is_one, is_255 = (classes.get(value, void) != void for value in (1, 255))
  if is_one and is_255:
    raise masks.MaskError(
      f'{path} is black and white, but both 1 and 255 are ids: save it as '
      '8-bit grey PNG.',
      'black and white masks, whose white may be 1 or 255',
    )
  if not is_255 or indices.max() >= len(is_white):
    return indices
  return np.where(is_white[indices], np.uint8(255), np.uint8(0))


def used(mask: masks.Mask) -> dict[int, tuple[int, int, int]]:
  """{index: (red, green, blue)} of the indices that occur in a mask."""
  if mask.palette is None:
    return {}
  indices = np.unique(mask.values)
  indices = indices[indices < len(mask.palette)].tolist()
  return {i: tuple(mask.palette[i].tolist()) for i in indices}
