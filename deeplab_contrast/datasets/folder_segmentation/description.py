"""What folders of images and masks mean, in a small JSON file or in gin."""

import dataclasses
import math
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from deeplab_contrast import common
from deeplab_contrast.datasets import info
from deeplab_contrast.datasets.annotations import formats
from deeplab_contrast.datasets.folder_segmentation import meaning
from deeplab_contrast.datasets.raw import mask_values, raw_pairs
from deeplab_contrast.imaging import conversion
from deeplab_contrast.utils import errors

# How several values become one class.
_EXAMPLE = '"ids": [0, [1, 2, 3]]'

_LIST = ((Sequence,), 'a list')
_OPTIONAL = ('ids', 'lists', 'fractions', 'splits', 'bands', 'range')

# What JSON (and gin) may give for each attribute.
_TYPES = {
  'name': ((str,), 'a string'),
  'classes': ((Sequence, Mapping), 'names with their colours'),
  'ids': _LIST,
  'ignored': _LIST,
  'bands': _LIST,
  'range': ((Sequence, str), 'two numbers'),
  'lists': ((Mapping,), 'a text file for each split'),
  'fractions': ((Mapping,), 'a fraction for each split'),
  'splits': ((Mapping,), 'the folder of each split'),
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
      painted in the colours of `classes`; or the annotation format whose shapes
      are drawn, see `annotations.formats`.
    ids: the value of each class in the masks, or a list of its values; None
      for 0, 1, 2, ... Of masks in colours these are colours, of an annotation
      format labels; None for those of `classes`.
    ignored: values (or colours, or labels) in the masks that are not a class;
      255 always is, unless it is the id of a class.
    missing_mask: the class everywhere on images without a mask, 'background'
      for the first; '' if each image must have one.
    transparent: what transparent pixels of masks in colours are: a class,
      'background' for the first, or 'void'; '' if there must be none.
    bands: which bands of the images are red, green and blue, counted from 1;
      or a single one; None for all.
    range: the values in images of more than 8 bits that become 0 and 255, or
      'measured' for the smallest and largest of each image.
    pair_by: 'name', or 'order' if masks have other names than their images, but
      in the same order.
    allow_equal: whether different splits may have equal pictures, such as
      blank tiles.
    image_folder: in the root. In '*/images' the star is the split, alone or
      with the rest of a name ('*_Data'): such folders need neither `lists` nor
      `fractions`.
    mask_folder: likewise, with a star if the other has one. It may be the
      image_folder: then masks are known by their suffix or, without one, are
      the PNG files, and images are the others.
    image_suffix: the end of image names before the extension: '_leftImg8bit'.
    mask_suffix: likewise of masks: '_L' for a.png and a_L.png.
    lists: {split: text file of ids in the root}, one way to split.
    fractions: {split: fraction}, another: a seeded draw, and the rest is
      'train'. With neither, the subfolders of image_folder are the splits.
    splits: {split: name of its subfolder, or what the star stands for}; None
      if they are the same, but for usual names such as 'valid' for 'val'.
    seed: seed of the draw.
    unlabelled: splits whose images have no masks. With `fractions`, at most
      one, which gets all images without a mask.

  Raises:
    ConfigError: the attributes contradict each other.
  """

  name: str
  classes: Sequence[tuple[str, mask_values.Color] | str]
  masks: str = 'ids'
  ids: Sequence[Any] | None = None
  ignored: Sequence[int | str | mask_values.Color] = ()
  missing_mask: str = ''
  transparent: str = ''
  bands: Sequence[int] | None = None
  range: Sequence[float] | str | None = None
  pair_by: str = 'name'
  allow_equal: bool = False
  image_folder: str = 'images'
  mask_folder: str = 'masks'
  image_suffix: str = ''
  mask_suffix: str = ''
  lists: Mapping[str, str] | None = None
  fractions: Mapping[str, float] | None = None
  splits: Mapping[str, str] | None = None
  seed: int = 0
  unlabelled: Sequence[str] = ()
  # (class name, colours) of each of `classes`.
  _stated: Sequence[tuple[str, Sequence[mask_values.Color]]] = (
    dataclasses.field(init=False, repr=False, compare=False)
  )

  def __post_init__(self):
    self._check_types()
    if isinstance(self.classes, Mapping):
      object.__setattr__(self, 'classes', tuple(self.classes.items()))
    self._check_name()
    self._check_classes()
    self._check_splits()
    self.labels()  # Which checks the values in the masks.
    self._class_of('missing_mask')
    self._class_of('transparent')

  @property
  def info(self) -> info.DatasetInfo:
    """What the labels mean."""
    names = tuple(name for name, _ in self._stated)
    return info.DatasetInfo(
      self.name,
      names,
      meaning.display_colors(self._stated),
      convert=conversion.of(self.bands, self.range),
    )

  @property
  def is_drawn(self) -> bool:
    """Whether masks are drawn from the shapes of an annotation format."""
    return self.masks not in meaning.FILES

  @property
  def of_missing(self) -> int | None:
    """The class of images without a mask, or None."""
    return self._class_of('missing_mask')

  def labels(self) -> dict[Any, int]:
    """{value, colour or label in the masks: class id or IGNORE_LABEL}."""
    return meaning.values_of(
      self.name, self.masks, self._stated, self.ids, self.ignored
    )

  def values(self) -> mask_values.Values:
    """What the values in the masks mean."""
    if self.is_drawn:
      return mask_values.MaskValues({}, '')
    classes = self.labels()
    if self.masks == 'colors':
      hint = 'expected the colours of the classes and the ignored ones.'
      transparent = self._class_of('transparent')
      return mask_values.MaskColors(classes, hint, transparent)
    hint = f'expected the ids {meaning.ranges(list(classes))}.'
    return mask_values.MaskValues(
      classes,
      hint,
      self.info.colors,
      if_rgb='If they are the colours of classes, state "masks": "colors".',
      shown=meaning.shown(self._stated),
      is_void_stated=classes[255] != common.IGNORE_LABEL or 255 in self.ignored,
    )

  def _class_of(self, field):
    """The class id that an attribute names, or None."""
    value = getattr(self, field)
    found = meaning.class_id(value, self.info.class_names)
    if value and found is None:
      raise self._wrong(
        f"has {field} {value!r}: give the name of a class, 'background' for "
        "the first, or 'void'"
      )
    return found if value else None

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
    self._check_choices()
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
    if stars[0] and (self.lists or self.fractions):
      raise self._wrong(
        'splits by the star of its folders, and by lists or fractions too'
      )

  def _check_choices(self):
    for field, known in (
      ('masks', (*meaning.FILES, *formats.FORMATS)),
      ('pair_by', ('name', 'order')),
    ):
      if getattr(self, field) not in known:
        one_of = ', '.join(map(repr, known))
        raise self._wrong(
          f'has {field} {getattr(self, field)!r}: give {one_of}'
        )
    if self.transparent and self.masks != 'colors':
      raise self._wrong(
        "states what is 'transparent', which only masks in colors can be: "
        'state "masks": "colors"'
      )

  def _check_classes(self):
    count = len(self.classes)
    if not 0 < count <= common.IGNORE_LABEL:
      raise self._wrong(f'has {count} classes: give 2 to {common.IGNORE_LABEL}')
    stated = meaning.classes_of(self.classes, self.name)
    are_names = not any(colors for _, colors in stated)
    if are_names and self.masks == 'colors' and self.ids is None:
      raise self._wrong('has masks of colors, so its classes need colours')
    self._check_unique([name for name, _ in stated])
    object.__setattr__(self, '_stated', stated)
    _ = self.info  # Which checks names and colours.
    if count == 1:
      raise self._wrong(
        f'has only the class {self.info.class_names[0]!r}, so there is nothing '
        'to learn: name the background too, it is also a class'
      )

  def _check_unique(self, names):
    twice = next((n for n in names if names.count(n) > 1), None)
    if twice is not None and isinstance(twice, str):
      raise self._wrong(
        f'repeats the class names {[twice]}: name each class once, and list '
        f'the values that it has in the masks ({_EXAMPLE})'
      )

  def _check_splits(self):
    for split, folder in (self.splits or {}).items():
      self._check_split(split)
      if not isinstance(folder, str) or not folder or '/' in folder:
        raise self._wrong(f'has the folder {folder!r} of {split}: give a name')
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
