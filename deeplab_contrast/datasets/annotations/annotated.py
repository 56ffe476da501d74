"""What is read from the files of an annotation tool."""

import collections
import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from deeplab_contrast.datasets.annotations import shapes
from deeplab_contrast.utils import errors

_Value = TypeVar('_Value')

# Names of the class that no shape covers, as tools write them.
BACKGROUNDS = ('background', '_background_', '__background__')


@dataclasses.dataclass(frozen=True, eq=False)
class Annotation:
  """The shapes on one image.

  Attributes:
    image: its file, below the root.
    source: the file of the shapes, below the root.
    split: 'train', 'val' or 'test' where folders or files say so; else None.
    size: (height, width) as annotated; None for that of the image, upright.
    shapes: (label, shape), the lowest first.
    task: what the tool keeps in one file, so that two files that have it are
      two exports; None if the tool does not say.
    order: what the tool sorts the shapes by; () if it does not.
  """

  image: str
  source: str
  split: str | None
  size: tuple[int, int] | None
  shapes: tuple[tuple[str, shapes.Shape], ...]
  task: str | None = None
  order: tuple[Any, ...] = ()


@dataclasses.dataclass(frozen=True, eq=False)
class Annotated:
  """An export, read.

  Attributes:
    images: one for each annotated image.
    names: the labels, in the order of the tool's own list.
    left_out: how often each kind of thing was left out.
    void: labels that stand for pixels without a class.
  """

  images: tuple[Annotation, ...]
  names: tuple[str, ...]
  left_out: collections.Counter[str]
  void: tuple[str, ...] = ()

  @property
  def background(self) -> str:
    """The name of what no shape covers."""
    lower = {name.lower(): name for name in reversed(self.names)}
    return next((lower[b] for b in BACKGROUNDS if b in lower), 'background')


def merged(images: Iterable[Annotation]) -> tuple[Annotation, ...]:
  """One annotation for each image of a split, of all files together.

  An image without a split has that of the other file.

  Raises:
    DataError: two files have the same work in different states.
  """
  found: dict[str, dict[str | None, Annotation]] = {}
  for one in sorted(images, key=lambda one: one.split is None):
    known = found.setdefault(one.image, {})
    split = one.split or next(iter(known), None)
    known[split] = _merge(known[split], one) if split in known else one
  return tuple(one for known in found.values() for one in known.values())


def _merge(one, other):
  """Two annotations of the same image, the second above."""
  if one.source != other.source:
    if _marks(one) == _marks(other):
      return one
    both = {name for name, _ in one.shapes} & {name for name, _ in other.shapes}
    if both or (one.task is not None and one.task == other.task):
      raise errors.DataError(
        f'{one.image} has shapes in {one.source} and different ones in '
        f'{other.source}, as in two exports of the same work: keep one of '
        'these files and move the other out of the folder; if both count, put '
        'their shapes into one file.'
      )
  if one.size != other.size:
    raise errors.DataError(
      f'{one.image} is {one.size} (height, width) in {one.source}, and '
      f'{other.size} in {other.source}: remove one of them.'
    )
  drawn, order = one.shapes + other.shapes, one.order + other.order
  if order:
    ranks = sorted(range(len(order)), key=order.__getitem__)
    drawn = tuple(drawn[i] for i in ranks)
    order = tuple(order[i] for i in ranks)
  return dataclasses.replace(one, shapes=drawn, order=order)


def _marks(one):
  return one.size, [(name, shape.mark()) for name, shape in one.shapes]


def unique(names: Iterable[str]) -> tuple[str, ...]:
  """Names without repetition, in order of their first occurrence."""
  return tuple(dict.fromkeys(names))


def label(name: object) -> str:
  """The name of a class; raises ValueError if it is not one."""
  if isinstance(name, (int, float)) and not isinstance(name, bool):
    name = str(name)
  if not isinstance(name, str) or not name.strip():
    raise ValueError(f'{name!r} is not the name of a class')
  return name.strip()


def whole(number: object, least: int = 0) -> int:
  """A whole number; raises ValueError if it is not one, or is too small."""
  is_number = isinstance(number, (int, float)) and not isinstance(number, bool)
  if not is_number or int(number) != number or number < least:  # type: ignore
    raise ValueError(f'{number!r} is not a whole number of {least} or more')
  return int(number)  # type: ignore[call-overload]


def size_of(height: object, width: object) -> tuple[int, int]:
  """(height, width); raises ValueError if no image can have that size."""
  size = whole(height, 1), whole(width, 1)
  if size[0] * size[1] > shapes.MOST_PIXELS:
    raise ValueError(f'an image of {size[1]} x {size[0]} pixels is too large')
  return size


def background_first(pairs: Mapping[str, _Value]) -> dict[str, _Value]:
  """The same, beginning with the names that tools give the background."""
  first = [name for name in pairs if name.lower() in BACKGROUNDS]
  return {name: pairs[name] for name in [*first, *pairs]}
