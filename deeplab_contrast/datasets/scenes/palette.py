"""Colours of things, chosen so that colour alone does not reveal the class.

Every class has its own colours, and every class of man-made things also uses
the colours that a whole street shares.
"""

import numpy as np


def _colors(*rows):
  return np.array(rows, dtype=np.float64)


# The materials of a street; any thing in it may have one of these colours.
STREET = _colors(
  (52, 54, 58),
  (88, 90, 92),
  (124, 124, 122),
  (164, 162, 156),
  (206, 204, 198),
  (146, 84, 66),
  (176, 146, 106),
  (92, 74, 58),
  (66, 88, 68),
  (74, 92, 122),
  (150, 48, 44),
  (196, 166, 72),
)
ASPHALT = _colors(
  (58, 58, 62),
  (80, 80, 82),
  (104, 102, 100),
  (128, 124, 118),
  (92, 82, 76),
  (72, 78, 88),
)
PAVEMENT = _colors(
  (138, 134, 128),
  (112, 108, 106),
  (162, 152, 138),
  (138, 104, 90),
  (96, 98, 104),
)
WALL = _colors(
  (196, 178, 146),
  (156, 88, 70),
  (122, 66, 54),
  (150, 150, 148),
  (104, 104, 108),
  (214, 208, 196),
  (186, 192, 198),
  (116, 92, 74),
  (202, 164, 104),
  (146, 166, 178),
  (152, 160, 136),
  (206, 158, 142),
  (72, 74, 82),
)
GLASS = _colors((34, 40, 48), (52, 62, 72), (82, 100, 116), (120, 140, 156))
ROOF = _colors((96, 56, 46), (66, 60, 62), (124, 82, 62), (88, 90, 96))
PAINT = _colors(
  (26, 27, 30),
  (54, 56, 60),
  (226, 226, 224),
  (168, 170, 172),
  (116, 118, 120),
  (140, 26, 28),
  (28, 52, 110),
  (60, 96, 142),
  (36, 66, 48),
  (120, 138, 84),
  (196, 178, 142),
  (206, 162, 34),
  (92, 64, 48),
  (188, 92, 36),
)
CLOTH = _colors(
  (34, 36, 42),
  (62, 66, 84),
  (116, 62, 56),
  (204, 198, 190),
  (88, 96, 74),
  (164, 132, 96),
  (46, 66, 104),
  (168, 40, 48),
  (200, 170, 60),
  (128, 128, 130),
  (226, 108, 44),
  (96, 60, 92),
)
SKIN = _colors((232, 190, 164), (198, 146, 112), (146, 98, 70), (88, 58, 44))
HAIR = _colors((28, 24, 22), (72, 50, 36), (150, 116, 70), (150, 148, 146))
SUMMER = _colors((54, 84, 40), (74, 104, 50), (40, 66, 44), (98, 116, 58))
AUTUMN = _colors((150, 112, 46), (134, 74, 40), (112, 88, 52), (172, 134, 52))
BARK = _colors((78, 62, 50), (98, 90, 82), (58, 50, 46), (124, 116, 104))
METAL = _colors(
  (140, 142, 144),
  (92, 94, 98),
  (44, 48, 50),
  (52, 72, 62),
  (108, 88, 70),
  (190, 190, 188),
)
RED, BLUE, WHITE, BLACK = _colors(
  (184, 30, 34), (30, 72, 160), (230, 230, 226), (22, 22, 24)
)
YELLOW, GREEN, ORANGE, BACK = _colors(
  (228, 180, 34), (24, 108, 74), (236, 130, 44), (132, 134, 136)
)


def pick(
  rng: np.random.Generator,
  colors: np.ndarray,
  shared: float = 0.25,
  spread: float = 14,
) -> np.ndarray:
  """Draws one colour, float64 [3], 4 to 251.

  Args:
    rng: the source of randomness.
    colors: float [n, 3], the colours of this kind of thing.
    shared: probability of one of the street's colours instead.
    spread: the largest change of each channel.
  """
  if rng.random() < shared:
    colors = STREET
  color = colors[rng.integers(len(colors))] * rng.uniform(0.78, 1.18)
  return np.clip(color + rng.uniform(-spread, spread, 3), 4, 251)


def vary(
  rng: np.random.Generator, color: np.ndarray, count: int, spread: float = 0.12
) -> np.ndarray:
  """`count` colours around `color`, float64 [count, 3]: lighter and darker."""
  return color * rng.uniform(1 - spread, 1 + spread, (count, 1))
