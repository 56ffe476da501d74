"""The TFDS builder of the scenes: draws them instead of downloading them."""

import dataclasses
import io

import tensorflow_datasets as tfds
from PIL import Image

from deeplab_contrast import common
from deeplab_contrast.datasets.raw import one_at_a_time
from deeplab_contrast.datasets.scenes import drawing

# Part of the key of each scene: never renumber.
_SPLITS = {'train': 0, 'val': 1}

_DESCRIPTION = """\
Street scenes drawn by code, with exact labels: 8 classes, void is 255.
Scene i of a split is a function of the seed, the split and i alone.
"""


@dataclasses.dataclass(kw_only=True)
class ScenesConfig(tfds.core.BuilderConfig):
  """All that the contents depend on; the name has each value.

  Attributes:
    name: made from the others; TFDS prepares one folder per name.
    seed: seed of all scenes.
    train: number of training scenes.
    val: number of validation scenes.
    height: height of every scene, in pixels.
    width: likewise.
  """

  name: str = dataclasses.field(init=False)
  seed: int
  train: int
  val: int
  height: int
  width: int

  def __post_init__(self):
    self.name = (
      f'seed{self.seed}_train{self.train}_val{self.val}'
      f'_{self.height}x{self.width}'
    )


class Builder(one_at_a_time.Builder):
  """Builds the two splits from a ScenesConfig; see `scenes.Scenes`."""

  # Raise it with every change of the pictures or labels, so that folders with
  # older drawings are not mistaken for new ones.
  VERSION = tfds.core.Version('1.0.0')
  RELEASE_NOTES = {'1.0.0': 'First release.'}

  def _info(self):
    config = self.builder_config
    return tfds.core.DatasetInfo(
      builder=self,
      description=_DESCRIPTION,
      features=tfds.features.FeaturesDict(
        {
          common.IMAGE: tfds.features.Image(
            shape=(None, None, 3), encoding_format='png'
          ),
          common.LABEL: tfds.features.Image(
            shape=(None, None, 1), encoding_format='png'
          ),
          common.ID: tfds.features.Text(),
        }
      ),
      metadata=tfds.core.MetadataDict(
        max_height=config.height, max_width=config.width
      ),
      # Item i of the prepared split is scene i.
      disable_shuffling=True,
    )

  def _split_generators(self, dl_manager):
    del dl_manager  # Nothing to download.
    config = self.builder_config
    return {
      'train': self._generate_examples('train', config.train),
      'val': self._generate_examples('val', config.val),
    }

  def _generate_examples(self, split, count):
    config = self.builder_config
    for index in range(count):
      key = (config.seed, _SPLITS[split], index)
      image, label = drawing.draw(key, config.height, config.width)
      yield (
        index,
        {
          common.IMAGE: _png(image),
          common.LABEL: _png(label),
          common.ID: f'{split}_{index:05d}',
        },
      )


def _png(array):
  """A PNG file in memory of uint8 [height, width] or [height, width, 3]."""
  file = io.BytesIO()
  Image.fromarray(array).save(file, format='png')
  file.seek(0)
  return file
