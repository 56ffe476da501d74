"""Steps from a stored example to what the network sees, dict to dict.

One name for all of them, which gin files use: `transforms.RandomCrop`. Each is
a frozen dataclass: its fields are its settings, checked when it is made;
ConfigError says what is wrong with them. Steps that draw random numbers take
the int32 [2] SEED of the example, which the pipeline makes different for each
step. All of them run eagerly and in tf.data.Dataset.map.

The order of the original (deeplab/input_preprocess.py):
Decode, RandomScale, Pad, RandomCrop, RandomFlip, then the colours.
"""

from deeplab_contrast.datasets.transforms.color import (
  BrightnessContrast,
  ColorDistortion,
  GaussianBlur,
)
from deeplab_contrast.datasets.transforms.decode import Decode
from deeplab_contrast.datasets.transforms.geometry import (
  Pad,
  RandomCrop,
  RandomFlip,
  RandomScale,
  ResizeToRange,
)
from deeplab_contrast.datasets.transforms.order import (
  Example,
  Transform,
  check,
)
from deeplab_contrast.datasets.transforms.views import (
  TwoViews,
  WeakAndStrong,
)

__all__ = [
  'BrightnessContrast',
  'ColorDistortion',
  'Decode',
  'Example',
  'GaussianBlur',
  'Pad',
  'RandomCrop',
  'RandomFlip',
  'RandomScale',
  'ResizeToRange',
  'Transform',
  'TwoViews',
  'WeakAndStrong',
  'check',
]
