"""Examples without files, for tests of sources made from them."""

import dataclasses
import io

import numpy as np
from PIL import Image

from deeplab_contrast.common import ID, IMAGE, LABEL
from deeplab_contrast.datasets import info, sources
from deeplab_contrast.datasets.voc2012_segmentation import Voc2012


class Named(sources.Examples):
  """Examples with names only."""

  info = Voc2012.info
  max_size = (3, 4)

  def __init__(self, names):
    self._names = names

  def __len__(self):
    return len(self._names)

  def __getitem__(self, index):
    return {IMAGE: b'', LABEL: b'', ID: self._names[index].encode()}

  def ids(self):
    return list(self._names)


@dataclasses.dataclass(frozen=True)
class NamedSource(sources.Source):
  names: tuple[str, ...]

  info = Voc2012.info

  def open(self, data_dir):
    return Named(self.names)


HUNDRED = NamedSource(tuple(f'name_{i}' for i in range(100)))


THREE = info.DatasetInfo(
  'three', ('a', 'b', 'c'), ((0, 0, 0), (255, 0, 0), (0, 0, 255))
)


def png(pixels, mode=None, **options):
  """A PNG of an array; as palette PNG for mode 'P'."""
  image = Image.fromarray(np.asarray(pixels, np.uint8))
  if mode == 'P':
    image.putpalette(list(range(255, -1, -1)) * 3)
  buffer = io.BytesIO()
  image.save(buffer, 'PNG', **options)
  return buffer.getvalue()


class Painted(sources.Examples):
  """Examples with real pixels.

  Image i is noise with the seed i; its label is `labels[i]`.
  """

  info = THREE

  def __init__(self, names, labels):
    self._names = names
    self._labels = [np.asarray(label, np.uint8) for label in labels]
    sizes = [label.shape for label in self._labels]
    self.max_size = tuple(map(max, zip(*sizes, strict=True)))

  def __len__(self):
    return len(self._names)

  def __getitem__(self, index):
    label = self._labels[index]
    noise = np.random.default_rng(index).integers(0, 255, (*label.shape, 3))
    return {
      IMAGE: png(noise),
      LABEL: png(label),
      ID: self._names[index].encode(),
    }

  def ids(self):
    return list(self._names)


@dataclasses.dataclass(frozen=True)
class PaintedSource(sources.Source):
  """`count` images of (9 + i) x 14 pixels with random labels and void."""

  prefix: str = 'x'
  count: int = 5

  info = THREE

  def open(self, data_dir):
    rng = np.random.default_rng(self.count)
    sizes = [(9 + i % 4, 14) for i in range(self.count)]
    labels = [rng.choice([0, 1, 2, 255], size) for size in sizes]
    names = [f'{self.prefix}{i}' for i in range(self.count)]
    return Painted(names, labels)


def decoded(encoded):
  """The array of an encoded image."""
  return np.asarray(Image.open(io.BytesIO(encoded)))
