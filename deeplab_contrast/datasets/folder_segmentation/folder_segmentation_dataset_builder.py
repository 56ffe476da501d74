"""Any folders of images and masks: your own data."""

import hashlib
import itertools
import pathlib
import re

import tensorflow_datasets as tfds

from deeplab_contrast.datasets.folder_segmentation import description, naming
from deeplab_contrast.datasets.raw import file_pairs, raw_builder, raw_pairs
from deeplab_contrast.datasets.sources import id_list
from deeplab_contrast.utils import errors

# Of RawData. 1: photos with an EXIF tag are rotated upright. 2: palettes are
# compared, black and white has one meaning, no bits or bands are dropped;
# rotated photos are decoded like all others.
_MADE = 2


def make_layout(about: description.Description) -> raw_pairs.Layout:
  """How to find and split the files of a described dataset."""
  places = ('', about.name)
  if '*' in about.image_folder:
    places = (about.name, '')  # Datasets next to it would look like splits.
  return raw_pairs.Layout(
    name=f'The dataset {about.name}',
    places=places,
    marks=(about.image_folder, about.mask_folder),
    collect=lambda folder: _collect(folder, about),
  )


def _collect(folder, about):
  if about.lists:
    splits = _by_lists(folder, about)
  elif about.fractions:
    splits = _by_fractions(folder, about)
  else:
    splits = _by_subfolders(folder, about)
  # Evaluation splits are last, so that training is blamed for shared files.
  order = sorted(splits, key=lambda split: not split.startswith('train'))
  return raw_pairs.RawData(
    folder,
    {split: tuple(pairs) for split, pairs in splits.items()},
    about.values(),
    disjoint=tuple(itertools.combinations(order, 2)),
    about=[about.name, about.info.class_names],
    made=_MADE,
  )


def _pairs(folder, about, split=''):
  """All pairs, or those in the subfolder of a split."""
  images, masks = (
    folder / (name.replace('*', split) if '*' in name else f'{name}/{split}')
    for name in (about.image_folder, about.mask_folder)
  )
  if split in about.unlabelled:
    masks = None
  elif not masks.is_dir():
    raise errors.DataError(
      f'{images} has no masks: expected {masks}, or {split!r} in '
      "'unlabelled' if these images have no labels."
    )
  pairs = file_pairs.pairs(images, masks, about.image_suffix, about.mask_suffix)
  naming.check(images, masks, pairs)
  return pairs


def _by_subfolders(folder, about):
  names = _subfolders(folder, about)
  images = folder / about.image_folder
  if not names:
    raise errors.DataError(
      f'{images} has no subfolders to use as splits: make them (train, val), '
      "or state 'fractions' or 'lists' in the description."
    )
  odd = [name for name in names if not re.fullmatch('[A-Za-z0-9_]+', name)]
  if odd:
    raise errors.DataError(
      f'{images} has a subfolder {odd[0]!r}, which cannot be the name of a '
      'split: use letters, digits and _.'
    )
  unknown = sorted(set(about.unlabelled) - set(names))
  if unknown:
    raise errors.DataError(
      f'{images} has no subfolder {unknown[0]!r}, which the description says '
      f'is unlabelled; it has {", ".join(names)}.'
    )
  return {name: _pairs(folder, about, name) for name in names}


def _subfolders(folder, about):
  """The names of the splits: what the star stands for, or folders of images."""
  if '*' in about.image_folder:
    place = (folder / about.image_folder).parts.index('*', len(folder.parts))
    paths = raw_pairs.subfolders(folder, about.image_folder)
    found = [(path.parts[place], path) for path in paths]
  else:
    images = folder / about.image_folder
    found = [(path.name, path) for path in images.iterdir()]
    _check_no_images(
      images,
      [path for name, path in found if not file_pairs.is_rubbish(name)],
    )
  return sorted(
    name
    for name, path in found
    if path.is_dir() and not file_pairs.is_rubbish(name)
  )


def _check_no_images(images, paths):
  """Refuses images next to subfolders, which would be left out."""
  folders = [p.name for p in paths if p.is_dir()]
  beside = [p for p in paths if p.suffix.lower() in file_pairs.IMAGE_ENDINGS]
  if folders and beside:
    raise errors.DataError(
      f'{images} has {len(beside)} images next to the subfolders '
      f'{", ".join(sorted(folders))}, such as {beside[0].name}: move them into '
      'one of these.'
    )


def _by_fractions(folder, about):
  pairs = _pairs(folder, about)
  extra = {}
  for name in about.unlabelled:
    extra[name] = [
      raw_pairs.Pair(pair.id, pair.image, None)
      for pair in pairs
      if not pair.mask.exists()
    ]
    pairs = [pair for pair in pairs if pair.mask.exists()]

  def order(pair):
    # Of the name alone: a new image does not change the others' order.
    return hashlib.sha256(f'{about.seed}/{pair.id}'.encode()).digest()

  left = sorted(pairs, key=order)
  splits = {}
  for split, share in about.fractions.items():
    count = max(1, round(share * len(pairs)))
    splits[split], left = left[:count], left[count:]
  if not left:
    raise errors.DataError(
      f'{folder} has {len(pairs)} labelled images, too few for train and '
      f'{" and ".join(about.fractions)}: label more.'
    )
  return {'train': left, **splits, **extra}


def _by_lists(folder, about):
  splits = {}
  known: dict[str, list[raw_pairs.Pair]] = {}
  for pair in _pairs(folder, about):
    known.setdefault(pair.id, []).append(pair)
  for split, path in about.lists.items():
    ids = [_id_of(name, about) for name in id_list.read(folder / path)]
    pairs = [
      p for i in ids for p in known.get(i) or [_absent(folder, i, about)]
    ]
    if split in about.unlabelled:
      pairs = [raw_pairs.Pair(p.id, p.image, None) for p in pairs]
    splits[split] = pairs
  return splits


def _id_of(name, about):
  """The id of an entry in a list: an id, a file name, or a path."""
  name = name.removeprefix('./').removeprefix(f'{about.image_folder}/')
  ending = pathlib.PurePosixPath(name).suffix
  if ending.lower() in file_pairs.IMAGE_ENDINGS:
    name = name.removesuffix(ending)
  return name.removesuffix(about.image_suffix)


def _absent(folder, name, about):
  """A pair that the check will report missing; no other place is searched."""
  images, masks = folder / about.image_folder, folder / about.mask_folder
  image = images / f'{name}{about.image_suffix}.jpg'
  return raw_pairs.Pair(name, image, masks / f'{name}{about.mask_suffix}.png')


class Builder(raw_builder.RawBuilder):
  """Pairs of files with the same name in two folders."""

  VERSION = tfds.core.Version('1.0.0')
  RELEASE_NOTES = {'1.0.0': 'First release.'}

  def _info(self):
    return raw_builder.dataset_info(
      self, description="Images and masks from the user's folders."
    )
