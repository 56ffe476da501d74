"""What lies in a folder, and the dataset.json that describes it."""

import dataclasses
import pathlib
import re
from collections.abc import Mapping
from typing import Any

from deeplab_contrast.datasets.annotations import formats, mask_files
from deeplab_contrast.datasets.annotations.tree import Tree
from deeplab_contrast.imaging import images
from deeplab_contrast.utils import errors

# Which keys of dataset.json go together: stating one is stating all.
_TOGETHER = (
  ('lists', 'fractions', 'splits'),
  ('image_folder', 'mask_folder', 'image_suffix', 'mask_suffix'),
)


@dataclasses.dataclass(frozen=True)
class Recognised:
  """What was found.

  Attributes:
    what: in words.
    keys: all that dataset.json can say about it.
  """

  what: str
  keys: Mapping[str, Any]


def recognise(
  root: pathlib.Path, stated: Mapping[str, Any]
) -> Recognised | None:
  """Finds out what a folder has.

  Args:
    root: the folder.
    stated: the keys of dataset.json that are known; they are kept.

  Returns:
    What was found, completed; None if nothing is known.

  Raises:
    DataError: there are annotations, but they are damaged.
    ConfigError: there is only one class.
  """
  tree = Tree(root)
  name = formats.recognise(tree)
  if name:
    what, keys = _drawn(tree, name, stated)
    stated = {k: v for k, v in stated.items() if k not in _TOGETHER[1]}
  else:
    found = mask_files.recognise(tree, stated)
    if found is None:
      return None
    what, keys = found
  if 'classes' not in stated:
    _check_classes(root, what, keys.get('classes', ()))
  for together in _TOGETHER:
    if set(together) & set(stated):
      keys = {k: v for k, v in keys.items() if k not in together}
  if 'classes' in stated:
    keys = {k: v for k, v in keys.items() if k != 'ids'}
  return Recognised(what, {'name': _name(root), **keys, **stated})


def _check_classes(root, what, names):
  if len(names) == 1:
    raise errors.ConfigError(
      f'{root} has {what}: that is only the class {next(iter(names))!r}, so '
      'there is nothing to learn; name every class, the background too.'
    )


def _drawn(tree, name, stated):
  found = formats.read(name, tree)
  keys: dict[str, Any] = {'masks': name}
  first = found.background
  names = [first, *(n for n in found.names if n != first)]
  colors = images.voc_colormap(min(len(names), 256))
  if 'classes' not in stated:
    keys['classes'] = {n: list(c) for n, c in zip(names, colors, strict=False)}
  what = formats.FORMATS[name].title
  has_splits = [image.split for image in found.images]
  if None in has_splits or len(set(has_splits)) < 2:
    keys['fractions'] = {'val': 0.2}
  if None in has_splits and any(has_splits):
    count = has_splits.count(None)
    what += f' ({count} of {len(has_splits)} images are in no split: all drawn)'
  return what, keys


def _name(root):
  name = re.sub(r'[^A-Za-z0-9]+', '_', root.absolute().name).strip('_')
  return name or 'mine'
