"""Generated street scenes: the dataset that needs no download."""

import dataclasses

from deeplab_contrast.datasets import info as info_lib
from deeplab_contrast.datasets.scenes import classes, scenes_dataset_builder
from deeplab_contrast.utils import errors

Builder = scenes_dataset_builder.Builder

# Below this, people and signs have too few pixels to be recognised.
_MIN_SIDE = 32


@dataclasses.dataclass(frozen=True)
class Scenes(info_lib.Dataset):
  """Street scenes drawn by code, to try everything without a download.

  Eight classes with the difficulties of real streets: perspective, occlusion,
  weather, thin objects, clutter, and colours that classes share. Drawing the
  default 640 scenes takes about half a minute, once.

  Attributes:
    seed: a different seed gives different scenes of the same kind; 0 or more.
    train: number of scenes of the split 'train'.
    val: number of scenes of the split 'val'; scene i does not depend on these
      two numbers.
    height: height of every scene, in pixels.
    width: likewise.

  Raises:
    ConfigError: a value is too small.
  """

  seed: int = 0
  train: int = 512
  val: int = 128
  height: int = 128
  width: int = 192

  info = classes.INFO

  def __post_init__(self):
    least = {
      'seed': 0,
      'train': 1,
      'val': 1,
      'height': _MIN_SIDE,
      'width': _MIN_SIDE,
    }
    for name, minimum in least.items():
      if getattr(self, name) < minimum:
        raise errors.ConfigError(
          f'Scenes.{name} must be at least {minimum}: '
          f'got {getattr(self, name)}.'
        )

  def builder(self, data_dir: str | None) -> Builder:
    """The TFDS builder, not yet prepared; see `Dataset.builder`."""
    config = scenes_dataset_builder.ScenesConfig(**dataclasses.asdict(self))
    return Builder(data_dir=data_dir, config=config)
