"""ADE20K in the layout of ADEChallengeData2016: images and annotations."""

import tensorflow_datasets as tfds

from deeplab_contrast import common
from deeplab_contrast.datasets.raw import (
  file_pairs,
  mask_values,
  raw_builder,
  raw_pairs,
)
from deeplab_contrast.imaging import images

NUM_CLASSES = 150

# Names of splits here, and of their folders.
_FOLDERS = {'train': 'training', 'val': 'validation'}

# Black is 0 in the masks, which is not a class.
COLORS = images.voc_colormap(NUM_CLASSES + 1)[1:]

_VALUES = mask_values.MaskValues(
  {
    0: common.IGNORE_LABEL,
    **{i + 1: i for i in range(NUM_CLASSES)},
  },
  'expected 1 to 150 for the classes and 0 for everything else.',
  COLORS,
)


def _collect(folder):
  splits = {}
  for split, name in _FOLDERS.items():
    if (folder / 'images' / name).is_dir():
      splits[split] = file_pairs.pairs(
        folder / 'images' / name, folder / 'annotations' / name
      )
  return raw_pairs.RawData(
    folder, splits, _VALUES, disjoint=(('train', 'val'),)
  )


LAYOUT = raw_pairs.Layout(
  name='ADE20K',
  places=('', 'ADEChallengeData2016'),
  marks=('images/training', 'annotations/training'),
  collect=_collect,
)


class Builder(raw_builder.RawBuilder):
  """Mask values 1 to 150 become the class ids 0 to 149; 0 becomes void."""

  LAYOUT = LAYOUT
  VERSION = tfds.core.Version('1.0.0')
  RELEASE_NOTES = {'1.0.0': 'First release.'}
  MANUAL_DOWNLOAD_INSTRUCTIONS = (
    'Unpack ADEChallengeData2016.zip, so that ADEChallengeData2016 is here.'
  )

  def _info(self):
    return raw_builder.dataset_info(
      self,
      description='ADE20K: 150 classes of scenes, indoors and outdoors.',
      homepage='http://sceneparsing.csail.mit.edu',
    )
