"""Masks that are files: what they mean, where a list or the files say so."""

import collections
import posixpath
from typing import Any

import numpy as np

from deeplab_contrast.datasets.annotations import class_lists, layouts, splits
from deeplab_contrast.datasets.annotations.annotated import BACKGROUNDS
from deeplab_contrast.datasets.annotations.tree import Tree
from deeplab_contrast.datasets.raw import palettes, raw_pairs
from deeplab_contrast.datasets.sources import id_list
from deeplab_contrast.imaging import masks
from deeplab_contrast.utils import errors

Keys = dict[str, Any]

# The folders of PASCAL VOC, and of the tools that follow it.
_AUGMENTED = 'SegmentationClassAug'  # With more masks; of VOC and SBD.
_VOC_MASKS = ('SegmentationClassPNG', 'SegmentationClass', _AUGMENTED)
_VOC_IMAGES = 'JPEGImages'
_VOC_LISTS = 'ImageSets/Segmentation'

_MOST_CLASSES = 64
_MOST_READ = 5000
_FRACTIONS = {'val': 0.2}

# The kind of masks of colours on transparent ground.
_CLEAR = 'clear'


def recognise(tree: Tree) -> tuple[str, Keys] | None:
  """(what it is, keys of dataset.json), or None.

  Raises:
    DataError: a list is damaged.
  """
  found = class_lists.find(tree)
  voc = _voc(tree, found)
  if voc:
    return voc
  layout = layouts.find(tree)
  if layout is None:
    return None
  keys = _folders(tree, layout)
  keys |= _named(found) if found else _measured(tree, layout.masks)
  if found is None:
    return 'images and masks', keys
  if posixpath.basename(found.file) == '_classes.csv':
    return 'Roboflow segmentation masks', keys
  return f'images and masks, with {found.file}', keys


def _folders(tree, layout) -> Keys:
  keys: Keys = {
    'image_folder': layout.image_folder,
    'mask_folder': layout.mask_folder,
    'image_suffix': layout.image_suffix,
    'mask_suffix': layout.mask_suffix,
  }
  keys = {name: value for name, value in keys.items() if value}
  if layout.unlabelled:
    keys['unlabelled'] = list(layout.unlabelled)
  lists = {} if layout.has_splits else _lists(tree, '')
  if lists:
    keys['lists'] = lists
  elif not layout.has_splits:
    keys['fractions'] = _FRACTIONS
  return keys


def _voc(tree, found):
  """Folders as in PASCAL VOC, with a list of classes, or lists of images."""
  place = class_lists.folder(found) if found else ''
  name = _voc_masks(tree, place) if found else None
  if name is None:
    place, name = _voc_folder(tree)
  if name is None:
    return None
  masks_folder = posixpath.join(place, name)
  lists = _lists(
    tree, posixpath.join(place, _VOC_LISTS), takes_longest=name == _AUGMENTED
  )
  keys = {
    'image_folder': _images_of(tree, masks_folder, place),
    'mask_folder': masks_folder,
  }
  keys |= {'lists': lists} if lists else {'fractions': _FRACTIONS}
  if found and found.colors:  # CVAT writes no mask where nothing is drawn.
    keys |= {**_named(found), 'missing_mask': 'background'}
    return 'CVAT segmentation mask 1.1', keys
  if unlabelled := _without_masks(tree, keys):
    keys['unlabelled'] = unlabelled
  if found:
    what = f'PASCAL VOC folders with {posixpath.basename(found.file)}'
    return what, {**keys, **_named(found)}
  if not lists:
    return None  # Like any other folders.
  of_masks = [f for f in tree.images if f.startswith(f'{masks_folder}/')]
  # 255 is the outline of objects.
  return 'PASCAL VOC folders', {**keys, **_measured(tree, of_masks, (255,))}


def _voc_masks(tree, place):
  """The name of the folder of masks, or None."""
  names = [name for name in _VOC_MASKS if _has(tree, place, name)]
  lists = posixpath.join(place, _VOC_LISTS)
  if _AUGMENTED in names and any(
    tree.has(f'{lists}/{name}') for name in ('train_aug.txt', 'trainaug.txt')
  ):
    return _AUGMENTED
  return names[0] if names else None


def _voc_folder(tree):
  """A folder with JPEGImages, masks and ImageSets/Segmentation.

  Returns:
    The folder and the name of its folder of masks, or ('', None).
  """
  for file in tree.ending('.txt'):
    folder = posixpath.dirname(file)
    if f'/{folder}'.endswith(f'/{_VOC_LISTS}'):
      place = folder[: -len(_VOC_LISTS)].rstrip('/')
      name = _voc_masks(tree, place)
      if name is not None and _has(tree, place, _VOC_IMAGES):
        return place, name
  return '', None


def _without_masks(tree, keys):
  """The splits, except train, whose lists name images but no masks."""
  photos, masked = (
    _ids(tree, keys[f'{kind}_folder']) for kind in ('image', 'mask')
  )
  return [
    split
    for split, file in keys.get('lists', {}).items()
    if split != 'train'
    and (ids := photos & {*id_list.read(tree.path(file), photos)})
    and not ids & masked
  ]


def _ids(tree, folder):
  start = f'{folder}/'
  return {
    posixpath.splitext(file.removeprefix(start))[0]
    for file in tree.images
    if file.startswith(start)
  }


def _images_of(tree, masks_folder, place):
  """JPEGImages; or, if images are elsewhere, the folder that fits best."""
  if _has(tree, place, _VOC_IMAGES):
    return posixpath.join(place, _VOC_IMAGES)
  stems = [
    posixpath.splitext(file)[0]
    for file in tree.images
    if not layouts.is_of_masks(posixpath.dirname(file))
  ]
  start = masks_folder + '/'
  counts: collections.Counter[str] = collections.Counter()
  ends = {
    posixpath.splitext(file)[0].removeprefix(start)
    for file in tree.images
    if file.startswith(start)
  }
  for stem in stems:
    parts = stem.split('/')
    for i in range(len(parts)):
      counts['/'.join(parts[:i])] += '/'.join(parts[i:]) in ends
  best = max(counts, key=lambda folder: counts[folder], default='')
  if not counts[best]:
    return posixpath.join(place, _VOC_IMAGES)
  return best or '.'


def _has(tree, place, name):
  start = posixpath.join(place, name) + '/'
  return any(file.startswith(start) for file in tree.images)


def _lists(tree, folder, takes_longest=False):
  """{split: list of images}, if there is one to train and one to evaluate.

  Of several lists for a split, takes the first or the longest.
  """
  files = [f for f in tree.ending('.txt') if posixpath.dirname(f) == folder]
  if takes_longest:
    files.sort(key=lambda file: -len(id_list.read(tree.path(file))))
  lists: dict[str, str] = {}
  for file in files:
    split = splits.of_name(posixpath.splitext(posixpath.basename(file))[0])
    if split:
      lists.setdefault(split, file)
  return lists if 'train' in lists and len(lists) > 1 else {}


def _named(found) -> Keys:
  """What a list of classes says about the values in the masks."""
  if found.colors:
    pairs = dict(zip(found.names, map(list, found.colors), strict=True))
    return {'masks': 'colors', 'classes': _background_first(pairs)}
  keys: Keys = {'classes': list(found.names)}
  if found.ids != tuple(range(len(found.ids))):
    keys['ids'] = list(found.ids)
  return keys


def _background_first(pairs):
  first = [name for name in pairs if name.lower() in BACKGROUNDS]
  return {name: pairs[name] for name in [*first, *pairs]}


def _measured(tree, files, void=()) -> Keys:
  """What the masks themselves show; class names are made up.

  Values in `void` are left out, unless only one other value would remain.
  """
  step = max(1, len(files) // _MOST_READ)
  paths = [tree.path(file) for file in files[::step]]
  seen: collections.Counter = collections.Counter()
  kinds = set()
  found = list(raw_pairs.in_threads(_values, paths))
  if _palettes_differ(found):
    found = list(raw_pairs.in_threads(_colors, paths))
  for kind, values, _ in found:
    kinds.add(kind)
    seen.update(values)
  values = sorted(seen)
  if len(values) > 2:
    values = [value for value in values if value not in void]
  kinds -= {None}
  if _CLEAR in kinds:  # Others may happen to be opaque.
    kinds -= {'colors'}
  least = 0 if _CLEAR in kinds else 1
  if len(kinds) != 1 or not least < len(values) <= _MOST_CLASSES:
    raise errors.DataError(
      f'{tree.root} has images and masks, but what the masks mean is unclear '
      f'({len(values)} values or colours): write a dataset.json with "classes",'
      ' see docs/own_data.md.'
    )
  if kinds == {'colors'}:
    colors = {_color_name(c): list(c) for c in values}
    return {'masks': 'colors', 'classes': _background_first(colors)}
  if kinds == {_CLEAR}:
    colors = {_color_name(c): list(c) for c in values}
    about = {'masks': 'colors', 'transparent': 'background'}
    return {**about, 'classes': {'background': [0, 0, 0], **colors}}
  if set(values) <= {0, 1, 255} and 255 in values:
    # White is 1 in a 1-bit file.
    return {'classes': ['background', 'object'], 'ids': [0, 255]}
  ids = values
  if not _are_shades(values):
    ids = [value for value in values if value != 255]
  names = ['background' if i == 0 else f'class_{i}' for i in ids]
  if len(ids) == 2 and ids[0] == 0:
    names = ['background', 'object']
  keys: Keys = {'classes': names}
  return keys if ids == list(range(len(ids))) else {**keys, 'ids': ids}


def _are_shades(values):
  """Whether classes are evenly spread greys, of which 255 is the last."""
  steps = np.diff(values)
  ends = values[0], values[-1]
  return len(values) > 2 and ends == (0, 255) and np.ptp(steps) <= 2


def _color_name(color):
  return 'background' if not any(color) else 'color_{}_{}_{}'.format(*color)


def _palettes_differ(found):
  """Whether an index has several colours, so that it is not an id."""
  shown: dict[int, tuple] = {}
  return any(
    shown.setdefault(index, color) != color
    for *_, palette in found
    for index, color in palette.items()
  )


def _values(path):
  """('ids' or 'colors' or None, the values, its palette) of a mask file."""
  try:
    mask = masks.read(path)
  except errors.DataError:
    return _colors(path)
  return 'ids', np.unique(mask.values).tolist(), palettes.used(mask)


def _colors(path):
  try:
    colors, is_clear = masks.read_colors(path, may_be_clear=True)
  except errors.DataError:
    return None, [], {}
  flat = np.unique(colors[~is_clear], axis=0)
  if len(flat) > _MOST_CLASSES:
    return None, [], {}
  kind = _CLEAR if is_clear.any() else 'colors'
  return kind, list(map(tuple, flat.tolist())), {}
