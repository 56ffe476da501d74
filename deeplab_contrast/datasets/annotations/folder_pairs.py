"""Which folder of images belongs to which folder of masks."""

import functools
import itertools
import json
import os
import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from deeplab_contrast.datasets.annotations import splits
from deeplab_contrast.utils import errors

# Words in the names of folders of masks.
_MASKS = re.compile(
  r'mask|label|annot|seg|semantic|manual|ground.?truth|(^|[^a-z])gt',
  re.IGNORECASE,
)
# Of folders of photos.
_PHOTOS = re.compile(
  r'image|img|photo|picture|original|(^|[^a-z])(jpe?g|rgb|raw|frame|input)',
  re.IGNORECASE,
)
# Of pictures that are made from photos or masks, or by other cameras.
_OTHERS = re.compile(
  r'overlay|visuali[sz]|preview|thumb|blend|debug|predict|augment|thermal|'
  r'infrared|depth|dispar|edge|(^|[^a-z])(vis|viz|pred|nir|ir)([^a-z]|$)',
  re.IGNORECASE,
)
# Of masks that do not show classes, or show them in colours for people.
_NOT_CLASSES = re.compile(
  r'instance|object|panoptic|colou?r|bound|contour|outline|palette|'
  r'(^|[^a-z])(rgb|inst)([^a-z]|$)',
  re.IGNORECASE,
)

# How many ends of names are tried.
_MOST_ENDS = 20


class FolderPair(NamedTuple):
  """A folder of images and the folder of their masks.

  Attributes:
    images: the folder of the images, below the root; '' for the root.
    masks: likewise of the masks.
    ends: what names of images and of masks have after what they share.
    files: the masks.
    by_order: whether names start differently, but have the same order.
  """

  images: str
  masks: str
  ends: tuple[str, str]
  files: tuple[str, ...]
  by_order: bool = False

  def keys(self) -> dict[str, str]:
    """What dataset.json says about them."""
    values = {
      'image_folder': self.images or '.',
      'mask_folder': self.masks or '.',
      'image_suffix': self.ends[0],
      'mask_suffix': self.ends[1],
      'pair_by': 'order' if self.by_order else '',
    }
    return {key: value for key, value in values.items() if value}


class _Option(NamedTuple):
  """A pair that is possible.

  Attributes:
    fit: how well its folders fit by their names.
    near: likewise, where that does not tell any apart for sure.
    matches: how many names match.
    pair: what it is.
  """

  fit: tuple[int, ...]
  near: int
  matches: int
  pair: FolderPair


def is_of_masks(folder: str) -> bool:
  """Whether the name of a folder (a path with `/`) says that it has masks."""
  return _MASKS.search(folder) is not None


def find(
  root: object,
  photos: dict[str, list[str]],
  masks: dict[str, list[str]],
  by_order: bool = False,
) -> list[FolderPair]:
  """The pairs that fit best; each folder is in one of them at most.

  Args:
    root: of all folders, for messages.
    photos: files by their folder.
    masks: likewise.
    by_order: whether names need not match.

  Raises:
    DataError: two of them fit a third one equally well.
  """
  names, mask_names = (
    {folder: stems(files) for folder, files in sorted(folders.items())}
    for folders in (photos, masks)
  )
  options = _best(
    [
      _option(folder, other, way, masks[other])
      for folder, other in itertools.product(names, mask_names)
      for way in _ways(names[folder], mask_names[other], by_order)
    ]
  )
  options.sort(key=lambda option: option[:3], reverse=True)
  taken: list[_Option] = []
  for option in options:
    one = option.pair
    if not any(
      one.images == t.pair.images or one.masks == t.pair.masks for t in taken
    ):
      taken.append(option)
  for option in taken:
    _check_is_sure(root, option, options, taken)
  return sorted(option.pair for option in taken)


def _best(options):
  """Those of which neither folder fits another one better."""
  best: dict[tuple[int, str], tuple[int, ...]] = {}
  for option in options:
    for key in enumerate(option.pair[:2]):
      best[key] = max(best.get(key, option.fit), option.fit)
  return [
    option
    for option in options
    if all(best[key] == option.fit for key in enumerate(option.pair[:2]))
  ]


def _check_is_sure(root, option, options, taken):
  """Refuses a pair if another one, of a folder left over, fits as well."""
  used = {t.pair.images for t in taken}, {t.pair.masks for t in taken}
  one = option.pair
  for rival in options:
    other = rival.pair
    same = other.images == one.images, other.masks == one.masks
    is_free = (
      same == (True, True)
      or (same[0] and other.masks not in used[1])
      or (same[1] and other.images not in used[0])
    )
    # A few names match by chance: those of 1 and 11 for the end '1'.
    is_rival = other != one and 3 * rival.matches > 2 * option.matches
    if is_free and is_rival and rival.fit == option.fit:
      raise errors.DataError(_which(root, one, other))


def _which(root, one, other):
  stated = ' or '.join(json.dumps(pair.keys()) for pair in (one, other))
  if one.masks != other.masks or one.ends[1] != other.ends[1]:
    what = f'{one.images or "."} may have its masks in '
    which = [
      f'{pair.masks or "."} (*{pair.ends[1]})'
      if one.masks == other.masks
      else pair.masks or '.'
      for pair in (one, other)
    ]
  else:
    what = f'the masks in {one.masks or "."} may belong to the images in '
    which = [pair.images or '.' for pair in (one, other)]
  return (
    f'{root}: {what}{" or in ".join(which)}. State in dataset.json: {stated}; '
    'or, if both are needed, move all files into one folder of images and one '
    'of masks.'
  )


def _option(folder, other, way, masks):
  ends, by_order, count = way
  files = tuple(masks)
  if ends[1]:
    of_masks = zip(masks, stems(masks), strict=True)
    files = tuple(file for file, name in of_masks if name.endswith(ends[1]))
  pair = FolderPair(folder, other, ends, files, by_order)
  fit, near = _fit(folder, other, ends)
  return _Option(fit, near, count, pair)


def _fit(folder, other, ends):
  """(how well folders fit, how near they are to each other)."""
  parts, mask_parts = (set(path.split('/')) for path in (folder, other))
  words, mask_words = (_words(path) for path in (folder, other))
  shared = parts & mask_parts
  # a/1.jpg belongs to masks/a/1.png rather than to masks/b/1.png.
  places = {w for w in words & mask_words if not _is_kind(w)}
  starts = {
    w
    for w in words
    if not _is_kind(w) and any(m.startswith(w) for m in mask_words)
  }
  photo = '/'.join(parts - shared)
  mask = '/'.join(mask_parts - shared) + ends[1]
  fit = (
    splits.of_path(f'{folder}/') == splits.of_path(f'{other}/'),
    len(shared) + len(places),
    len(starts),
    -1 if _OTHERS.search(photo) else _PHOTOS.search(photo) is not None,
    -1
    if _OTHERS.search(mask) or _NOT_CLASSES.search(mask)
    else _MASKS.search(mask) is not None,
  )
  return fit, -len(words ^ mask_words)


@functools.lru_cache(1 << 14)
def _words(path):
  return set(re.findall(r'[^\W_]+', path.lower()))


@functools.lru_cache(1 << 14)
def _is_kind(word):
  kinds = _MASKS, _PHOTOS, _OTHERS, _NOT_CLASSES
  return any(kind.search(word) for kind in kinds)


def stem(file: str) -> str:
  """The name of a file without folder and extension."""
  return posixpath.splitext(posixpath.basename(file))[0]


def stems(files: Iterable[str]) -> list[str]:
  """Names without folder and extension."""
  return list(map(stem, files))


def _ways(
  images: Sequence[str], masks: Sequence[str], by_order: bool
) -> Iterator[tuple[tuple[str, str], bool, int]]:
  """(ends, by order, count) in which names of images and masks may match."""
  least = min(len(images), len(masks))
  count = len(set(images) & set(masks))
  if not by_order and 2 * count >= least:
    yield ('', ''), False, count
    return
  if by_order or _have_same_order(images, masks):
    yield ('', ''), True, least
    return
  seen = set()
  for several in itertools.islice(_ends(images, masks), _MOST_ENDS):
    count, _, ends = max(
      (len(_matches(images, masks, ends)), len(ends[0] + ends[1]), ends)
      for ends in several
    )
    if 2 * count >= least and ends not in seen:
      seen.add(ends)
      yield ends, False, count


def _have_same_order(images, masks):
  """Whether all names differ in how they start, as img_1 and mask_1 do."""
  one, other = (
    os.path.commonprefix(list(names)).rstrip('0123456789')
    for names in (images, masks)
  )
  rest, mask_rest = (
    sorted(name[len(start) :] for name in names)
    for start, names in ((one, images), (other, masks))
  )
  is_unique = 1 < len(set(rest)) == len(rest)
  return one != other and is_unique and rest == mask_rest


def _ends(images, masks):
  """Lists of ends of names like the first image's, after what they share."""
  image = images[0]
  most = max(len(os.path.commonprefix([image, mask])) for mask in masks)
  for mask in masks:
    start = os.path.commonprefix([image, mask])
    if start and len(start) == most:
      # Of two with as many matches, the longer ends are better.
      starts = (start, start.rstrip('_-. '))
      yield [(image[len(s) :], mask[len(s) :]) for s in starts if s]


def _matches(images, masks, ends):
  ids, own = (
    {name.removesuffix(end) for name in names if name.endswith(end)}
    for names, end in zip((images, masks), ends, strict=True)
  )
  return ids & own


def last_word(name: str) -> str:
  """The last word of a name, with what is before it: '_mask' of '1_mask'."""
  found = re.search(r'[-_. ][^-_. ]*[^-_. \d][^-_. ]*$', name)
  return found[0] if found else ''
