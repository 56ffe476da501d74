"""PASCAL VOC 2012 segmentation, from the folders of the development kit."""

import itertools

import tensorflow_datasets as tfds

from deeplab_contrast import common
from deeplab_contrast.datasets import id_list, raw_builder, raw_pairs
from deeplab_contrast.utils import errors

NUM_CLASSES = 21

_SPLITS = ('train', 'train_aug', 'trainval', 'val')

_VALUES = raw_pairs.MaskValues(
  {i: i for i in (*range(NUM_CLASSES), common.IGNORE_LABEL)},
  'expected the class ids 0 to 20 and 255; a mask that was turned from palette '
  'to grey holds the brightness of colours: take the original palette PNG.',
)


def _collect(folder):
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
  _check_ids(folder, ids)
  splits = {
    split: tuple(_pair(folder, name) for name in names)
    for split, names in ids.items()
  }
  return raw_pairs.RawData(folder, splits, _VALUES)


def _check_ids(folder, ids):
  # An id becomes a file name: it must not lead out of the folder.
  odd = [i for i in itertools.chain(*ids.values()) if set(i) & set('/\\')]
  if odd:
    raise errors.DataError(
      f'The lists of {folder} have ids that are no plain file names: '
      f'{id_list.some(odd)}.'
    )
  for split in ('train', 'train_aug'):
    shared = sorted(set(ids.get(split, ())) & set(ids.get('val', ())))
    if shared:
      raise errors.DataError(
        f'The splits {split} and val of {folder} share {len(shared)} images: '
        f'{id_list.some(shared)}; training on them would spoil the evaluation.'
      )


def _pair(folder, name):
  masks = [
    folder / kind / f'{name}.png'
    for kind in ('SegmentationClassAug', 'SegmentationClass')
  ]
  present = [mask for mask in masks if mask.is_file()]
  image = folder / 'JPEGImages' / f'{name}.jpg'
  return raw_pairs.Pair(name, image, (present or masks[1:])[0])


LAYOUT = raw_pairs.Layout(
  name='PASCAL VOC 2012',
  places=('', 'VOC2012', 'VOCdevkit/VOC2012'),
  marks=('JPEGImages', 'ImageSets/Segmentation'),
  collect=_collect,
)


class Builder(tfds.core.GeneratorBasedBuilder):
  """Palette masks by index; SegmentationClassAug where it has the image."""

  VERSION = tfds.core.Version('1.0.0')
  RELEASE_NOTES = {'1.0.0': 'First release.'}
  MANUAL_DOWNLOAD_INSTRUCTIONS = (
    'Unpack VOCtrainval_11-May-2012.tar, and for the split train_aug the masks '
    'of SBD as SegmentationClassAug with the list train_aug.txt, so that '
    'VOCdevkit/VOC2012 lies here.'
  )

  def _info(self):
    return raw_builder.dataset_info(
      self,
      description='PASCAL VOC 2012: 20 kinds of objects and the background.',
      homepage='http://host.robots.ox.ac.uk/pascal/VOC/voc2012/',
    )

  def _split_generators(self, dl_manager):
    return raw_builder.split_generators(self, LAYOUT, dl_manager)

  def _generate_examples(self, pairs, values):
    return raw_pairs.examples(pairs, values)
