"""Masks that are files: what they mean, where a list or the files say so."""

import collections
import posixpath
from collections.abc import Mapping
from typing import Any

from deeplab_contrast.datasets.annotations import (
  class_lists,
  folder_pairs,
  layouts,
  measured,
  splits,
)
from deeplab_contrast.datasets.annotations.annotated import background_first
from deeplab_contrast.datasets.annotations.tree import Tree
from deeplab_contrast.datasets.sources import id_list
from deeplab_contrast.utils import errors

Keys = dict[str, Any]

# The folders of PASCAL VOC, and of the tools that follow it.
_AUGMENTED = 'SegmentationClassAug'  # With more masks; of VOC and SBD.
_VOC_MASKS = ('SegmentationClassPNG', 'SegmentationClass', _AUGMENTED)
_VOC_IMAGES = 'JPEGImages'
_VOC_LISTS = 'ImageSets/Segmentation'

_FRACTIONS = {'val': 0.2}


def recognise(tree: Tree, stated: Mapping[str, Any]) -> tuple[str, Keys] | None:
  """(what it is, keys of dataset.json), or None.

  Args:
    tree: all files.
    stated: keys that dataset.json has already.

  Raises:
    DataError: a list is damaged, or what lies there is unclear.
  """
  found = class_lists.find(tree)
  voc = _voc(tree, found, stated)
  if voc:
    return voc
  layout = layouts.find(tree, stated)
  if layout is None:
    return None
  keys = _folders(tree, layout)
  keys |= _named(found) if found else _measured(tree, layout.masks, stated)
  if found is None:
    return 'images and masks', keys
  if posixpath.basename(found.file) == '_classes.csv':
    return 'Roboflow segmentation masks', keys
  return f'images and masks, with {found.file}', keys


def _folders(tree, layout) -> Keys:
  keys: Keys = dict(layout.keys)
  if layout.unlabelled:
    keys['unlabelled'] = list(layout.unlabelled)
  lists = {} if layout.has_splits else _lists(tree, '')
  if lists:
    keys['lists'] = lists
    if unlabelled := _without_masks(tree, keys):
      keys['unlabelled'] = unlabelled
  elif not layout.has_splits:
    keys['fractions'] = _FRACTIONS
  return keys


def _voc(tree, found, stated):
  """Folders as in PASCAL VOC, with a list of classes, or lists of images."""
  place = class_lists.folder(found) if found else ''
  name = _voc_masks(tree, place) if found else None
  if name is None:
    place, name = _voc_folder(tree)
  if name is None or not {'image_folder', 'mask_folder'}.isdisjoint(stated):
    return None
  _check_one_place(tree, place)
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
  return 'PASCAL VOC folders', {
    **keys,
    **_measured(tree, of_masks, stated, (255,)),
  }


def _check_one_place(tree, place):
  """Refuses a second folder of this kind: it would be left out."""
  places = {
    posixpath.dirname(folder)
    for folder in map(posixpath.dirname, tree.images)
    if posixpath.basename(folder) in _VOC_MASKS
  }
  for other in sorted(places - {place}):
    raise errors.DataError(
      f'{tree.root} has folders of masks in two places, {place or "."} and '
      f'{other or "."}: move the files of one into the same folders of the '
      'other (images, masks, lines of lists; no name may be in both), or give '
      'only one of them as --raw_dir.'
    )


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
    _ids(tree, keys[f'{kind}_folder'], keys.get(f'{kind}_suffix', ''))
    for kind in ('image', 'mask')
  )
  return [
    split
    for split, file in keys.get('lists', {}).items()
    if split != 'train'
    and (ids := photos & {*id_list.read(tree.path(file), photos)})
    and not ids & masked
  ]


def _ids(tree, folder, suffix):
  start = '' if folder == '.' else f'{folder}/'
  stems = (posixpath.splitext(file)[0] for file in tree.images)
  return {
    stem.removeprefix(start).removesuffix(suffix)
    for stem in stems
    if stem.startswith(start) and stem.endswith(suffix)
  }


def _images_of(tree, masks_folder, place):
  """JPEGImages; or, if images are elsewhere, the folder that fits best."""
  if _has(tree, place, _VOC_IMAGES):
    return posixpath.join(place, _VOC_IMAGES)
  stems = [
    posixpath.splitext(file)[0]
    for file in tree.images
    if not folder_pairs.is_of_masks(posixpath.dirname(file))
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
    split = splits.of_name(folder_pairs.stem(file))
    if split:
      lists.setdefault(split, file)
  return lists if 'train' in lists and len(lists) > 1 else {}


def _named(found) -> Keys:
  """What a list of classes says about the values in the masks."""
  if found.colors:
    pairs = dict(zip(found.names, map(list, found.colors), strict=True))
    return {'masks': 'colors', 'classes': background_first(pairs)}
  keys: Keys = {'classes': list(found.names)}
  if found.ids != tuple(range(len(found.ids))):
    keys['ids'] = list(found.ids)
  return keys


def _measured(tree, files, stated, void=()) -> Keys:
  """What the masks themselves show, as far as dataset.json does not say it."""
  try:
    return measured.measure(tree, files, void)
  except errors.DataError:
    if 'classes' in stated:
      return {}
    raise
