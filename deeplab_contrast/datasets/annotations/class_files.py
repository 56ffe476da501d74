"""One black and white mask for each class of an image.

Beside `images/1.jpg` these are `masks/cup/1.png`, `masks/1/cup.png` or
`masks/1_cup.png`. If no two images share a name of a class, each mask is one
object, and all are of one class. Classes that come later are above.
"""

import collections
import functools
import posixpath
import re
from typing import NamedTuple

import numpy as np

from deeplab_contrast.datasets.annotations import (
  bitmaps,
  folder_pairs,
  layouts,
  soft_edges,
  splits,
)
from deeplab_contrast.datasets.annotations.annotated import (
  Annotated,
  Annotation,
  unique,
)
from deeplab_contrast.datasets.annotations.tree import Tree
from deeplab_contrast.utils import errors

_MOST_CLASSES = 64
# How many files are opened to see whether they are black and white.
_SAMPLED = 5

OBJECT = 'object'


class _Mask(NamedTuple):
  """A mask, the photo it is of, and what it is named for."""

  file: str
  image: str
  name: str


def files_of(tree: Tree) -> tuple[str, ...]:
  """The masks; none if images have fewer than two each."""
  return tuple(mask.file for mask in _masks(tree))


def read(tree: Tree, files: tuple[str, ...]) -> Annotated:
  """Reads all files. Raises DataError for damaged ones."""
  del files
  found = _masks(tree)
  of_image: dict[str, list[_Mask]] = {}
  for mask in found:
    of_image.setdefault(mask.image, []).append(mask)
  are_objects = _are_objects(found)
  names = (OBJECT,) if are_objects else unique(sorted(m.name for m in found))
  images = [
    Annotation(
      image,
      several[0].file,
      splits.of_path(image),
      None,
      tuple(
        (OBJECT if are_objects else m.name, bitmaps.MaskFile(tree.path(m.file)))
        for m in several
      ),
    )
    for image, several in sorted(of_image.items())
  ]
  return Annotated(tuple(images), names, collections.Counter())


@functools.lru_cache(2)  # A command needs them several times.
def _masks(tree):
  """All masks, if this is what lies in a folder; else []."""
  photos: dict[str, list[str]] = {}
  rest = []
  for file in tree.images:
    if folder_pairs.is_of_masks(posixpath.dirname(file)):
      rest.append(file)
    else:
      photos.setdefault(folder_pairs.stem(file), []).append(file)
  folders = {
    posixpath.dirname(f) for several in photos.values() for f in several
  }
  known = {part for folder in folders for part in folder.split('/')}
  found = []
  for file in rest:
    if file.lower().endswith(layouts.LOSSLESS):
      stem, name = _parsed(file, photos, known)
      if stem is not None:
        found.append(_Mask(file, _nearest(file, photos[stem]), name))
  of_image = collections.Counter(mask.image for mask in found)
  several = sum(count > 1 for count in of_image.values())
  count = len({mask.name for mask in found})
  is_one = 2 * several > len(of_image) and (
    1 < count <= _MOST_CLASSES or _are_objects(found)
  )
  return found if is_one and _are_black_and_white(tree, found) else []


def _parsed(file, photos, known):
  """(stem of a photo, name of the class), or (None, '')."""
  stem, folders = folder_pairs.stem(file), file.split('/')[:-1]
  for folder in reversed(folders[-2:]):
    # 1/cup.png, or 1/masks/cup.png, where no photo is named `masks`.
    if folder in photos and stem != folder:
      return folder, stem
  if stem in photos:
    above = '/'.join(folders[:-1])
    is_class = not splits.of_name(folders[-1]) and folders[-1] not in known
    if is_class and folder_pairs.is_of_masks(above):
      return stem, folders[-1]
    return None, ''
  for match in reversed(list(re.finditer(r'[-_. ]+', stem))):
    if stem[: match.start()] in photos and stem[match.end() :]:
      return stem[: match.start()], stem[match.end() :]
  return None, ''


def _are_objects(found):
  """Whether no name occurs twice, so that none is that of a class."""
  counts = collections.Counter(mask.name for mask in found)
  return len(counts) > 1 and max(counts.values()) == 1


def _nearest(file, photos):
  """The photo with the most folders in common with a mask."""
  parts = set(file.split('/')[:-1])
  return max(photos, key=lambda photo: len(parts & set(photo.split('/')[:-1])))


def _are_black_and_white(tree, found):
  """Whether masks have two greys. Raises DataError if their edges are soft."""
  step = max(1, len(found) // _SAMPLED)
  files = [mask.file for mask in found[::step]]
  greys = [_grey(tree, file) for file in files]
  if any(pixels is None for pixels in greys):
    return False
  if all(len(np.unique(pixels)) <= 2 for pixels in greys):
    return True
  soft = soft_edges.values(pixels[..., None] for pixels in greys)
  # Between black and white; masks of classes have more areas.
  if soft and len(soft) + 2 >= len(np.unique(np.concatenate(greys, None))):
    values = [value for (value,) in soft]
    raise errors.DataError(
      soft_edges.sentence(tree.root, tree.path(files[0]), values)
    )
  return False


def _grey(tree, file):
  """The greys of a mask, uint8 [height, width]; None if it is not grey."""
  pixels = layouts.pixels_of(tree, file)
  if pixels is None or pixels.dtype not in (bool, np.uint8):
    return None
  if pixels.ndim == 3:
    is_opaque = pixels.shape[-1] == 3 or (pixels[..., 3:] == 255).all()
    is_grey = is_opaque and (pixels[..., :3] == pixels[..., :1]).all()
    return pixels[..., 0] if is_grey else None
  return pixels.astype(np.uint8)
