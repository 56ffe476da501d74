"""Images and masks that belong together by their names."""

import os
import pathlib

from deeplab_contrast.datasets import raw_pairs

IMAGE_ENDINGS = (
  *('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp', '.gif'),
)
# JPEG is no mask, but someone who has such masks should be told that.
MASK_ENDINGS = ('.png', '.bmp', '.tif', '.tiff', '.gif', '.jpg', '.jpeg')


def pairs(images, masks, image_suffix='', mask_suffix=''):
  """Pairs image files with mask files of the same name.

  Whatever lacks its image or mask is a Pair too, of a file that does not
  exist, so that the check tells it.

  Args:
    images: folder, searched with all below it.
    masks: likewise; None for images without labels.
    image_suffix: what image names have behind the id, before the ending.
    mask_suffix: likewise of masks: '_L' for a.jpg and a_L.png.

  Returns:
    Pairs, sorted by id: the path below the folder, without suffix and ending.
  """
  found = find(images, image_suffix, IMAGE_ENDINGS)
  if images == masks and mask_suffix:
    found = [f for f in found if not f[1].stem.endswith(mask_suffix)]
  if masks is None:
    return tuple(raw_pairs.Pair(name, file, None) for name, file in found)
  of_name = {}
  for name, file in find(masks, mask_suffix, MASK_ENDINGS):
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


def find(folder, suffix, endings):
  """(id, path) of all files below a folder with these endings, sorted.

  Links to folders are followed, each folder only once; names that begin with
  a dot are what systems leave lying about, and skipped.
  """
  found, seen = [], set()
  for place, folders, files in os.walk(folder, followlinks=True):
    real = os.path.realpath(place)
    if real in seen:
      folders.clear()
      continue
    seen.add(real)
    folders[:] = sorted(name for name in folders if name[0] != '.')
    for file in files:
      path = pathlib.Path(place, file)
      stem = path.stem.removesuffix(suffix)
      is_ours = path.suffix.lower() in endings and path.stem == stem + suffix
      if file[0] != '.' and stem and is_ours:
        name = path.with_name(stem).relative_to(folder)
        found.append((name.as_posix(), path))
  return sorted(found)
