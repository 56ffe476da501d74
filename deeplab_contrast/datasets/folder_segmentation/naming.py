"""Images and masks that do not find each other: what their names lack."""

import os

from deeplab_contrast.datasets.raw import file_pairs
from deeplab_contrast.utils import errors


def check(images, masks, pairs):
  """Refuses folders in which no image has a mask.

  Single missing files are told by the check of all files; where nothing fits,
  thousands of them would hide the one reason.

  Args:
    images: the folder of the images.
    masks: the folder of the masks; None for images without labels.
    pairs: what was found in them, see `file_pairs.pairs`.

  Raises:
    DataError: tells the suffix to state, or the files that were found.
  """
  if masks is None or not pairs:
    return
  if any(pair.image.exists() and pair.mask.exists() for pair in pairs):
    return
  found = sorted(pair.image for pair in pairs if pair.image.exists())
  labels = sorted(pair.mask for pair in pairs if pair.mask.exists())
  if not found:
    raise _nothing('image', images, file_pairs.IMAGE_ENDINGS)
  if not labels:
    raise _nothing('mask', masks, file_pairs.MASK_ENDINGS)
  mask = max(labels, key=lambda label: _common(found[0], label))
  raise errors.DataError(
    f'No mask in {masks} has the name of an image in {images}: there are '
    f'{found[0].name} and {mask.name}. '
    + _remedy(found[0].stem, mask.stem, found, labels)
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
    f'{folder} has no {kind} with the suffix stated in the description and '
    f'one of the endings {" ".join(endings)}{others}.'
  )


def _common(image, mask):
  return len(os.path.commonprefix([image.stem, mask.stem]))


def _remedy(image, mask, found, labels):
  """What to do, tried on all names before it is told."""
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
  return 'Give each mask the name of its image, or one that only adds a suffix.'
