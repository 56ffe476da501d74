"""Cityscapes fine annotations, from leftImg8bit and gtFine as unpacked."""

import itertools

import tensorflow_datasets as tfds

from deeplab_contrast import common
from deeplab_contrast.datasets.raw import mask_values, raw_builder, raw_pairs
from deeplab_contrast.utils import errors

# In the order of the train ids. (cityscapesScripts: helpers/labels.py.)
CLASSES = {
  'road': (128, 64, 128),
  'sidewalk': (244, 35, 232),
  'building': (70, 70, 70),
  'wall': (102, 102, 156),
  'fence': (190, 153, 153),
  'pole': (153, 153, 153),
  'traffic light': (250, 170, 30),
  'traffic sign': (220, 220, 0),
  'vegetation': (107, 142, 35),
  'terrain': (152, 251, 152),
  'sky': (70, 130, 180),
  'person': (220, 20, 60),
  'rider': (255, 0, 0),
  'car': (0, 0, 142),
  'truck': (0, 0, 70),
  'bus': (0, 60, 100),
  'train': (0, 80, 100),
  'motorcycle': (0, 0, 230),
  'bicycle': (119, 11, 32),
}

# Of each class. (cityscapesScripts: helpers/labels.py.)
CATEGORIES = (
  *('flat',) * 2,
  *('construction',) * 3,
  *('object',) * 3,
  *('nature',) * 2,
  'sky',
  *('human',) * 2,
  *('vehicle',) * 6,
)

# The label id in the mask files of each train id 0 to 18; the other label ids
# up to 33 are ignored. (cityscapesScripts: helpers/labels.py.)
# fmt: off
LABEL_IDS = (
  7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33
)
# fmt: on

_SPLITS = ('train', 'val', 'test')

_IMAGE_END = '_leftImg8bit.png'
_LABEL_IDS_END = '_gtFine_labelIds.png'
_TRAIN_IDS_END = '_gtFine_labelTrainIds.png'

# The values in each kind of mask file.
_VALUES = {
  _LABEL_IDS_END: mask_values.MaskValues(
    {
      **dict.fromkeys(range(34), common.IGNORE_LABEL),
      **{label_id: i for i, label_id in enumerate(LABEL_IDS)},
    },
    'expected the label ids 0 to 33 that *_gtFine_labelIds.png of gtFine have, '
    'not train ids: those are made from them here.',
    tuple(CLASSES.values()),
  ),
  _TRAIN_IDS_END: mask_values.MaskValues(
    mask_values.ids_of_classes(len(CLASSES)),
    'expected the train ids 0 to 18 and 255 that *_gtFine_labelTrainIds.png '
    'have.',
    tuple(CLASSES.values()),
  ),
}


def _collect(folder):
  mask_end = _mask_end(folder)
  splits = {split: _pairs(folder, split, mask_end) for split in _SPLITS}
  splits = {split: pairs for split, pairs in splits.items() if pairs}
  if not splits:
    raise errors.DataError(
      f'{folder} has no images: expected leftImg8bit/train/<city>/'
      f'*{_IMAGE_END} and gtFine/train/<city>/*{_LABEL_IDS_END}.'
    )
  disjoint = tuple(itertools.combinations(_SPLITS, 2))
  return raw_pairs.RawData(folder, splits, _VALUES[mask_end], disjoint)


def _mask_end(folder):
  """Which masks there are; label ids, which are the original, come first."""
  for end in (_LABEL_IDS_END, _TRAIN_IDS_END):
    for split in ('train', 'val'):
      if next((folder / 'gtFine' / split).glob(f'*/*{end}'), None):
        return end
  return _LABEL_IDS_END


def _pairs(folder, split, mask_end):
  """All frames of a split, even those without an image or mask."""
  is_labelled = split != 'test'  # The published masks of test are void.
  frames = _frames(folder / 'leftImg8bit' / split, _IMAGE_END)
  if is_labelled:
    frames |= _frames(folder / 'gtFine' / split, mask_end)
  return tuple(
    raw_pairs.Pair(
      frame,
      folder / 'leftImg8bit' / split / city / (frame + _IMAGE_END),
      folder / 'gtFine' / split / city / (frame + mask_end)
      if is_labelled
      else None,
    )
    for city, frame in sorted(frames)
  )


def _frames(folder, end):
  """The set of (city, frame) among the files <city>/<frame><end>."""
  return {
    (path.parent.name, path.name.removesuffix(end))
    for path in folder.glob(f'*/*{end}')
    if path.name[0] != '.'
  }


LAYOUT = raw_pairs.Layout(
  name='Cityscapes',
  places=('', 'cityscapes'),
  marks=('leftImg8bit', 'gtFine'),
  collect=_collect,
)


class Builder(raw_builder.RawBuilder):
  """The label ids of the 19 evaluated classes become 0 to 18."""

  LAYOUT = LAYOUT
  VERSION = tfds.core.Version('1.0.0')
  RELEASE_NOTES = {'1.0.0': 'First release.'}
  MANUAL_DOWNLOAD_INSTRUCTIONS = (
    'Register at www.cityscapes-dataset.com and unpack '
    'leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip into the folder '
    'cityscapes here.'
  )

  def _info(self):
    return raw_builder.dataset_info(
      self,
      description='Cityscapes: streets of 50 cities, 19 evaluated classes.',
      homepage='https://www.cityscapes-dataset.com',
    )
