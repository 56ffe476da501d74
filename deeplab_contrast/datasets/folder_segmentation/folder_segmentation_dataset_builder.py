"""Any folders of images and masks: your own data."""

import hashlib
import itertools
import re

import tensorflow_datasets as tfds

from deeplab_contrast.datasets.annotations import splits as standard
from deeplab_contrast.datasets.folder_segmentation import (
  description,
  drawn,
  naming,
)
from deeplab_contrast.datasets.raw import (
  drawings,
  file_pairs,
  raw_builder,
  raw_pairs,
)
from deeplab_contrast.datasets.sources import id_list
from deeplab_contrast.utils import errors

# Of RawData. 1: photos with an EXIF tag are rotated upright. 2: palettes are
# compared, black and white has one meaning, no bits or bands are dropped;
# rotated photos are decoded like all others.
_MADE = 2

# What to do about faults, and what dataset.json can say about them.
_NO_MASK = (
  ' does not exist.',
  'Images without a mask: state "missing_mask": "background" if nothing is '
  'on them, or "unlabelled" if nobody labelled them: the names of their '
  'splits, or ["extra"] with "fractions".',
)
_NO_IMAGE = (
  ' does not exist.',
  'Masks (or names in lists) without an image: put the images there, or take '
  'these masks (or names) away.',
)
_ADVICE = (
  (
    ' is the same picture as ',
    'Equal pictures: state "allow_equal": true if they are blank tiles.',
  ),
  (
    ' bits per channel',
    'More than 8 bits: state the values that become 0 and 255, "range": [0, '
    '4095], or "range": "measured" for those of each image.',
  ),
  (
    ' of them are colours or alpha',
    'More bands: state which are red, green and blue, "bands": [1, 2, 3].',
  ),
)

_ADVICE_DRAWN = (
  (
    ' does not exist.',
    'Photos that are annotated, but not there: put them there, or leave them '
    'out with --on_error=skip (more than 5 % of all: --max_skipped=0.5).',
  ),
  *_ADVICE,
)


def make_layout(about: description.Description) -> raw_pairs.Layout:
  """How to find and split the files of a described dataset."""
  places = ('', about.name)
  marks: tuple[str, ...] = (about.image_folder, about.mask_folder)
  if about.is_drawn:
    marks = ('.',)
  if '*' in about.image_folder:
    places = (about.name, '')  # Datasets next to it would look like splits.
  return raw_pairs.Layout(
    name=f'The dataset {about.name}',
    places=places,
    marks=marks,
    collect=lambda folder: _collect(folder, about),
  )


def _collect(folder, about):
  notes: list[str] = []
  if about.is_drawn:
    pools, notes = drawn.pairs(folder, about)
    splits = _split_drawn(folder, about, pools)
  elif about.lists:
    splits = _by_lists(folder, about, _pairs(folder, about))
  elif about.fractions:
    splits = _by_fractions(folder, about, _pairs(folder, about))
  else:
    splits = _by_subfolders(folder, about)
  if about.of_missing is not None:
    splits, count = _with_background(splits, about)
    notes += [
      f'{count} images have no mask and are {about.missing_mask} everywhere '
      '("missing_mask").'
    ] * bool(count)
  # Evaluation splits are last, so that training is blamed for shared files.
  order = sorted(splits, key=lambda split: not split.startswith('train'))
  return raw_pairs.RawData(
    folder,
    {split: tuple(pairs) for split, pairs in splits.items()},
    about.values(),
    disjoint=tuple(itertools.combinations(order, 2)),
    allow_equal=about.allow_equal,
    convert=about.info.convert,
    advice=_advice(about, splits),
    about=[about.name, about.info.class_names],
    notes=tuple(notes),
    made=_MADE,
  )


def _advice(about, splits):
  if about.is_drawn:
    return _ADVICE_DRAWN
  pairs = [pair for pairs in splits.values() for pair in pairs]
  is_there = [pair.image.exists() for pair in pairs]
  no_mask = any(
    there and pair.mask and not pair.mask.exists()
    for pair, there in zip(pairs, is_there, strict=True)
  )
  absent = [_NO_MASK] * no_mask + [_NO_IMAGE] * (not all(is_there))
  return (*absent, *_ADVICE)


def _with_background(splits, about):
  """Gives images without a mask one of the class of `missing_mask`."""
  count = 0
  result: dict[str, list[raw_pairs.Pair]] = {}
  for split, pairs in splits.items():
    result[split] = []
    for pair in pairs:
      is_empty = split not in about.unlabelled and pair.image.exists()
      if is_empty and not (pair.mask and pair.mask.exists()):
        empty = drawings.Drawing(pair.image, pair.image, (), about.of_missing)
        pair = raw_pairs.Pair(pair.id, pair.image, empty)
        count += 1
      result[split].append(pair)
  return result, count


def _split_drawn(folder, about, pools):
  """Splits as described, or as folders and files of the export name them."""
  pools = dict(pools)
  rest = pools.pop('')
  if about.of_missing is not None:
    for pair in rest:
      pools.setdefault(drawn.split_of(pair), []).append(pair)
  pooled = drawn.named([p for pairs in pools.values() for p in pairs])
  if about.lists:
    return _by_lists(folder, about, pooled)
  if about.fractions:
    extra = rest if about.unlabelled else []
    return _by_fractions(folder, about, [*pooled, *drawn.named(extra)])
  if None in pools or len(pools) < 2:
    raise errors.DataError(
      f'{folder} has no folders or files that name splits such as train and '
      'val: state "fractions": {"val": 0.2}.'
    )
  return {
    split: drawn.named(pools[name])
    for split, name in _names_of_splits(sorted(pools), about).items()
  }


def _names_of_splits(names, about):
  """{split: the name that its folder has}: 'val' for 'valid'."""
  if about.splits:
    unknown = sorted(set(about.splits.values()) - set(names))
    if unknown:
      raise errors.DataError(
        f'There is no folder {unknown[0]!r} for a split; there are '
        f'{", ".join(names)}.'
      )
    return dict(about.splits)
  usual = {name: standard.of_name(name) or name for name in names}
  meant = [usual[name] for name in names]
  return {
    usual[name] if meant.count(usual[name]) == 1 else name: name
    for name in names
  }


def _pairs(folder, about, split=''):
  """All pairs, or those in the subfolder of a split."""
  images, masks = (
    folder / (name.replace('*', split) if '*' in name else f'{name}/{split}')
    for name in (about.image_folder, about.mask_folder)
  )
  if split and split in about.unlabelled:
    masks = None
  elif not masks.is_dir():
    raise errors.DataError(
      f'{images} has no masks: expected {masks}, or {split!r} in '
      "'unlabelled' if these images have no labels."
    )
  by_order = about.pair_by == 'order'
  suffixes = about.image_suffix, about.mask_suffix
  pairs = file_pairs.pairs(images, masks, *suffixes, by_order)
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
  splits = _names_of_splits(names, about)
  odd = [name for name in splits if not re.fullmatch('[A-Za-z0-9_]+', name)]
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
  return {split: _pairs(folder, about, name) for split, name in splits.items()}


def _subfolders(folder, about):
  """The names that tell splits apart: the star, or folders of images."""
  if '*' in about.image_folder:
    found = _stars(folder, about.image_folder)
    if about.image_folder != about.mask_folder:
      # In '*' and '*annot', the second are among the first.
      masks = set(_stars(folder, about.mask_folder).values())
      found = {name: p for name, p in found.items() if p not in masks}
    return sorted(found)
  images = folder / about.image_folder
  found = {path.name: path for path in images.iterdir()}
  found = {n: p for n, p in found.items() if not file_pairs.is_rubbish(n)}
  _check_no_images(images, found.values())
  return sorted(name for name, path in found.items() if path.is_dir())


def _stars(folder, name):
  """Folders, by what the star stands for."""
  pattern = re.escape(str(folder / name)).replace(r'\*', '([^/]+)')
  paths = raw_pairs.subfolders(folder, name)
  found = {re.findall(pattern, str(path))[0]: path for path in paths}
  return {n: p for n, p in found.items() if not file_pairs.is_rubbish(n)}


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


def _by_fractions(folder, about, pairs):
  extra = {}
  for name in about.unlabelled:
    extra[name] = [
      raw_pairs.Pair(pair.id, pair.image, None)
      for pair in pairs
      if not (pair.mask and pair.mask.exists())
    ]
    pairs = [pair for pair in pairs if pair.mask and pair.mask.exists()]

  def order(pair):
    # Of the name alone: a new image does not change the others' order.
    # Names that are not UTF-8 are refused later, with the others' faults.
    name = f'{about.seed}/{pair.id}'.encode(errors='surrogateescape')
    return hashlib.sha256(name).digest()

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


def _by_lists(folder, about, pairs):
  splits = {}
  known: dict[str, list[raw_pairs.Pair]] = {}
  for pair in pairs:
    for name in {pair.id, pair.id + about.image_suffix}:
      known.setdefault(name, []).append(pair)
  for split, path in about.lists.items():
    ids = id_list.read(folder / path, known)
    pairs = [
      p for i in ids for p in known.get(i) or [_absent(folder, i, about)]
    ]
    if split in about.unlabelled:
      pairs = [raw_pairs.Pair(p.id, p.image, None) for p in pairs]
    splits[split] = pairs
  return splits


def _absent(folder, name, about):
  """A pair that the check will report missing; no other place is searched."""
  name = name.removesuffix(about.image_suffix)
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
