"""Masks whose palette is of greys: are the ids the indices, or the greys?

Pillow stores a grey mask of the ids 0 and 2 as GIF with the indices 0 and 1,
and programs that pack PNGs do the like, so each file may have other indices.
"""

import numpy as np

from deeplab_contrast.utils import images

CAUSE = 'masks whose ids a program replaced by the indices of a grey palette'

# What two classes are painted with to be seen; the indices are the ids then.
_BLACK_AND_WHITE = {0, 255}


def check(path, mask, known):
  """Refuses a mask that can be read both ways.

  Args:
    path: of a mask file.
    mask: uint8 [height, width], its grey values or indices.
    known: the ids that masks may have.

  Raises:
    MaskError: the greys of its palette are ids as well as the indices are, and
      others.
  """
  image = images.open_image(images.read_file(path), path)
  if image.mode != 'P':
    return
  palette = np.array(image.getpalette('RGB'), np.uint8).reshape(-1, 3)
  indices = np.unique(mask)
  used = palette[indices[indices < len(palette)]]
  greys = set(used[:, 0].tolist())
  is_grey = bool((used == used[:, :1]).all())
  says_same = greys <= _BLACK_AND_WHITE or greys == set(indices.tolist())
  if is_grey and not says_same and greys <= set(known):
    raise images.MaskError(
      f'{path} has a palette of greys: by its indices it has the ids '
      f'{indices.tolist()}, by its greys {sorted(greys)}; save it as 8-bit '
      'grey PNG.',
      CAUSE,
    )
