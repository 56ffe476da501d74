"""Masks that are not files: drawn from the shapes of an annotation tool."""

import dataclasses
import hashlib
import pathlib
from typing import Protocol

import numpy as np

from deeplab_contrast.datasets.raw import mask_values
from deeplab_contrast.imaging import images, orientation


class _Shape(Protocol):
  def region(self, height: int, width: int) -> tuple[int, int, np.ndarray]: ...

  def mark(self) -> bytes: ...


@dataclasses.dataclass(frozen=True, eq=False)
class Drawing:
  """A mask to draw.

  Attributes:
    image: the file of its image.
    source: where the shapes are from, for messages.
    shapes: (class id or IGNORE_LABEL, shape), the lowest first.
    background: the class id of what no shape covers, or IGNORE_LABEL.
    size: (height, width) as annotated; None for that of the image, upright.
  """

  image: pathlib.Path
  source: pathlib.Path
  shapes: tuple[tuple[int, _Shape], ...]
  background: int
  size: tuple[int, int] | None = None

  def __str__(self) -> str:
    return f'{self.source} (for {self.image.name})'

  def exists(self) -> bool:
    """Like a file that exists."""
    return True

  def draw(self) -> mask_values.Examined:
    """The class ids, uint8 [height, width].

    Raises:
      DataError: the image cannot be opened, or is too large.
    """
    height, width = self.size or size_upright(self.image)
    images.check_size(self.source, height, width)
    labels = np.full([height, width], self.background, np.uint8)
    covered = np.zeros([height, width], bool)
    overlap = np.zeros([height, width], bool)
    for label, shape in self.shapes:
      top, left, inside = shape.region(height, width)
      place = np.s_[top : top + inside.shape[0], left : left + inside.shape[1]]
      overlap[place] |= inside & covered[place] & (labels[place] != label)
      labels[place][inside] = label
      covered[place] |= inside
    return mask_values.Examined(labels, overlap=float(overlap.mean()))

  def mark(self) -> str:
    """Changes with what is drawn."""
    digest = hashlib.blake2b(digest_size=8)
    digest.update(repr((self.background, self.size)).encode())
    for label, shape in self.shapes:
      digest.update(bytes([label]) + shape.mark())
    return digest.hexdigest()


Mask = pathlib.Path | Drawing


def examine(mask: Mask, values: mask_values.Values) -> mask_values.Examined:
  """Draws or reads a mask.

  Args:
    mask: a file, or shapes.
    values: what the values in files mean.

  Raises:
    DataError: it cannot be read, or has values without a meaning.
  """
  return mask.draw() if isinstance(mask, Drawing) else values.examine(mask)


def is_upright(mask: Mask | None) -> bool:
  """Whether it is known to have been drawn on the upright photo."""
  return isinstance(mask, Drawing) and mask.size is None


def size_upright(path: pathlib.Path) -> tuple[int, int]:
  """(height, width) of an image as it is shown, from its header alone."""
  data = images.read_file(path)
  image = images.open_image(data, path)
  size = image.height, image.width
  return size[::-1] if orientation.of(image, data) > 4 else size
