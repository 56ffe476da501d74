"""What to say about a folder in which nothing is recognised."""

import pathlib
import shlex

from deeplab_contrast.datasets.annotations import (
  folder_pairs,
  formats,
  layouts,
  tree,
)

_ARCHIVES = ('.zip', '.tar', '.tar.gz', '.tgz', '.tar.bz2', '.tar.xz')
_BLURRED = ('.jpg', '.jpeg', '.jfif', '.webp')
# Tools write the size of a box within the first bytes of a file.
_HEAD = 4000


def sentence(folder: pathlib.Path) -> str:
  """What is there, what is missing, and what to do."""
  if folder.is_file():
    name = folder.name.partition('.')[0]
    return _archive(folder, folder.parent / f'{name}_unpacked')
  files = tree.Tree(folder)
  if not files.images and (found := files.ending(*_ARCHIVES)):
    return _archive(files.path(found[0]), folder)
  if found := _blurred(files):
    return (
      f'{folder} has masks such as {found}, saved in a format that blurs them, '
      'so that values mix at the edges: export PNG; black and white ones can '
      'be repaired, see "saved as JPEG" in docs/own_data.md.'
    )
  if unpaired := layouts.unpaired(files):
    image, mask = unpaired
    return (
      f'{folder} has masks such as {mask} and images such as {image}, whose '
      'names do not match: give each mask the name of its image, or one that '
      'only adds a suffix; or, if both have the same order, state in '
      f'{tree.DESCRIPTION}: {layouts.by_order(image, mask)}.'
    )
  if found := _smooth(files):
    return (
      f'{folder} has masks such as {found}, but of more than '
      f'{layouts.MOST_VALUES} values or colours, so that they are pictures of '
      'masks, or have smooth edges, or number objects instead of classes: '
      'export one value or colour for each class.'
    )
  if found := _boxes(files):
    return (
      f'{folder} has boxes around objects ({found}), but no masks or polygons, '
      'from which alone pixels can be learned: annotate those, and export them.'
    )
  endings = sorted({pathlib.PurePosixPath(f).suffix for f in files.files})
  endings = [ending for ending in endings if ending]
  count = len(files.files)
  if not count:
    return f'{folder} has no files: --raw_dir must be the folder of the images.'
  has = f'{count} files ({" ".join(endings[:8])})'
  known = ', '.join(f.title for f in formats.FORMATS.values())
  return (
    f'{folder} has no {tree.DESCRIPTION}, and {has} in which neither masks nor '
    f'annotations of a known tool were recognised ({known}): export one of '
    'these, or write a description, see docs/own_data.md.'
  )


def _archive(file, folder):
  flags = shlex.join([f'--raw_dir={folder}', f'--archive={file}'])
  return f'{file} is an archive: unpack it, or give {flags}.'


def _blurred(files):
  """The first mask that is a JPEG, by the name of its folder; or None."""
  return next(
    (
      file
      for file in files.ending(*_BLURRED)
      if folder_pairs.is_of_masks(file.rpartition('/')[0])
    ),
    None,
  )


def _smooth(files):
  """The first other file in a folder of masks, by its name; or None."""
  return next(
    (f for f in files.images if folder_pairs.is_of_masks(f.rpartition('/')[0])),
    None,
  )


def _boxes(files):
  """The first file of boxes as PASCAL VOC has them, or None."""
  file = next(iter(files.ending('.xml')), None)
  if file is not None:
    with files.path(file).open('rb') as opened:
      if b'<bndbox' in opened.read(_HEAD):
        return file
  return None
