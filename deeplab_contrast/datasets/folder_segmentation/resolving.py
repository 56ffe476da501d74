"""Completes the description of own data by what lies in their folder."""

import os
import pathlib

from deeplab_contrast.datasets.annotations import recognition
from deeplab_contrast.datasets.folder_segmentation import (
  description,
  description_file,
  meaning,
  unknown,
)
from deeplab_contrast.datasets.raw import file_pairs, raw_pairs
from deeplab_contrast.utils import errors

# Endings of files that can be masks.
_LOSSLESS = ('.png', '.bmp', '.tif', '.tiff', '.gif')

Resolved = tuple[description.Description, recognition.Recognised | None]


def resolve(root: str | None, path: str) -> Resolved:
  """The description of the data in a folder.

  Args:
    root: the folder; None if unknown.
    path: of a JSON file that describes it, in full or in part; if it is in
      `root` it may be missing.

  Returns:
    (description, recognised): what was found in the folder, if that was needed.

  Raises:
    ConfigError: the file is wrong, or missing though nothing is recognised.
    DataError: annotations in the folder are damaged.
  """
  folder = pathlib.Path(root).expanduser() if root else None
  if (
    folder is not None
    and pathlib.Path(path).parent == folder
    and folder.is_dir()
    and not os.path.lexists(path)
  ):
    found = recognition.recognise(folder, {})
    if found is None:
      raise errors.ConfigError(unknown.sentence(folder))
    return description_file.make(found.keys, folder / '(as recognised)'), found
  if folder is not None and folder.is_file():
    raise errors.ConfigError(unknown.sentence(folder))
  stated, file = description_file.read(path)
  if folder is None or not folder.is_dir() or _is_complete(folder, stated):
    return description_file.make(_of_cvat(folder, stated), file), None
  found = recognition.recognise(folder, stated)
  if found is None:
    return description_file.make(stated, file), None
  return description_file.make(found.keys, file), found


def _is_complete(folder, stated):
  """Whether classes and masks are stated, and such masks are there."""
  if 'classes' not in stated:
    return False
  if stated.get('masks', 'ids') not in meaning.FILES:
    return True
  places = folder, folder / str(stated.get('name', ''))
  return any(_has_masks(place, stated) for place in places)


def _has_masks(folder, stated):
  names = (
    stated.get('mask_folder', 'masks'),
    stated.get('image_folder', 'images'),
  )
  if not all(isinstance(name, str) for name in names):
    return True  # Which is refused with a better sentence.
  suffix = stated.get('mask_suffix', '')
  # Beside images in one folder, only PNGs are masks, unless a suffix says so.
  endings = ('.png',) if names[0] == names[1] and not suffix else _LOSSLESS
  return any(
    file_pairs.find(place, suffix, endings)
    for place in raw_pairs.subfolders(folder, names[0])
  )


def _of_cvat(folder, stated):
  """CVAT writes no mask where nothing is drawn."""
  is_cvat = folder is not None and (folder / 'labelmap.txt').is_file()
  if is_cvat and not {'missing_mask', 'unlabelled'} & set(stated):
    return {**stated, 'missing_mask': meaning.BACKGROUND}
  return stated
