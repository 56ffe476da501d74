"""Images and masks, paired by their names."""

import os
import pathlib
import re
import unicodedata
from collections.abc import Collection

from deeplab_contrast.datasets.raw import raw_pairs
from deeplab_contrast.imaging import image_list
from deeplab_contrast.utils import errors, files

IMAGE_ENDINGS = image_list.ENDINGS
# JPEG and WebP are found only so that the check can refuse them.
MASK_ENDINGS = (
  *('.png', '.bmp', '.tif', '.tiff', '.gif', '.jpg', '.jpeg', '.webp'),
)

# Hidden files, what macOS adds to archives and network drives to folders
# (thumbnails, deleted files), and what we prepare ourselves.
_RUBBISH = ('.', '__MACOSX')
_RUBBISH_NAMES = (
  *('@eadir', '#recycle', '@recycle', '#snapshot', '$recycle.bin'),
  *('system volume information', 'lost+found', 'folder_segmentation'),
)


def pairs(
  images: pathlib.Path,
  masks: pathlib.Path | None,
  image_suffix: str = '',
  mask_suffix: str = '',
  by_order: bool = False,
) -> tuple[raw_pairs.Pair, ...]:
  """Pairs image files with mask files of the same name.

  A file without its image or mask also makes a Pair, with a file that does not
  exist, so that the check reports it.

  Args:
    images: folder, searched with all its subfolders.
    masks: likewise; None for images without labels. If both are one folder,
      masks are known by their suffix, or images by theirs, or masks are PNG.
    image_suffix: what image names have after the id, before the extension.
    mask_suffix: likewise of masks: '_L' for a.jpg and a_L.png.
    by_order: pairs the files in the order of their names and numbers instead.

  Returns:
    Pairs, sorted by id: the path in the folder, without suffix and extension.

  Raises:
    DataError: there are more of one kind than of the other, for `by_order`.
  """
  found = find(images, image_suffix, IMAGE_ENDINGS)
  if masks is None:
    return tuple(raw_pairs.Pair(name, file, None) for name, file in found)
  labels = find(masks, mask_suffix, MASK_ENDINGS)
  if images == masks:
    found, labels = _apart(found, labels, image_suffix, mask_suffix)
  if by_order:
    return _by_order(images, found, masks, labels)
  of_name: dict[str, list[pathlib.Path]] = {}
  for name, file in labels:
    of_name.setdefault(name, []).append(file)
  result = []
  for name, file in found:
    own = of_name.get(name) or [masks / f'{name}{mask_suffix}.png']
    # Several masks of one image are reported as a repeated id.
    result += [raw_pairs.Pair(name, file, mask) for mask in own]
  # A missing image is named as the others are.
  ending = found[0][1].suffix if found else '.jpg'
  for name in sorted(set(of_name) - {name for name, _ in found}):
    image = images / f'{name}{image_suffix}{ending}'
    result.append(raw_pairs.Pair(name, image, of_name[name][0]))
  return tuple(result)


def _by_order(images, found, masks, labels):
  if len(found) != len(labels):
    raise errors.DataError(
      f'{images} has {len(found)} images and {masks} {len(labels)} masks, so '
      'they cannot be paired by their order.'
    )
  found, labels = (sorted(one, key=natural) for one in (found, labels))
  return tuple(
    raw_pairs.Pair(name, image, mask)
    for (name, image), (_, mask) in zip(found, labels, strict=True)
  )


def natural(file: tuple[str, pathlib.Path]) -> list[tuple[int, str]]:
  """A key to sort (id, path): 'a2' is before 'a10'."""
  parts = re.split(r'(\d+)', file[0])
  return [(int(p), '') if p.isdecimal() else (-1, p) for p in parts]


def is_rubbish(name: str) -> bool:
  """Whether a system (or we) made this file or folder, not a person."""
  return name.startswith(_RUBBISH) or name.lower() in _RUBBISH_NAMES


def _apart(found, labels, image_suffix, mask_suffix):
  """The images and the masks of one folder."""
  if mask_suffix:
    return [f for f in found if not f[1].stem.endswith(mask_suffix)], labels
  if image_suffix:
    return found, [f for f in labels if not f[1].stem.endswith(image_suffix)]
  return (
    [f for f in found if f[1].suffix.lower() != '.png'],
    [f for f in labels if f[1].suffix.lower() == '.png'],
  )


def find(
  folder: pathlib.Path, suffix: str, endings: Collection[str]
) -> list[tuple[str, pathlib.Path]]:
  """(id, path) of all files in a folder with these extensions, sorted.

  Links to folders are followed, each folder only once; rubbish is skipped. Ids
  are composed (NFC): macOS writes an umlaut as two characters, so names that
  look alike would differ.

  Raises:
    DataError: one is a pipe or a device.
  """
  found, seen = [], set()
  for place, folders, names in os.walk(folder, followlinks=True):
    real = os.path.realpath(place)
    if real in seen:
      folders.clear()
      continue
    seen.add(real)
    folders[:] = sorted(name for name in folders if not is_rubbish(name))
    for file in names:
      path = pathlib.Path(place, file)
      stem = path.stem.removesuffix(suffix)
      is_ours = path.suffix.lower() in endings and path.stem == stem + suffix
      if not is_rubbish(file) and stem and is_ours:
        files.refuse_special(path)
        name = path.with_name(stem).relative_to(folder).as_posix()
        found.append((unicodedata.normalize('NFC', name), path))
  return sorted(found)
