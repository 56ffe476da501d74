"""Cityscapes fine annotations, from leftImg8bit and gtFine as unpacked."""

import tensorflow_datasets as tfds

from deeplab_contrast import common
from deeplab_contrast.datasets import raw_builder, raw_pairs
from deeplab_contrast.utils import errors

# The label id in the mask files of each train id 0 to 18; the other label ids
# up to 33 do not take part. (cityscapesScripts: helpers/labels.py.)
# fmt: off
LABEL_IDS = (
  7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33
)
# fmt: on

_SPLITS = ('train', 'val')

_IMAGE_END = '_leftImg8bit.png'
_MASK_END = '_gtFine_labelIds.png'

_VALUES = raw_pairs.MaskValues(
  {
    **dict.fromkeys(range(34), common.IGNORE_LABEL),
    **{label_id: i for i, label_id in enumerate(LABEL_IDS)},
  },
  'expected the label ids 0 to 33 that *_gtFine_labelIds.png of gtFine have, '
  'not train ids: those are made from them here.',
)


def _collect(folder):
  splits = {split: _pairs(folder, split) for split in _SPLITS}
  splits = {split: pairs for split, pairs in splits.items() if pairs}
  if not splits:
    raise errors.DataError(
      f'{folder} has no images: expected leftImg8bit/train/<city>/'
      f'*{_IMAGE_END} and gtFine/train/<city>/*{_MASK_END}.'
    )
  return raw_pairs.RawData(folder, splits, _VALUES)


def _pairs(folder, split):
  """All frames of a split, also those that lack their image or mask."""
  frames = _frames(folder / 'leftImg8bit' / split, _IMAGE_END)
  frames |= _frames(folder / 'gtFine' / split, _MASK_END)
  return tuple(
    raw_pairs.Pair(
      frame,
      folder / 'leftImg8bit' / split / city / (frame + _IMAGE_END),
      folder / 'gtFine' / split / city / (frame + _MASK_END),
    )
    for city, frame in sorted(frames)
  )


def _frames(folder, end):
  """The set of (city, frame) among the files <city>/<frame><end>."""
  return {
    (path.parent.name, path.name.removesuffix(end))
    for path in folder.glob(f'*/*{end}')
  }


LAYOUT = raw_pairs.Layout(
  name='Cityscapes',
  places=('', 'cityscapes'),
  marks=('leftImg8bit', 'gtFine'),
  collect=_collect,
)


class Builder(tfds.core.GeneratorBasedBuilder):
  """The label ids of the 19 evaluated classes become 0 to 18."""

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

  def _split_generators(self, dl_manager):
    return raw_builder.split_generators(self, LAYOUT, dl_manager)

  def _generate_examples(self, pairs, values):
    return raw_pairs.examples(pairs, values)
