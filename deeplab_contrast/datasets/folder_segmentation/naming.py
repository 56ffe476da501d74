"""Images and masks whose names do not match: finds out why."""

import os
import pathlib
import posixpath
import re
from collections.abc import Sequence

from deeplab_contrast.datasets.raw import file_pairs, raw_pairs
from deeplab_contrast.utils import errors


def check(
  images: pathlib.Path,
  masks: pathlib.Path | None,
  pairs: Sequence[raw_pairs.Pair],
) -> None:
  """Refuses folders in which no image has a mask.

  The check of all files reports single missing files; if none match, thousands
  of them would hide the common cause.

  Args:
    images: the folder of the images.
    masks: the folder of the masks; None for images without labels.
    pairs: the files found in them, see `file_pairs.pairs`.

  Raises:
    DataError: names the suffix to state, or the files that were found.
  """
  if masks is None or not pairs:
    return
  if any(p.image.exists() and p.mask and p.mask.exists() for p in pairs):
    return
  found = sorted(pair.image for pair in pairs if pair.image.exists())
  files = (p.mask for p in pairs if isinstance(p.mask, pathlib.Path))
  labels = sorted(file for file in files if file.exists())
  if not found and labels and images == masks:
    raise errors.DataError(
      f'{images} has masks such as {labels[0].name}, but no images: in one '
      'folder, PNG files are masks unless a suffix tells them apart; state '
      '"image_suffix" or "mask_suffix", or give images and masks different '
      'folders.'
    )
  if not found:
    raise _nothing('image', images, file_pairs.IMAGE_ENDINGS)
  if not labels:
    raise _nothing('mask', masks, file_pairs.MASK_ENDINGS)
  if re.match(r'task-\d+-annotation-\d+-', labels[0].name):
    raise errors.DataError(
      f"{masks} has Label Studio's masks of one label each, such as "
      f'{labels[0].name}, whose names hold no image: put the JSON export of '
      f'the project into {masks.parent}, which has names and strokes, and '
      'state "masks": "label_studio"; or state "masks": "label_studio_png", '
      '"pair_by": "order" if the tasks are the images in the order of their '
      'names.'
    )
  mask = max(labels, key=lambda label: _common(found[0], label))
  names = (
    path.relative_to(folder).as_posix()
    for path, folder in ((found[0], images), (mask, masks))
  )
  raise errors.DataError(
    f'No mask in {masks} has the name of an image in {images}: there are '
    f'{" and ".join(names)}. '
    + (_other_folder(pairs) or _remedy(found[0].stem, mask.stem, found, labels))
  )


def _other_folder(pairs):
  """What to do if names match, but not the subfolders; or ''."""
  images, masks = (
    {posixpath.basename(p.id): p.id for p in reversed(pairs) if exists(p)}
    for exists in (
      lambda pair: pair.image.exists(),
      lambda pair: pair.mask.exists(),
    )
  )
  shared = sorted(set(images) & set(masks))
  if 2 * len(shared) < min(len(images), len(masks)):
    return ''
  places = [posixpath.dirname(ids[shared[0]]) or '.' for ids in (images, masks)]
  return (
    f'The names match, but not the subfolders {" and ".join(places)}: put all '
    'images into one folder and all masks into another, with the same '
    'subfolders in both.'
  )


def _nothing(kind, folder, endings):
  names = sorted(
    file
    for _, _, files in os.walk(folder)
    for file in files
    if not file_pairs.is_rubbish(file)
  )
  others = f'; it has {names[0]}' if names else ''
  return errors.DataError(
    f'{folder} has no {kind} with the suffix (if the description states '
    f'one) and one of the extensions {" ".join(endings)}{others}.'
  )


def _common(image, mask):
  return len(os.path.commonprefix([image.stem, mask.stem]))


def _remedy(image, mask, found, labels):
  """What to do, after trying it on all names."""
  start = os.path.commonprefix([image, mask]).rstrip('_-. ')
  ends = image[len(start) :], mask[len(start) :]
  bases = {p.stem.removesuffix(ends[0]) for p in found}
  fit = bases & {p.stem.removesuffix(ends[1]) for p in labels}
  if start and any(ends) and 2 * len(fit) > len(bases):
    keys = zip(('image_suffix', 'mask_suffix'), ends, strict=True)
    stated = ', '.join(f'"{key}": "{end}"' for key, end in keys if end)
    return f'State {stated} in the description.'
  lower = {p.stem.lower() for p in labels}
  if any(p.stem.lower() in lower for p in found):
    return 'They differ in upper and lower case: rename one of them.'
  return (
    'Give each mask the name of its image, or one that only adds a suffix; or '
    'state "pair_by": "order" if both have the same order.'
  )
