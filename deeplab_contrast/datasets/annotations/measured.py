"""What the values in masks mean, as far as the masks themselves show it."""

import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from deeplab_contrast.datasets.annotations import soft_edges
from deeplab_contrast.datasets.annotations.annotated import background_first
from deeplab_contrast.datasets.annotations.tree import Tree
from deeplab_contrast.datasets.raw import palettes, raw_pairs
from deeplab_contrast.imaging import masks
from deeplab_contrast.utils import errors

_MOST_CLASSES = 64
_MOST_READ = 5000
# How many files are looked at to see whether values mix at edges.
_MOST_EDGES = 40

# Masks of colours on transparent ground.
_CLEAR = 'clear'
# White of a black and white file: 1 or 255.
_WHITE = 256
_BLACK_AND_WHITE = {palettes.BLACK, palettes.WHITE}


class _Found(NamedTuple):
  """What a mask file has.

  Attributes:
    path: the file.
    kind: 'ids', 'colors' or 'clear'; '' if it cannot be read.
    values: its values or colours.
    palette: the colours of its indices, if it has a palette.
    error: why it cannot be read.
  """

  path: pathlib.Path
  kind: str
  values: list[Any]
  palette: dict[int, tuple]
  error: errors.DataError | None = None


def measure(
  tree: Tree, files: Sequence[str], void: Sequence[int] = ()
) -> dict[str, Any]:
  """Keys of dataset.json for masks; class names are made up.

  Args:
    tree: the files.
    files: the masks.
    void: values to leave out, unless only one other value would remain.

  Raises:
    DataError: no mask can be read, or they do not show what they mean.
  """
  step = max(1, len(files) // _MOST_READ)
  paths = [tree.path(file) for file in files[::step]]
  found = _readable(raw_pairs.in_threads(_values, paths))
  kinds = {one.kind for one in found}
  if _palettes_differ(found) or len(kinds) > 1:
    found = _readable(raw_pairs.in_threads(_colors, paths))
    if 'ids' in kinds:
      _check_same_colors(found)
    kinds = {one.kind for one in found}
  values = sorted({value for one in found for value in one.values})
  is_clear = _CLEAR in kinds  # Others may happen to be opaque.
  if len(values) > soft_edges.LEAST:
    _check_edges(tree, [one.path for one in found], 'ids' in kinds)
  if not (0 if is_clear else 1) < len(values) <= _MOST_CLASSES:
    raise errors.DataError(
      f'{tree.root} has images and masks, but what the masks mean is unclear '
      f'({len(values)} values or colours): write a dataset.json with "classes",'
      ' see docs/own_data.md.'
    )
  return (
    _of_ids(found, values, void)
    if kinds == {'ids'}
    else _of_colors(values, is_clear)
  )


def _readable(found):
  """Those that can be read; the check of all files reports the others."""
  found = list(found)
  good = [one for one in found if one.kind]
  if found and not good:
    raise found[0].error
  return good


def _of_colors(values, is_clear):
  colors = {_color_name(c): list(c) for c in values}
  if not is_clear:
    return {'masks': 'colors', 'classes': background_first(colors)}
  about = {'masks': 'colors', 'transparent': 'background'}
  return {**about, 'classes': {'background': [0, 0, 0], **colors}}


def _color_name(color):
  return 'background' if not any(color) else 'color_{}_{}_{}'.format(*color)


def _of_ids(found, values, void):
  if _WHITE in values:
    is_one = 1 in values or 255 not in values
    values = sorted({*values, 1 if is_one else 255} - {_WHITE})
  if len(values) > 2:
    values = [value for value in values if value not in void]
  is_void = any({1, 255} <= set(one.values) for one in found)
  if set(values) == {0, 255} or (set(values) == {0, 1, 255} and not is_void):
    return {'classes': ['background', 'object'], 'ids': [0, 255]}
  ids = values
  if not _are_shades(values):
    ids = [value for value in values if value != 255]
  names = ['background' if i == 0 else f'class_{i}' for i in ids]
  if len(ids) == 2 and ids[0] == 0:
    names = ['background', 'object']
  keys: dict[str, Any] = {'classes': names}
  return keys if ids == list(range(len(ids))) else {**keys, 'ids': ids}


def _are_shades(values):
  """Whether classes are evenly spread greys, of which 255 is the last."""
  steps = np.diff(values)
  ends = values[0], values[-1]
  return len(values) > 2 and ends == (0, 255) and np.ptp(steps) <= 2


def _palettes_differ(found):
  """Whether an index has several colours, so that it is not an id."""
  shown: dict[int, tuple] = {}
  return any(
    shown.setdefault(index, color) != color
    for one in found
    for index, color in one.palette.items()
  )


def _check_same_colors(found):
  """Refuses grey masks whose greys no mask in colours has: are they ids?"""
  grey: list[_Found] = []
  colored: list[_Found] = []
  for one in found:
    is_grey = all(len(set(color)) == 1 for color in one.values)
    (grey if is_grey else colored).append(one)
  known = {(0, 0, 0), *(color for one in colored for color in one.values)}
  for one in grey:
    odd = next((color for color in one.values if color not in known), None)
    if colored and odd:
      raise errors.DataError(
        f'{one.path} is a grey mask with the value {odd[0]}, but '
        f'{colored[0].path} is in colours that do not have that grey: export '
        'all masks in the same way, in colours or as ids.'
      )


def _check_edges(tree, paths, are_ids):
  """Refuses masks with values that occur at edges only."""
  step = -(-len(paths) // _MOST_EDGES)
  read = _ids_of if are_ids else _colors_of
  soft = soft_edges.values(raw_pairs.in_threads(read, paths[::step]))
  if soft:
    values = [value[0] if are_ids else value for value in soft]
    raise errors.DataError(soft_edges.sentence(tree.root, paths[0], values))


def _values(path):
  """What a mask file has, as ids if it can be read so."""
  try:
    mask = masks.read(path)
  except errors.DataError as error:
    found = _colors(path)
    return found if found.kind else found._replace(error=error)
  palette = palettes.used(mask)
  values = np.unique(mask.values).tolist()
  if (
    mask.palette is not None
    and set(map(tuple, mask.palette.tolist())) <= _BLACK_AND_WHITE
  ):
    values = [_WHITE if palette.get(v) == palettes.WHITE else v for v in values]
  return _Found(path, 'ids', values, palette)


def _colors(path):
  try:
    colors, is_clear = masks.read_colors(path, may_be_clear=True)
  except errors.DataError as error:
    return _Found(path, '', [], {}, error)
  flat = np.unique(colors[~is_clear], axis=0)
  if len(flat) > _MOST_CLASSES:
    too_many = errors.DataError(
      f'{path} is not a mask: it has {len(flat)} colours; export one colour '
      'for each class.'
    )
    return _Found(path, '', [], {}, too_many)
  kind = _CLEAR if is_clear.any() else 'colors'
  return _Found(path, kind, list(map(tuple, flat.tolist())), {})


def _ids_of(path):
  return masks.read(path).values[..., None]


def _colors_of(path):
  return masks.read_colors(path, may_be_clear=True)[0]
