"""Images and masks that belong together by their names."""

import os
import pathlib
import unicodedata

from deeplab_contrast.datasets.raw import raw_pairs

IMAGE_ENDINGS = (
  *('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp', '.gif'),
)
# JPEG and WebP are no masks, but someone who has such should be told that.
MASK_ENDINGS = (
  *('.png', '.bmp', '.tif', '.tiff', '.gif', '.jpg', '.jpeg', '.webp'),
)

# What systems leave lying about: in archives of macOS, besides hidden files.
_RUBBISH = ('.', '__MACOSX')


def pairs(images, masks, image_suffix='', mask_suffix=''):
  """Pairs image files with mask files of the same name.

  Whatever lacks its image or mask is a Pair too, of a file that does not
  exist, so that the check tells it.

  Args:
    images: folder, searched with all below it.
    masks: likewise; None for images without labels. In one folder, masks are
      told by their suffix, images by theirs, or masks are what is PNG.
    image_suffix: what image names have behind the id, before the ending.
    mask_suffix: likewise of masks: '_L' for a.jpg and a_L.png.

  Returns:
    Pairs, sorted by id: the path below the folder, without suffix and ending.
  """
  found = find(images, image_suffix, IMAGE_ENDINGS)
  if masks is None:
    return tuple(raw_pairs.Pair(name, file, None) for name, file in found)
  labels = find(masks, mask_suffix, MASK_ENDINGS)
  if images == masks:
    found, labels = _apart(found, labels, image_suffix, mask_suffix)
  of_name = {}
  for name, file in labels:
    of_name.setdefault(name, []).append(file)
  result = []
  for name, file in found:
    own = of_name.get(name) or [masks / f'{name}{mask_suffix}.png']
    # Several masks of one image are told as one id that is there twice.
    result += [raw_pairs.Pair(name, file, mask) for mask in own]
  for name in sorted(set(of_name) - {name for name, _ in found}):
    image = images / f'{name}{image_suffix}.jpg'
    result.append(raw_pairs.Pair(name, image, of_name[name][0]))
  return tuple(result)


def is_rubbish(name):
  """Whether nobody made this file or folder on purpose."""
  return name.startswith(_RUBBISH)


def _apart(found, labels, image_suffix, mask_suffix):
  """Of what lies in one folder, the images and the masks."""
  if mask_suffix:
    return [f for f in found if not f[1].stem.endswith(mask_suffix)], labels
  if image_suffix:
    return found, [f for f in labels if not f[1].stem.endswith(image_suffix)]
  return (
    [f for f in found if f[1].suffix.lower() != '.png'],
    [f for f in labels if f[1].suffix.lower() == '.png'],
  )


def find(folder, suffix, endings):
  """(id, path) of all files below a folder with these endings, sorted.

  Links to folders are followed, each folder only once; what systems leave
  lying about is skipped. Ids are composed (NFC): macOS writes an umlaut as two
  characters, so names that look alike would differ.
  """
  found, seen = [], set()
  for place, folders, files in os.walk(folder, followlinks=True):
    real = os.path.realpath(place)
    if real in seen:
      folders.clear()
      continue
    seen.add(real)
    folders[:] = sorted(name for name in folders if not is_rubbish(name))
    for file in files:
      path = pathlib.Path(place, file)
      stem = path.stem.removesuffix(suffix)
      is_ours = path.suffix.lower() in endings and path.stem == stem + suffix
      if not is_rubbish(file) and stem and is_ours:
        name = path.with_name(stem).relative_to(folder).as_posix()
        found.append((unicodedata.normalize('NFC', name), path))
  return sorted(found)
