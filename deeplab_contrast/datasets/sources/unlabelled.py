"""Images whose labels are hidden."""

import dataclasses
import functools

import numpy as np

from deeplab_contrast.common import IGNORE_LABEL, IMAGE, LABEL
from deeplab_contrast.datasets import info as dataset_info
from deeplab_contrast.datasets.sources import examples
from deeplab_contrast.imaging import decoding, images


@dataclasses.dataclass(frozen=True)
class Unlabelled(examples.Source):
  """The images of another source as if they had no labels.

  LABEL is a PNG of the image's size that is IGNORE_LABEL everywhere, so that
  nothing downstream changes and losses count no pixel.

  Attributes:
    source: source of the images.
  """

  source: examples.Source

  @property
  def info(self) -> dataset_info.DatasetInfo:
    """What labels would mean."""
    return self.source.info

  def open(self, data_dir: str | None) -> examples.Examples:
    """See base class."""
    return _Unlabelled(examples.open_inner(self.source, data_dir))


class _Unlabelled(examples.Examples):
  def __init__(self, labelled: examples.Examples):
    self.info = labelled.info
    self.max_size = labelled.max_size
    self._labelled = labelled

  def __len__(self):
    return len(self._labelled)

  def __getitem__(self, index):
    example = self._labelled[index]
    size = decoding.image_size(example[IMAGE])
    return {**example, LABEL: _void(*size)}

  def ids(self) -> list[str]:
    """See base class."""
    return self._labelled.ids()


@functools.lru_cache(maxsize=1024)
def _void(height, width):
  return images.encode_png(np.full([height, width], IGNORE_LABEL, np.uint8))
