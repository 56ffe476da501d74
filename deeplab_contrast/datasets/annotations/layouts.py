"""Which folders have images, and which have their masks."""

import collections
import dataclasses
import json
import posixpath
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from deeplab_contrast.datasets.annotations import folder_pairs, splits
from deeplab_contrast.datasets.annotations.tree import Tree
from deeplab_contrast.utils import errors

LOSSLESS = ('.png', '.bmp', '.tif', '.tiff', '.gif')
# More colours than this are a photo.
MOST_VALUES = 64
# The pixels of the sides of a file that is looked at.
_SIDE = 256


@dataclasses.dataclass(frozen=True)
class Layout:
  """Folders and how names match, as `Description` has them.

  Attributes:
    keys: of `Description`: the folders, maybe with a star, and how names match.
    has_splits: whether the star or subfolders are splits.
    masks: the mask files.
    unlabelled: splits without masks.
  """

  keys: Mapping[str, str]
  has_splits: bool
  masks: tuple[str, ...]
  unlabelled: tuple[str, ...] = ()


def find(tree: Tree, stated: Mapping[str, Any]) -> Layout | None:
  """The layout of folders of images and masks; None if there are none.

  Args:
    tree: all files.
    stated: keys of dataset.json; the folders that it states are taken.

  Raises:
    DataError: folders fit in several ways, or one description cannot say how.
  """
  folders: dict[str, list[str]] = collections.defaultdict(list)
  for file in tree.images:
    folders[posixpath.dirname(file)].append(file)
  found = _in_one_folder(tree, folders, stated)
  found = found or _in_two_folders(tree, folders, stated)
  if not found:
    return None
  for pair in found:
    _check_second_masks(tree, pair, folders[pair.masks])
  image_folder, mask_folder, has_splits = _template(tree.root, found)
  known = {folder for pair in found for folder in pair[:2]}
  unlabelled = _stars(image_folder, set(folders) - known) if has_splits else ()
  return Layout(
    {
      **found[0].keys(),
      'image_folder': image_folder,
      'mask_folder': mask_folder,
    },
    has_splits,
    tuple(mask for pair in found for mask in pair.files),
    unlabelled,
  )


def unpaired(tree: Tree) -> tuple[str, str] | None:
  """An image and a mask (as it looks) whose names do not match, or None."""
  images = [
    f for f in tree.images if not folder_pairs.is_of_masks(posixpath.dirname(f))
  ]
  masks = [
    f for f in tree.images if folder_pairs.is_of_masks(posixpath.dirname(f))
  ]
  masks = [f for f in masks if f.lower().endswith(LOSSLESS)]
  return (images[0], masks[0]) if images and _are_masks(tree, masks) else None


def by_order(image: str, mask: str) -> str:
  """JSON that pairs the files of two folders in the order of their names."""
  of_image, of_mask = posixpath.dirname(image), posixpath.dirname(mask)
  pair = folder_pairs.FolderPair(of_image, of_mask, ('', ''), (), by_order=True)
  return json.dumps(pair.keys())


def _stars(template, folders):
  """What the star stands for in folders of this form, or below them."""
  found = [_star(template, folder) for folder in folders]
  return tuple(sorted({match[1] for match in found if match}))


def _star(template, folder):
  """A match: what the star stands for (if any), and what is below."""
  pattern = re.escape(template).replace(r'\*', '([^/]+)')
  pattern = '' if template == '.' else f'{pattern}(?:$|/)'
  return re.match(f'{pattern}(?P<below>.*)', folder)


def _stated(folders, template):
  """The folders of a template that dataset.json states."""
  if not isinstance(template, str):
    return folders
  template = posixpath.normpath(template)
  return {f: files for f, files in folders.items() if _star(template, f)}


def _in_one_folder(tree, folders, stated):
  """The pairs where masks are beside images."""
  given = stated.get('image_folder'), stated.get('mask_folder')
  if given[0] != given[1]:
    return []
  found = []
  for folder, files in sorted(_stated(folders, given[0]).items()):
    pair = (
      _with_suffix(tree, folder, files)
      or _pngs(tree, folder, files)
      or _two_ends(tree, folder, files)
    )
    found += [pair] if pair else []
  return found


def _with_suffix(tree, folder, files):
  """Masks that have the name of an image and a suffix, or None."""
  names = dict(zip(files, folder_pairs.stems(files), strict=True))
  stems = set(names.values())
  ends = collections.Counter(
    stem[i:] for stem in stems for i in range(1, len(stem)) if stem[:i] in stems
  )
  for suffix, count in ends.most_common(1):
    masks = [f for f in files if names[f].endswith(suffix)]
    if 3 * count >= len(stems) and _are_masks(tree, masks):
      return folder_pairs.FolderPair(folder, folder, ('', suffix), tuple(masks))
  return None


def _pngs(tree, folder, files):
  """Masks that are PNG files beside photos of the same name, or None."""
  pngs = [f for f in files if f.lower().endswith('.png')]
  others = set(folder_pairs.stems(set(files) - set(pngs)))
  if others & set(folder_pairs.stems(pngs)) and _are_masks(tree, pngs):
    return folder_pairs.FolderPair(folder, folder, ('', ''), tuple(pngs))
  return None


def _two_ends(tree, folder, files):
  """Images and masks that both have an end, 1_image and 1_mask; or None."""
  groups: dict[str, list[str]] = collections.defaultdict(list)
  for file, stem in zip(files, folder_pairs.stems(files), strict=True):
    groups[folder_pairs.last_word(stem)].append(file)
  large = [g for end, g in groups.items() if end and 4 * len(g) >= len(files)]
  masks = [file for g in large if _are_masks(tree, g) for file in g]
  photos = [file for g in large for file in g if file not in set(masks)]
  if not masks or not photos:
    return None
  found = folder_pairs.find(tree.root, {folder: photos}, {folder: masks})
  return next((p for p in found if all(p.ends) and not p.by_order), None)


def _in_two_folders(tree, folders, stated):
  """The pairs of a folder of images and one of masks."""
  masks = {f: files for f, files in folders.items() if _are_masks(tree, files)}
  if len(masks) == len(folders):  # Drawings, tiny photos have few colours too.
    masks = {
      f: files for f, files in masks.items() if folder_pairs.is_of_masks(f)
    }
  if 'mask_folder' in stated:
    masks = _stated(folders, stated['mask_folder'])
  photos = {f: files for f, files in folders.items() if f not in masks}
  photos = _stated(photos, stated.get('image_folder'))
  by_order = stated.get('pair_by') == 'order'
  return folder_pairs.find(tree.root, photos, masks, by_order)


def _check_second_masks(tree, pair, files):
  """Refuses a_mask_1.png beside a_mask.png: it would be left out."""
  if not pair.ends[1]:
    return
  masks = set(folder_pairs.stems(pair.files))
  for file, stem in zip(files, folder_pairs.stems(files), strict=True):
    starts = (stem[:i] for i in range(1, len(stem)) if not stem[i].isalnum())
    first = next((start for start in starts if start in masks), None)
    if first and stem not in masks:
      raise errors.DataError(
        f'{tree.path(file)} looks like a second mask of the image of {first}: '
        'merge both into one mask, or move it out of the folder.'
      )


def _template(root, pairs):
  """(image folder, mask folder, whether they have splits) for all pairs.

  Raises:
    DataError: two names of folders and suffixes cannot describe all of them.
  """
  if len(pairs) == 1:
    return pairs[0].images or '.', pairs[0].masks or '.', False
  ways: dict[tuple[str, str], set[str]] = collections.defaultdict(set)
  for pair in pairs:
    for name in _split_names(pair.images):
      starred = _starred(pair.images, pair.masks, name)
      if starred:
        ways[starred].add(name)
  same_names = len({(pair.ends, pair.by_order) for pair in pairs}) == 1
  for (images, masks), names in ways.items():
    meant = {splits.of_name(name) for name in names}
    is_split = len(meant - {None}) == len(names) > 1
    if is_split and same_names and _describes(images, masks, pairs):
      return images, masks, True
  images, masks = (
    '/'.join(posixpath.commonprefix([p[i].split('/') for p in pairs])) or '.'
    for i in (0, 1)
  )
  if same_names and _describes(images, masks, pairs):
    return images, masks, False
  raise errors.DataError(_cannot_describe(root, pairs))


def _describes(images, masks, pairs):
  """Whether folders of all pairs have the same star and subfolders."""
  for pair in pairs:
    found = _star(images, pair.images), _star(masks, pair.masks)
    if not all(found) or found[0].groups() != found[1].groups():
      return False
  return True


def _cannot_describe(root, pairs):
  places = [f'{p.images or "."} with {p.masks or "."}' for p in pairs]
  more = f' and {len(places) - 2} more' if len(places) > 2 else ''
  name = next(iter(_split_names(pairs[0].images)), 'part1')
  return (
    f'{root} has images and masks in several places ({"; ".join(places[:2])}'
    f'{more}), which dataset.json cannot describe together: move all images '
    f'into one folder and all masks into another, with the same subfolders and '
    f'names in both (images/{name}, masks/{name}), or leave only one place.'
  )


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
  files = [f for f in files if f.lower().endswith(LOSSLESS)]
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
