"""Sources of labelled examples: what to train or evaluate on.

One name for all of them, which gin files use: `sources.TfdsSplit` is a prepared
split; the others are made from sources. See `examples` for what they share.
"""

from deeplab_contrast.datasets.sources.class_counts import of as count_classes
from deeplab_contrast.datasets.sources.examples import Examples, Source, Subset
from deeplab_contrast.datasets.sources.joined import Mixture, Union
from deeplab_contrast.datasets.sources.label_budget import (
  Complement,
  HeldOut,
  LabelBudget,
)
from deeplab_contrast.datasets.sources.pseudo_labelled import PseudoLabelled
from deeplab_contrast.datasets.sources.tfds_split import TfdsSplit
from deeplab_contrast.datasets.sources.unlabelled import Unlabelled

__all__ = [
  'Complement',
  'Examples',
  'HeldOut',
  'LabelBudget',
  'Mixture',
  'PseudoLabelled',
  'Source',
  'Subset',
  'TfdsSplit',
  'Union',
  'Unlabelled',
  'count_classes',
]
