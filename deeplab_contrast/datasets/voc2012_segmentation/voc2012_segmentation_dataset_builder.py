"""PASCAL VOC 2012 segmentation, from the folders of the development kit."""

import functools
import os
import pathlib

import tensorflow_datasets as tfds

from deeplab_contrast import common
from deeplab_contrast.datasets.raw import mask_values, raw_builder, raw_pairs
from deeplab_contrast.datasets.sources import id_list
from deeplab_contrast.datasets.voc2012_segmentation import sbd
from deeplab_contrast.imaging import images
from deeplab_contrast.utils import errors

NUM_CLASSES = 21

_SPLITS = ('train', 'train_aug', 'trainval', 'val', 'test')

_VALUES = mask_values.MaskValues(
  mask_values.ids_of_classes(NUM_CLASSES, (common.IGNORE_LABEL,)),
  'expected the class ids 0 to 20 and 255; a palette mask turned grey has '
  'the brightness of its colours: take the original palette PNG.',
  images.voc_colormap(NUM_CLASSES),
  {'.mat': sbd.read_mask},
)


_HOW_TO_AUGMENT = (
  'name the folder of SBD (--sbd_dir of `prepare`, SBD_ROOT in '
  'gin files), or add train_aug.txt to ImageSets/Segmentation and the masks as '
  'SegmentationClassAug'
)

# How to get the splits that the first archive does not have.
_ABSENT = {
  'train_aug': _HOW_TO_AUGMENT,
  'test': 'unpack VOC2012test.tar into the same VOCdevkit',
}


def collect(
  folder: pathlib.Path, sbd_folder: pathlib.Path | None = None
) -> raw_pairs.RawData:
  """RawData of a folder VOC2012.

  Args:
    folder: with ImageSets and JPEGImages.
    sbd_folder: folder of SBD, with cls; train_aug is then made from both.

  Raises:
    DataError: there are no lists, or they are wrong.
  """
  ids = _read_lists(folder)
  pair = _pairs_of(folder)
  splits = {
    split: tuple(pair(name, split != 'test') for name in names)
    for split, names in ids.items()
  }
  if sbd_folder is None:
    _check_augmented(folder, splits)
  else:
    splits['train_aug'] = _augmented(folder, sbd_folder, ids, pair)
  return raw_pairs.RawData(
    folder,
    splits,
    _VALUES,
    disjoint=(
      ('train', 'val'),
      ('train_aug', 'val'),
      *((split, 'test') for split in _SPLITS[:-1]),
    ),
    other_roots=(sbd_folder,) if sbd_folder is not None else (),
    absent=_ABSENT,
  )


def _read_lists(folder: pathlib.Path) -> dict[str, list[str]]:
  """{split: ids} of the lists that exist."""
  lists = {
    split: folder / 'ImageSets' / 'Segmentation' / f'{split}.txt'
    for split in _SPLITS
  }
  ids = {s: id_list.read(path) for s, path in lists.items() if path.is_file()}
  if not ids:
    raise errors.DataError(
      f'{folder}/ImageSets/Segmentation has no list: expected one or more of '
      f'{", ".join(f"{split}.txt" for split in _SPLITS)}.'
    )
  # An id becomes a file name: it must not lead out of the folder.
  odd = [i for names in ids.values() for i in names if set(i) & set('/\\')]
  if odd:
    raise errors.DataError(
      f'The lists of {folder} have ids that are not plain file names: '
      f'{id_list.some(odd)}.'
    )
  return ids


def _pairs_of(folder):
  """Maps (id, whether it has labels) to its Pair; lists folders only once."""
  official, aug = (folder / f'SegmentationClass{end}' for end in ('', 'Aug'))
  # Some converters write SBD's masks for images of VOC's val too.
  only_in_aug = _names(aug) - _names(official)

  @functools.cache  # Splits share images.
  def pair(name, is_labelled=True):
    image, mask = folder / 'JPEGImages' / f'{name}.jpg', None
    if is_labelled:
      is_aug = f'{name}.png' in only_in_aug
      mask = (aug if is_aug else official) / f'{name}.png'
    return raw_pairs.Pair(name, image, mask)

  return pair


def _names(folder):
  return set(os.listdir(folder)) if folder.is_dir() else set()


def _check_augmented(folder, splits):
  """Reports thousands of missing masks by their common cause."""
  if (folder / 'SegmentationClassAug').is_dir():
    return
  pairs = splits.get('train_aug', ())
  missing = [pair.id for pair in pairs if not pair.mask.exists()]
  if missing:
    raise errors.DataError(
      f'{folder}/ImageSets/Segmentation/train_aug.txt names {len(missing)} '
      f'images without a mask in SegmentationClass: {missing[0]}, ... Their '
      f'masks are part of SBD: {_HOW_TO_AUGMENT}; or remove the list.'
    )


def _augmented(folder, sbd_folder, ids, pair):
  """VOC train, and all of SBD that is in neither VOC train nor VOC val."""
  absent = [split for split in ('train', 'val') if split not in ids]
  if absent:
    raise errors.DataError(
      f'{folder}/ImageSets/Segmentation lacks {absent[0]}.txt, without which '
      'train_aug cannot be made from SBD.'
    )
  extra = sbd.read_ids(sbd_folder) - set(ids['train']) - set(ids['val'])
  pairs = [pair(name) for name in ids['train']]
  for name in sorted(extra):
    image = folder / 'JPEGImages' / f'{name}.jpg'
    if not image.is_file():
      image = sbd.image_file(sbd_folder, name)
    pairs.append(raw_pairs.Pair(name, image, sbd.mask_file(sbd_folder, name)))
  return tuple(pairs)


LAYOUT = raw_pairs.Layout(
  name='PASCAL VOC 2012',
  places=('', 'VOC2012', 'VOCdevkit/VOC2012'),
  marks=('JPEGImages', 'ImageSets/Segmentation'),
  collect=collect,
)


class Builder(raw_builder.RawBuilder):
  """Palette masks by index; SegmentationClassAug where VOC has none."""

  LAYOUT = LAYOUT
  VERSION = tfds.core.Version('1.0.0')
  RELEASE_NOTES = {'1.0.0': 'First release.'}
  MANUAL_DOWNLOAD_INSTRUCTIONS = (
    'Unpack VOCtrainval_11-May-2012.tar, and for the split train_aug the masks '
    'of SBD as SegmentationClassAug with the list train_aug.txt, so that '
    'VOCdevkit/VOC2012 is here.'
  )

  def _info(self):
    return raw_builder.dataset_info(
      self,
      description='PASCAL VOC 2012: 20 kinds of objects and the background.',
      homepage='http://host.robots.ox.ac.uk/pascal/VOC/voc2012/',
    )
