"""The eight classes of the scenes, and the one meaning of each."""

from deeplab_contrast.datasets import info

# Flat ground: carriageway, pavement, lane marks, puddles, shadows on it.
ROAD = 0
SKY = 1
# Walls, roofs, windows, shop fronts, awnings, advertisements on walls.
BUILDING = 2
# Crowns with the gaps in them, trunks, hedges, wooded hills.
TREE = 3
# Cars, vans, buses, lorries, with glass and wheels.
CAR = 4
# People with what they wear and carry.
PERSON = 5
# Lamp posts, posts of signs, masts, bollards.
POLE = 6
# Traffic signs from the front and the back, traffic lights, direction boards.
SIGN = 7
# Bins, boxes, benches, other clutter, and the bonnet of the camera's own car.
VOID = 255

INFO = info.DatasetInfo(
  name='scenes',
  class_names=(
    'road',
    'sky',
    'building',
    'tree',
    'car',
    'person',
    'pole',
    'sign',
  ),
  colors=(
    (128, 64, 128),
    (70, 130, 180),
    (90, 90, 90),
    (107, 142, 35),
    (0, 0, 200),
    (220, 20, 60),
    (64, 224, 208),
    (250, 200, 0),
  ),
  ignore_label=VOID,
)
