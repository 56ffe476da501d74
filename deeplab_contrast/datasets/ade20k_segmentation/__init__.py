"""ADE20K, the 150 classes of the scene parsing challenge of 2016."""

import dataclasses

import tensorflow_datasets as tfds

from deeplab_contrast.datasets import info
from deeplab_contrast.datasets.ade20k_segmentation import (
  ade20k_segmentation_dataset_builder as dataset_builder,
)
from deeplab_contrast.datasets.raw import raw_builder

# In the order of objectInfo150.txt.
_CLASS_NAMES = (
  'wall, building, sky, floor, tree, ceiling, road, bed, windowpane, grass, '
  'cabinet, sidewalk, person, earth, door, table, mountain, plant, curtain, '
  'chair, car, water, painting, sofa, shelf, house, sea, mirror, rug, field, '
  'armchair, seat, fence, desk, rock, wardrobe, lamp, bathtub, railing, '
  'cushion, base, box, column, signboard, chest of drawers, counter, sand, '
  'sink, skyscraper, fireplace, refrigerator, grandstand, path, stairs, '
  'runway, case, pool table, pillow, screen door, stairway, river, bridge, '
  'bookcase, blind, coffee table, toilet, flower, book, hill, bench, '
  'countertop, stove, palm, kitchen island, computer, swivel chair, boat, '
  'bar, arcade machine, hovel, bus, towel, light, truck, tower, chandelier, '
  'awning, streetlight, booth, television receiver, airplane, dirt track, '
  'apparel, pole, land, bannister, escalator, ottoman, bottle, buffet, '
  'poster, stage, van, ship, fountain, conveyer belt, canopy, washer, '
  'plaything, swimming pool, stool, barrel, basket, waterfall, tent, bag, '
  'minibike, cradle, oven, ball, food, step, tank, trade name, microwave, '
  'pot, animal, bicycle, lake, dishwasher, screen, blanket, sculpture, hood, '
  'sconce, vase, traffic light, tray, ashcan, fan, pier, crt screen, plate, '
  'monitor, bulletin board, shower, radiator, glass, clock, flag'
)

_INFO = info.DatasetInfo(
  name='ade20k',
  class_names=tuple(_CLASS_NAMES.split(', ')),
  colors=dataset_builder.COLORS,
)


@dataclasses.dataclass(frozen=True)
class Ade20k(info.Dataset):
  """ADE20K, read from images and annotations; splits train and val.

  The masks have 1 to 150 for classes and 0 for everything else. Here the
  classes are 0 to 149 and the rest is IGNORE_LABEL; the original DeepLab
  instead trains 151 outputs, of which class 0 is ignored. The network learns
  the same; to compare ids with the original's, add 1.

  Attributes:
    root: the folder ADEChallengeData2016, with images/{training,validation} and
      annotations/{training,validation}, or its parent; relative to the current
      directory; None for `<data_dir>/downloads/manual`.
  """

  root: str | None = None

  info = _INFO  # Not annotated, so not a field.

  def builder(self, data_dir: str | None) -> tfds.core.DatasetBuilder:
    """See base class. Raises DataError if these folders do not exist."""
    return raw_builder.make_builder(
      dataset_builder.Builder, dataset_builder.LAYOUT, self.root, data_dir
    )
