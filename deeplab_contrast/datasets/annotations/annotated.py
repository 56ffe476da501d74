"""What is read from the files of an annotation tool."""

import collections
import dataclasses
from collections.abc import Iterable, Mapping
from typing import TypeVar

from deeplab_contrast.datasets.annotations import shapes

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
  """

  image: str
  source: str
  split: str | None
  size: tuple[int, int] | None
  shapes: tuple[tuple[str, shapes.Shape], ...]


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
