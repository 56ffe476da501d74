"""What the values in the mask files of a dataset mean."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import numpy as np

from deeplab_contrast import common
from deeplab_contrast.datasets.raw import mask_causes, palettes
from deeplab_contrast.imaging import masks

_MOST_SHOWN = 12

Color = tuple[int, int, int]
Palette = tuple[tuple[int, Color], ...]


class Examined(NamedTuple):
  """A mask as read.

  Attributes:
    labels: class ids, uint8 [height, width].
    palette: (index, (red, green, blue)) of each palette index that is an id,
      except greys equal to their index.
    overlap: the fraction of pixels that shapes of several classes cover.
  """

  labels: np.ndarray
  palette: Palette = ()
  overlap: float = 0.0


@dataclasses.dataclass(frozen=True)
class MaskValues:
  """Masks of ids: grey values, or the indices of a palette.

  Attributes:
    classes: from a value in a mask file to a class id or IGNORE_LABEL.
    hint: a sentence to report with any other value.
    colors: (red, green, blue) of the classes, to guess what went wrong.
    readers: by file extension ('.mat'), functions that read files as ids.
    if_rgb: a sentence to add to the error if a mask has colours.
    shown: the class of each stated colour, to find palettes whose indices are
      not the ids; None if palettes are known to be right.
    is_void_stated: whether the meaning of 255 was stated.
  """

  classes: Mapping[int, int]
  hint: str
  colors: tuple[Color, ...] = ()
  readers: Mapping[str, Callable] = dataclasses.field(default_factory=dict)
  if_rgb: str = ''
  shown: Mapping[Color, int] | None = None
  is_void_stated: bool = True

  def read(self, path: pathlib.Path) -> np.ndarray:
    """Reads a mask file as class ids: uint8 [height, width].

    Raises:
      DataError: the file is unreadable.
      MaskError: it has no ids, or some without a meaning.
    """
    return self.examine(path).labels

  def examine(self, path: pathlib.Path) -> Examined:
    """Reads a mask file, and the colours of its ids; raises as `read` does."""
    mask = self._open(path)
    ids = palettes.to_ids(path, mask, self.classes)
    table = np.full([256], -1, np.int16)
    table[list(self.classes)] = list(self.classes.values())
    labels = table[ids]
    shown = palettes.used(mask)
    if labels.min() < 0:
      self._refuse(path, ids, ids[labels < 0], shown)
    if ids is not mask.values:  # Its colours say what they mean.
      shown = {}
    palette = tuple((i, c) for i, c in shown.items() if not i or c != (i, i, i))
    return Examined(labels.astype(np.uint8), palette)

  def _open(self, path):
    """The `masks.Mask` of a file."""
    reader = self.readers.get(pathlib.Path(path).suffix)
    if reader is not None:
      return masks.Mask(reader(path))
    try:
      return masks.read(path)
    except masks.MaskError as error:
      if error.cause == masks.RGB_MASK and self.if_rgb:
        raise masks.MaskError(f'{error} {self.if_rgb}', error.cause) from error
      raise

  def _refuse(self, path, ids, unknown, shown):
    cause: str | None = mask_causes.PALETTE
    if not (self.shown and shown and set(shown.values()) <= set(self.shown)):
      cause = mask_causes.of_ids(ids, self.classes, self.colors)
    raise masks.MaskError(
      f'{path} has the values {_some(np.unique(unknown).tolist())}: {self.hint}'
      f'{_likely(cause)}',
      cause,
    )

  def token(self) -> list:
    """What the contents of prepared labels depend on, for JSON."""
    classes = sorted(self.classes.items())
    return classes if self.shown is None else [classes, [*self.shown.items()]]


@dataclasses.dataclass(frozen=True)
class MaskColors:
  """Masks of colours, one or more for each class.

  Attributes:
    classes: from a (red, green, blue) to a class id or IGNORE_LABEL.
    hint: a sentence to report with any other colour.
    transparent: the class id of transparent pixels, or IGNORE_LABEL; None if
      there must be none.
  """

  classes: Mapping[Color, int]
  hint: str
  transparent: int | None = None
  shown = None
  is_void_stated = True

  def examine(self, path: pathlib.Path) -> Examined:
    """The result of `read`: a palette is already part of that."""
    return Examined(self.read(path))

  def read(self, path: pathlib.Path) -> np.ndarray:
    """Reads a mask file as class ids: uint8 [height, width].

    Raises:
      DataError: the file is unreadable.
      MaskError: it has colours without a meaning.
    """
    mask, is_clear = masks.read_colors(path, self.transparent is not None)
    codes, ids = self._table
    found = _codes(mask)
    places = np.searchsorted(codes, found).clip(max=len(codes) - 1)
    is_unknown = (codes[places] != found) & ~is_clear
    if is_unknown.any():
      self._refuse(path, mask, is_unknown)
    if self.transparent is None:
      return ids[places]
    return np.where(is_clear, np.uint8(self.transparent), ids[places])

  @functools.cached_property
  def _table(self):
    """The colours as sorted numbers, and their class ids."""
    codes = _codes(np.array(list(self.classes)))
    order = np.argsort(codes)
    return codes[order], np.array(list(self.classes.values()), np.uint8)[order]

  def _refuse(self, path, mask, is_unknown):
    cause = mask_causes.of_colors(mask, is_unknown)
    colors = np.unique(mask[is_unknown], axis=0).tolist()
    raise masks.MaskError(
      f'{path} has the colours {_some(list(map(tuple, colors)))}: {self.hint}'
      f'{_likely(cause)}',
      cause,
    )

  def token(self) -> list:
    """What the contents of prepared labels depend on, for JSON."""
    token: list = sorted([*color, i] for color, i in self.classes.items())
    return token if self.transparent is None else [*token, self.transparent]


Values = MaskValues | MaskColors


def ids_of_classes(
  count: int, ignored: Iterable[int] = (common.IGNORE_LABEL,)
) -> dict[int, int]:
  """{value: class id} where class i has the value i; `ignored` are void."""
  return {
    **dict.fromkeys(ignored, common.IGNORE_LABEL),
    **{i: i for i in range(count)},
  }


def _codes(colors):
  """Int [..., 3] colours as one number each."""
  colors = colors.astype(np.int32)
  return (colors[..., 0] << 16) | (colors[..., 1] << 8) | colors[..., 2]


def _some(values):
  more = len(values) - _MOST_SHOWN
  text = str(values[:_MOST_SHOWN])
  return f'{text[:-1]}, and {more} more]' if more > 0 else text


def _likely(cause):
  return f' Likely: {cause}.' if cause else ''
