"""What a folder of images and masks means, in a small JSON file or in gin."""

import dataclasses
import json
import os
import pathlib
import re
from collections.abc import Mapping, Sequence

from deeplab_contrast import common
from deeplab_contrast.datasets import info, mask_values, raw_pairs
from deeplab_contrast.utils import errors, shipped


@dataclasses.dataclass(frozen=True)
class Description:
  """The classes of a folder dataset, and where its files lie.

  Attributes:
    name: of the dataset: letters, digits and underscores.
    classes: (class name, (red, green, blue)) pairs, or a dict of them; class i
      is the label i.
    masks: 'ids' for masks of grey values or palette indices, 'colors' for masks
      painted in the colours of `classes`.
    ids: the value in the masks of each class; None for 0, 1, 2, ...
    ignored: values (or colours) in the masks that are no class; 255 is one
      without being named.
    image_folder: below the root.
    mask_folder: likewise.
    image_suffix: what names of images have before the ending: '_leftImg8bit'.
    mask_suffix: likewise of masks: '_L' for a.png and a_L.png.
    lists: {split: text file of ids below the root}, one way to split.
    fractions: {split: share}, another: a seeded draw, and the rest is 'train'.
      With neither, the subfolders of image_folder are the splits.
    seed: of the draw.
    unlabelled: splits whose images have no masks.

  Raises:
    ConfigError: the attributes contradict each other.
  """

  name: str
  classes: Sequence[tuple[str, mask_values.Color]]
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

  def __post_init__(self):
    if isinstance(self.classes, Mapping):
      object.__setattr__(self, 'classes', tuple(self.classes.items()))
    self._check_name()
    self._check_classes()
    self._check_splits()
    self._values()  # Which checks the values in the masks.

  @property
  def info(self):
    """DatasetInfo."""
    names, colors = zip(*self.classes, strict=True)
    return info.DatasetInfo(self.name, names, colors)

  def values(self):
    """What the values in the masks mean: MaskValues or MaskColors."""
    classes = self._values()
    if self.masks == 'colors':
      hint = 'expected the colours of the classes and of what is ignored.'
      return mask_values.MaskColors(classes, hint)
    hint = f'expected the ids {_ranges(classes)}.'
    return mask_values.MaskValues(
      classes,
      hint,
      self.info.colors,
      if_rgb='If they are the colours of classes, state "masks": "colors".',
    )

  def _values(self):
    """{value or colour in the masks: class id or IGNORE_LABEL}."""
    if self.masks == 'colors':
      own = [tuple(color) for _, color in self.classes]
      ignored = [_color(color, self.name) for color in self.ignored]
      if self.ids is not None:
        raise self._wrong("has masks of colors, so it has no use for 'ids'")
    else:
      own = list(range(len(self.classes)) if self.ids is None else self.ids)
      ignored = list(self.ignored)
      self._check_ids(own, ignored)
    shared = [value for value in ignored if value in own]
    if shared:
      raise self._wrong(f'ignores {shared[0]}, which is also a class')
    if len(set(own)) < len(own):
      raise self._wrong('has two classes of one value or colour in the masks')
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

  def _check_name(self):
    if not re.fullmatch(r'[A-Za-z0-9_]+', str(self.name)):
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
        raise self._wrong(f'has {field} {value!r}: name one below the root')

  def _check_classes(self):
    if not self.classes or len(self.classes) > common.IGNORE_LABEL:
      raise self._wrong(
        f'has {len(self.classes)} classes: give 1 to {common.IGNORE_LABEL}'
      )
    try:
      pairs = [(name, _color(color, name)) for name, color in self.classes]
    except (TypeError, ValueError):
      raise self._wrong(
        'has classes that are no pairs of a name and a colour'
      ) from None
    object.__setattr__(self, 'classes', tuple(pairs))
    _ = self.info  # Which checks names and colours.

  def _check_splits(self):
    if self.lists and self.fractions:
      raise self._wrong("has both 'lists' and 'fractions': give one of them")
    for split, path in (self.lists or {}).items():
      if not isinstance(path, str) or not _is_below(path):
        raise self._wrong(f'has the list {path!r}: name a file below the root')
      self._check_split(split)
    shares = (self.fractions or {}).values()
    if not all(isinstance(s, (int, float)) and s > 0 for s in shares) or (
      sum(shares) >= 1
    ):
      raise self._wrong(
        f'has the fractions {self.fractions}: give shares above 0 that leave '
        'something for train'
      )
    for split in self.fractions or {}:
      self._check_split(split)

  def _check_split(self, split):
    if not re.fullmatch(r'[A-Za-z0-9_]+', split):
      raise self._wrong(f'has a split {split!r}: use letters, digits and _')

  def _wrong(self, what):
    return errors.ConfigError(f'Dataset {self.name!r} {what}.')


def load(path):
  """Reads a Description from a JSON file, whose keys are its attributes.

  Args:
    path: seen from the current directory, or else one of our gin_configs.

  Raises:
    ConfigError: the file is missing, no JSON, or contradicts itself.
  """
  places = (pathlib.Path(path).expanduser(), shipped.home() / path)
  found = [place for place in places if place.is_file()]
  if not found:
    raise errors.ConfigError(
      f'There is no description {path} of a folder dataset: write one, see '
      'docs/own_data.md.'
    )
  try:
    text = found[0].read_text(encoding='utf-8')
    values = json.loads(text, object_pairs_hook=_without_repetition)
  except (ValueError, OSError) as error:
    raise errors.ConfigError(f'{found[0]} is no JSON: {error}.') from error
  known = [field.name for field in dataclasses.fields(Description)]
  if not isinstance(values, dict):
    raise errors.ConfigError(f'{found[0]} must be an object {{...}} of JSON.')
  unknown = sorted(set(values) - set(known))
  missing = sorted({'name', 'classes'} - set(values))
  if unknown or missing:
    what = f'does not know {unknown}' if unknown else f'lacks {missing}'
    raise errors.ConfigError(f'{found[0]} {what}; keys: {", ".join(known)}.')
  try:
    return Description(**values)
  except errors.ConfigError as error:
    raise errors.ConfigError(f'{found[0]}: {error}') from error


def _without_repetition(pairs):
  names = [name for name, _ in pairs]
  twice = sorted({name for name in names if names.count(name) > 1})
  if twice:
    raise ValueError(f'{twice[0]!r} is there twice')
  return dict(pairs)


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
  runs = []
  for value in sorted(values):
    if runs and value == runs[-1][1] + 1:
      runs[-1][1] = value
    else:
      runs.append([value, value])
  texts = [str(a) if a == b else f'{a} to {b}' for a, b in runs]
  return ' and '.join(filter(None, [', '.join(texts[:-1]), texts[-1]]))
