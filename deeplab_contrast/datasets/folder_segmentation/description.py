"""What folders of images and masks mean, in a small JSON file or in gin."""

import dataclasses
import math
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from deeplab_contrast import common
from deeplab_contrast.datasets import info
from deeplab_contrast.datasets.raw import mask_values, raw_pairs
from deeplab_contrast.imaging import images
from deeplab_contrast.utils import errors

_LIST = ((Sequence,), 'a list')
_OPTIONAL = ('ids', 'lists', 'fractions')

# What JSON (and gin) may give for each attribute.
_TYPES = {
  'name': ((str,), 'a string'),
  'classes': ((Sequence, Mapping), 'names with their colours'),
  'ids': _LIST,
  'ignored': _LIST,
  'lists': ((Mapping,), 'a text file for each split'),
  'fractions': ((Mapping,), 'a fraction for each split'),
  'seed': ((int,), 'a whole number'),
  'unlabelled': ((Sequence,), 'a list of splits'),
}


@dataclasses.dataclass(frozen=True)
class Description:
  """The classes of a folder dataset, and where its files are.

  Attributes:
    name: name of the dataset: letters, digits and underscores.
    classes: (class name, (red, green, blue)) pairs, or a dict of them; class i
      is the label i. At least two. Names alone get the colours of PASCAL VOC.
    masks: 'ids' for masks of grey values or palette indices, 'colors' for masks
      painted in the colours of `classes`.
    ids: the value of each class in the masks; None for 0, 1, 2, ...
    ignored: values (or colours) in the masks that are not a class; 255 always
      is, unless it is the id of a class.
    image_folder: in the root. In '*/images' the star is the split, as a whole
      folder name: such folders need neither `lists` nor `fractions`.
    mask_folder: likewise, with a star if the other has one. It may be the
      image_folder: then masks are known by their suffix or, without one, are
      the PNG files, and images are the others.
    image_suffix: the end of image names before the extension: '_leftImg8bit'.
    mask_suffix: likewise of masks: '_L' for a.png and a_L.png.
    lists: {split: text file of ids in the root}, one way to split.
    fractions: {split: fraction}, another: a seeded draw, and the rest is
      'train'. With neither, the subfolders of image_folder are the splits.
    seed: seed of the draw.
    unlabelled: splits whose images have no masks. With `fractions`, at most
      one, which gets all images without a mask.

  Raises:
    ConfigError: the attributes contradict each other.
  """

  name: str
  classes: Sequence[tuple[str, mask_values.Color] | str]
  masks: str = 'ids'
  ids: Sequence[int] | None = None
  ignored: Sequence[int | mask_values.Color] = ()
  image_folder: str = 'images'
  mask_folder: str = 'masks'
  image_suffix: str = ''
  mask_suffix: str = ''
  lists: Mapping[str, str] | None = None
  fractions: Mapping[str, float] | None = None
  seed: int = 0
  unlabelled: Sequence[str] = ()
  # Made from `classes`: all of them with colours, and the classes of colours
  # that were stated and are unique.
  _pairs: Sequence[tuple[str, mask_values.Color]] = dataclasses.field(
    init=False, repr=False, compare=False
  )
  _stated_colors: Mapping[mask_values.Color, int] = dataclasses.field(
    init=False, repr=False, compare=False
  )

  def __post_init__(self):
    self._check_types()
    if isinstance(self.classes, Mapping):
      object.__setattr__(self, 'classes', tuple(self.classes.items()))
    self._check_name()
    self._check_classes()
    self._check_splits()
    self._values()  # Which checks the values in the masks.

  @property
  def info(self) -> info.DatasetInfo:
    """What the labels mean."""
    names, colors = zip(*self._pairs, strict=True)
    return info.DatasetInfo(self.name, names, colors)

  def values(self) -> mask_values.Values:
    """What the values in the masks mean."""
    classes = self._values()
    if self.masks == 'colors':
      hint = 'expected the colours of the classes and the ignored ones.'
      return mask_values.MaskColors(classes, hint)
    hint = f'expected the ids {_ranges(classes)}.'
    return mask_values.MaskValues(
      classes,
      hint,
      self.info.colors,
      if_rgb='If they are the colours of classes, state "masks": "colors".',
      shown=self._stated_colors,
      is_void_stated=classes[255] != common.IGNORE_LABEL or 255 in self.ignored,
    )

  def _values(self):
    """{value or colour in the masks: class id or IGNORE_LABEL}."""
    own: list[Any]
    if self.masks == 'colors':
      own = [color for _, color in self._pairs]
      ignored = [_color(color, self.name) for color in self.ignored]
      if self.ids is not None:
        raise self._wrong("has masks of colors, so 'ids' have no meaning")
    else:
      own = list(range(len(self.classes)) if self.ids is None else self.ids)
      ignored = list(self.ignored)
      self._check_ids(own, ignored)
    shared = [value for value in ignored if value in own]
    if shared:
      raise self._wrong(f'ignores {shared[0]}, which is also a class')
    if len(set(own)) < len(own):
      raise self._wrong(
        'has two classes with the same value or colour in the masks'
      )
    if self.masks == 'ids' and common.IGNORE_LABEL not in own:
      ignored.append(common.IGNORE_LABEL)
    classes = {value: i for i, value in enumerate(own)}
    return {**dict.fromkeys(ignored, common.IGNORE_LABEL), **classes}

  def _check_ids(self, own, ignored):
    if len(own) != len(self.classes):
      raise self._wrong(
        f'has {len(self.classes)} classes but {len(own)} ids: give one for '
        'each class'
      )
    for value in (*own, *ignored):
      if type(value) is not int or not 0 <= value <= 255:
        raise self._wrong(
          f'has the mask value {value!r}: give whole numbers from 0 to 255 '
          '(or state "masks": "colors")'
        )

  def _check_types(self):
    for field, (types, kind) in _TYPES.items():
      value = getattr(self, field)
      is_absent = value is None and field in _OPTIONAL
      # Strings are sequences too, and booleans are numbers.
      is_odd = isinstance(value, (str, bool)) and str not in types
      if not is_absent and (is_odd or not isinstance(value, types)):
        raise self._wrong(f'has {field} {value!r}: give {kind}')

  def _check_name(self):
    if not re.fullmatch(r'[A-Za-z0-9_]+', self.name):
      raise errors.ConfigError(
        f'The name of a dataset is {self.name!r}: use letters, digits and _.'
      )
    if self.masks not in ('ids', 'colors'):
      raise self._wrong(f"has masks {self.masks!r}: give 'ids' or 'colors'")
    for field in ('image_folder', 'mask_folder', 'image_suffix', 'mask_suffix'):
      value = getattr(self, field)
      is_folder = field.endswith('folder')
      if not isinstance(value, str) or (
        not _is_below(value) if is_folder else '/' in value
      ):
        raise self._wrong(f'has {field} {value!r}: it must be in the root')

    stars = [self.image_folder.count('*'), self.mask_folder.count('*')]
    if stars not in ([0, 0], [1, 1]):
      raise self._wrong(
        f'has image_folder {self.image_folder!r} and mask_folder '
        f'{self.mask_folder!r}: one star in both stands for the split'
      )
    for folder in (self.image_folder, self.mask_folder):
      if stars[0] and '*' not in folder.split('/'):
        raise self._wrong(
          f'has the folder {folder!r}: the star stands for a whole name, as in '
          "'*/images'; rename the folders, or merge them and use 'lists'"
        )
    if stars[0] and (self.lists or self.fractions):
      raise self._wrong(
        'splits by the star of its folders, and by lists or fractions too'
      )

  def _check_classes(self):
    count = len(self.classes)
    if not 0 < count <= common.IGNORE_LABEL:
      raise self._wrong(f'has {count} classes: give 2 to {common.IGNORE_LABEL}')
    pairs: Sequence[Any] = self.classes
    are_names = all(isinstance(name, str) for name in pairs)
    if are_names:
      if self.masks == 'colors':
        raise self._wrong('has masks of colors, so its classes need colours')
      pairs = tuple(zip(pairs, images.voc_colormap(count), strict=True))
    if not all(isinstance(p, (list, tuple)) and len(p) == 2 for p in pairs):
      raise self._wrong('has classes that are not pairs of a name and a colour')
    pairs = tuple((name, _color(color, name)) for name, color in pairs)
    object.__setattr__(self, 'classes', pairs)
    object.__setattr__(self, '_pairs', pairs)
    colors = [] if are_names else [color for _, color in pairs]
    stated = {c: i for i, c in enumerate(colors) if colors.count(c) == 1}
    object.__setattr__(self, '_stated_colors', stated)
    _ = self.info  # Which checks names and colours.
    if count == 1:
      raise self._wrong(
        f'has only the class {self.info.class_names[0]!r}, so there is nothing '
        'to learn: name the background too, it is also a class'
      )

  def _check_splits(self):
    if self.lists and self.fractions:
      raise self._wrong("has both 'lists' and 'fractions': give one of them")
    for split, path in (self.lists or {}).items():
      if not isinstance(path, str) or not _is_below(path):
        raise self._wrong(f'has the list {path!r}: name a file in the root')
      self._check_split(split)
    for split in self.unlabelled:
      self._check_split(split)
    if self.fractions:
      self._check_fractions(self.fractions)
    if self.lists and set(self.unlabelled) - set(self.lists):
      raise self._wrong(
        f'has unlabelled splits {sorted(self.unlabelled)}, but lists for '
        f'{sorted(self.lists)}'
      )

  def _check_fractions(self, fractions: Mapping[str, float]) -> None:
    shares = dict(fractions)
    are_shares = all(
      type(share) in (int, float) and share > 0 for share in shares.values()
    )
    total = sum(shares.values()) if are_shares else 0.0
    if 'train' in shares and math.isclose(total, 1):
      del shares['train']  # It gets the rest anyway.
    if not are_shares or sum(shares.values()) >= 1 or 'train' in shares:
      raise self._wrong(
        f'has the fractions {fractions}: give fractions above 0 that leave '
        'something for train (or add up to 1 with it)'
      )
    if not shares:
      raise self._wrong(
        f'has the fractions {fractions}, which leave nothing to evaluate on: '
        'name another split, such as "val": 0.2'
      )
    if len(self.unlabelled) > 1 or set(self.unlabelled) & {*shares, 'train'}:
      raise self._wrong(
        f'has fractions and the unlabelled splits {list(self.unlabelled)}: '
        'name one other split, for all images without a mask'
      )
    for split in shares:
      self._check_split(split)
    object.__setattr__(self, 'fractions', shares)

  def _check_split(self, split):
    if not isinstance(split, str) or not re.fullmatch(r'\w+', split, re.ASCII):
      raise self._wrong(f'has a split {split!r}: use letters, digits and _')

  def _wrong(self, what):
    return errors.ConfigError(f'Dataset {self.name!r} {what}.')


def _is_below(path):
  return raw_pairs.is_name(os.path.normpath(path)) or path == '.'


def _color(color, name):
  if not isinstance(color, Sequence) or not all(type(v) is int for v in color):
    raise errors.ConfigError(
      f'The colour of {name!r} is {color!r}: give three numbers from 0 to 255.'
    )
  return tuple(color)


def _ranges(values):
  """'0 to 11 and 255' for the numbers 0, ..., 11, 255."""
  runs: list[list[int]] = []
  for value in sorted(values):
    if runs and value == runs[-1][1] + 1:
      runs[-1][1] = value
    else:
      runs.append([value, value])
  texts = [str(a) if a == b else f'{a} to {b}' for a, b in runs]
  return ' and '.join(filter(None, [', '.join(texts[:-1]), texts[-1]]))
