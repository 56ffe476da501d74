"""Which folders have images, and which have their masks."""

import collections
import dataclasses
import os
import posixpath
import re
from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image

from deeplab_contrast.datasets.annotations import splits
from deeplab_contrast.datasets.annotations.tree import Tree

_LOSSLESS = ('.png', '.bmp', '.tif', '.tiff', '.gif')
# Words in the names of folders of masks.
_MASKS = re.compile(
  r'mask|label|annot|seg|ground.?truth|(^|[^a-z])gt', re.IGNORECASE
)
# More colours than this are a photo.
MOST_VALUES = 64
# How many files of a folder are looked at, and the pixels of their sides.
_SAMPLED = 3
_SIDE = 256


@dataclasses.dataclass(frozen=True)
class Layout:
  """Folders and how names match, as `Description` has them.

  Attributes:
    image_folder: below the root, maybe with a star.
    mask_folder: likewise.
    image_suffix: the end of the names of images.
    mask_suffix: likewise of masks.
    has_splits: whether the star or subfolders are splits.
    masks: the mask files.
    unlabelled: splits without masks.
  """

  image_folder: str
  mask_folder: str
  image_suffix: str
  mask_suffix: str
  has_splits: bool
  masks: tuple[str, ...]
  unlabelled: tuple[str, ...] = ()


def find(tree: Tree) -> Layout | None:
  """The layout of folders of images and masks; None if there are none."""
  folders: dict[str, list[str]] = collections.defaultdict(list)
  for file in tree.images:
    folders[posixpath.dirname(file)].append(file)
  found = _in_one_folder(tree, folders) or _in_two_folders(tree, folders)
  if not found:
    return None
  suffixes = collections.Counter(pair[2:4] for pair in found)
  (image_suffix, mask_suffix), _ = suffixes.most_common(1)[0]
  image_folder, mask_folder, has_splits = _template([p[:2] for p in found])
  masks = tuple(m for p in found for m in p[4])
  known = {folder for pair in found for folder in pair[:2]}
  unlabelled = _stars(image_folder, set(folders) - known) if has_splits else ()
  return Layout(
    *(image_folder, mask_folder, image_suffix, mask_suffix),
    has_splits,
    masks,
    unlabelled,
  )


def _stars(template, folders):
  """What the star stands for in folders of this form."""
  pattern = re.escape(template).replace(r'\*', '([^/]+)')
  found = [re.fullmatch(pattern, folder) for folder in sorted(folders)]
  return tuple(match[1] for match in found if match)


def is_of_masks(folder: str) -> bool:
  """Whether the name of a folder (a path with `/`) says that it has masks."""
  return _MASKS.search(folder) is not None


def suffixes(
  images: Sequence[str], masks: Sequence[str]
) -> tuple[str, str] | None:
  """The ends of names after what images and masks have in common.

  Args:
    images: names without extension.
    masks: likewise.

  Returns:
    Those with which most names match; None if fewer than half do.
  """
  if not images or not masks:
    return None
  image = images[0]
  mask = max(masks, key=lambda m: len(os.path.commonprefix([image, m])))
  start = os.path.commonprefix([image, mask])
  tried = [('', ''), *_ends(image, mask, start)]
  counts = {ends: len(_matches(images, masks, *ends)) for ends in tried}
  best = max(tried, key=lambda ends: counts[ends])
  return best if 2 * counts[best] >= min(len(images), len(masks)) else None


def _ends(image, mask, start):
  for common in (start, start.rstrip('_-. ')):
    if common:
      yield image[len(common) :], mask[len(common) :]


def _matches(images, masks, image_suffix, mask_suffix):
  ids = {
    i.removesuffix(image_suffix) for i in images if i.endswith(image_suffix)
  }
  own = {m.removesuffix(mask_suffix) for m in masks if m.endswith(mask_suffix)}
  return ids & own


def _stems(files: Iterable[str]) -> list[str]:
  return [posixpath.splitext(posixpath.basename(file))[0] for file in files]


def _in_one_folder(tree, folders):
  """[(folder, folder, '', suffix, masks)] where masks are beside images."""
  found = []
  for folder, files in sorted(folders.items()):
    names = dict(zip(files, _stems(files), strict=True))
    stems = set(names.values())
    ends = collections.Counter(
      stem[i:]
      for stem in stems
      for i in range(1, len(stem))
      if stem[:i] in stems
    )
    for suffix, count in ends.most_common(1):
      masks = [f for f in files if names[f].endswith(suffix)]
      if 3 * count >= len(stems) and _are_masks(tree, masks):
        found.append((folder, folder, '', suffix, masks))
    pngs = [f for f in files if f.lower().endswith('.png')]
    others = {names[f] for f in files if f not in set(pngs)}
    if others & {names[f] for f in pngs} and _are_masks(tree, pngs):
      found.append((folder, folder, '', '', pngs))
  return found


def _in_two_folders(tree, folders):
  """[(image folder, mask folder, image suffix, mask suffix, masks)]."""
  masks = {f for f, files in folders.items() if _are_masks(tree, files)}
  if masks == set(folders):  # Drawings, and tiny photos, have few colours too.
    masks = set(filter(is_of_masks, folders))
  found = []
  for folder in sorted(set(folders) - masks):
    stems = _stems(folders[folder])
    best = None
    for other in sorted(masks):
      ends = suffixes(stems, _stems(folders[other]))
      if ends is None:
        continue
      count = len(_matches(stems, _stems(folders[other]), *ends))
      # a/1.jpg belongs to masks/a/1.png rather than to masks/b/1.png.
      near = len(set(folder.split('/')) & set(other.split('/')))
      same = splits.of_path(f'{folder}/') == splits.of_path(f'{other}/')
      key = (same, near, len(os.path.commonprefix([folder, other])), count)
      if best is None or key > best[0]:
        best = key, other, ends
    if best:
      key, other, ends = best
      found.append((key, (folder, other, *ends, folders[other])))
  # Each folder of masks belongs to the folder that fits best.
  best_of = {pair[1]: pair for _, pair in sorted(found, key=lambda f: f[0])}
  return sorted(best_of.values())


def _template(pairs):
  """(image folder, mask folder, whether they have splits) for all pairs."""
  if len(pairs) == 1:
    (images, masks) = pairs[0]
    return images or '.', masks or '.', False
  templates: dict[tuple[str, str], set[str]] = collections.defaultdict(set)
  for images, masks in pairs:
    for name in _split_names(images):
      starred = _starred(images, masks, name)
      if starred:
        templates[starred].add(name)
  for (images, masks), names in templates.items():
    meant = {splits.of_name(name) for name in names}
    if len(meant - {None}) == len(names) > 1:
      return images, masks, True
  images, masks = (
    '/'.join(posixpath.commonprefix([p[i].split('/') for p in pairs]))
    for i in (0, 1)
  )
  return images or '.', masks or '.', False


def _split_names(folder):
  """The words in a path that name a split: 'train' in 'images_train'."""
  words = re.findall(r'[^\W_]+', folder)
  yield from (word for word in words if splits.of_name(word))


def _starred(images, masks, name):
  """Both folders with a star for the name of the split, or None."""
  result = []
  word = re.compile(rf'(?<![^\W_]){re.escape(name)}')  # 'trainannot' too.
  for folder in (images, masks):
    parts = folder.split('/')
    places = [i for i, part in enumerate(parts) if word.search(part)]
    if not places:
      return None
    parts[places[0]] = word.sub('*', parts[places[0]], count=1)
    below = parts[places[0] + 1 :]
    result.append((parts[: places[0] + 1], below))
  (image_parts, image_below), (mask_parts, mask_below) = result
  if image_below != mask_below:
    image_parts, mask_parts = image_parts + image_below, mask_parts + mask_below
  return '/'.join(image_parts), '/'.join(mask_parts)


def _are_masks(tree, files):
  """Whether the first, middle and last file of a folder look like masks."""
  files = [f for f in files if f.lower().endswith(_LOSSLESS)]
  chosen = {files[i * (len(files) - 1) // 2] for i in range(3)} if files else ()
  return bool(chosen) and all(_is_mask(tree, file) for file in chosen)


def pixels_of(tree: Tree, file: str) -> np.ndarray | None:
  """All pixels of an image, as they are stored; None if it cannot be read."""
  try:
    with Image.open(tree.path(file)) as image:
      return np.asarray(image)
  except Exception:  # noqa: BLE001  Whatever it is, the check will say so.
    return None


def _is_mask(tree, file):
  pixels = pixels_of(tree, file)
  if pixels is None:
    return False
  step = max(1, max(pixels.shape[:2]) // _SIDE)
  pixels = pixels[::step, ::step]
  if pixels.ndim == 2:
    return len(np.unique(pixels)) <= MOST_VALUES
  return len(np.unique(pixels.reshape(-1, pixels.shape[-1]), axis=0)) <= (
    MOST_VALUES
  )
