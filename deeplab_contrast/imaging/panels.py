"""Pictures of images, label maps and predictions side by side."""

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from deeplab_contrast.utils import files

_MARGIN = 6
_GAP = 18
_LINE = 22  # Height of a line of text.
_SWATCH = 14
_CHECKER = 7
_HIGHEST = 8  # Times the width: the height limit of a picture in a grid.
_VOID = (255, 255, 255)

Color = tuple[int, int, int]
Legend = Sequence[tuple[str, Color | np.ndarray]]


def colorize(label: np.ndarray, colors: Sequence[Color]) -> np.ndarray:
  """Paints a label map.

  Args:
    label: int [height, width]; ids without a colour (the ignore label) become
      white.
    colors: one (red, green, blue) per class.

  Returns:
    uint8 [height, width, 3].
  """
  table = np.full((256, 3), _VOID, np.uint8)
  table[: len(colors)] = colors
  return table[np.asarray(label, np.uint8)]


def overlay(
  image: np.ndarray,
  label: np.ndarray,
  colors: Sequence[Color],
  opacity: float = 0.5,
) -> np.ndarray:
  """Lays the colours of a label map over its image.

  Args:
    image: uint8 [height, width, 3].
    label: int [height, width]; see `colorize`.
    colors: one (red, green, blue) per class.
    opacity: opacity of the colours, 0 to 1.

  Returns:
    uint8 [height, width, 3].
  """
  painted = Image.fromarray(colorize(label, colors))
  return np.asarray(Image.blend(Image.fromarray(image), painted, opacity))


def photo(picture: np.ndarray, width: int) -> np.ndarray:
  """Resizes a photograph to a width, smoothly if it shrinks.

  Args:
    picture: uint8 [height, width, 3].
    width: in pixels.

  Returns:
    uint8 [about height * scale, width, 3].
  """
  image = Image.fromarray(np.asarray(picture, np.uint8))
  if image.width <= width:
    return np.asarray(_to_width(picture, width))
  size = (width, _height(image, width))
  return np.asarray(image.resize(size, Image.Resampling.LANCZOS))


def label_map(
  label: np.ndarray,
  colors: Sequence[Color],
  width: int,
  padding: np.ndarray | None = None,
) -> np.ndarray:
  """Paints a label map at a width: white is void, checkers are padding.

  Args:
    label: int [height, width]; ids without a colour are void.
    colors: one (red, green, blue) per class.
    width: width of the result, in pixels.
    padding: bool [height, width], where there is no image.

  Returns:
    uint8 [about height * scale, width, 3].
  """
  painted = np.array(_to_width(colorize(label, colors), width))
  if padding is not None and padding.any():
    outside = np.where(padding[..., np.newaxis], np.uint8(1), np.zeros(3))
    outside = np.asarray(_to_width(outside, width), bool)
    painted[outside] = checkers(*painted.shape[:2])[outside]
  return painted


def checkers(height: int, width: int) -> np.ndarray:
  """Grey checkers, for pixels outside an image: uint8 [height, width, 3]."""
  y, x = np.indices((height, width)) // _CHECKER
  grey = np.where((x + y) % 2, 190, 235).astype(np.uint8)
  return np.repeat(grey[..., np.newaxis], 3, axis=-1)


def grid(
  rows: Sequence[Sequence[np.ndarray]],
  headings: Sequence[str],
  legend: Legend,
  width: int = 256,
  captions: Sequence[Sequence[str]] | None = None,
  group: int | None = None,
) -> Image.Image:
  """Draws rows of pictures under headings, with a legend of classes below.

  Args:
    rows: lists of uint8 arrays [height, width, 3], one list for each row; the
      last one may be shorter.
    headings: one string per column.
    legend: (name, colour) pairs; a colour is (red, green, blue), or a uint8
      array [14, 14, 3].
    width: width of every picture, in pixels.
    captions: one list of strings for each row, written above its pictures.
    group: how many columns belong together; there is a gap after them.

  Returns:
    A PIL image.
  """
  font = ImageFont.load_default(14)
  tiles = [[_to_width(picture, width) for picture in row] for row in rows]
  above = _LINE if captions else 0
  heights = [above + max(tile.height for tile in row) for row in tiles]
  lefts = _lefts(len(headings), width, group)
  total_width = lefts[-1] + width + _MARGIN
  places, legend_height = _place_legend(legend, font, total_width)
  below = _LINE + _MARGIN + sum(heights) + _MARGIN * len(heights)
  canvas = Image.new('RGB', (total_width, below + legend_height), 'white')
  draw = ImageDraw.Draw(canvas)
  _write(draw, headings, lefts, _MARGIN, font)
  top = _LINE + _MARGIN
  for i, (row, height) in enumerate(zip(tiles, heights, strict=True)):
    if captions:
      _write(draw, captions[i], lefts, top, font)
    for left, tile in zip(lefts, row, strict=False):
      canvas.paste(tile, (left, top + above))
    top += height + _MARGIN
  for (name, color), (x, y) in zip(legend, places, strict=True):
    _swatch(canvas, draw, color, x, below + y + 2)
    draw.text((x + 20, below + y), name, fill='black', font=font)
  return canvas


def legend(colors: Mapping[str, Color]) -> list[tuple[str, Color | np.ndarray]]:
  """(class name, colour) pairs of a dict, and void at the end."""
  return [*colors.items(), ('void', _VOID)]


def save(picture: Image.Image | np.ndarray, path: str) -> None:
  """Writes a PNG atomically; a reader never sees half of it."""
  if not isinstance(picture, Image.Image):
    picture = Image.fromarray(np.asarray(picture, np.uint8))
  with files.replacing(path) as temporary:
    picture.save(temporary, format='PNG')


def _to_width(picture, width):
  image = Image.fromarray(np.asarray(picture, np.uint8))
  # Nearest keeps the colours of label maps, and shows the pixels of images.
  size = (width, _height(image, width))
  return image.resize(size, Image.Resampling.NEAREST)


def _height(image, width):
  """The height of an image at a width; a very tall image is squeezed."""
  height = round(image.height * width / image.width)
  return min(max(1, height), _HIGHEST * width)


def _lefts(columns, width, group):
  """The left edges of the columns."""
  return [
    _MARGIN + i * (width + _MARGIN) + (_GAP * (i // group) if group else 0)
    for i in range(columns)
  ]


def _write(draw, texts, lefts, top, font):
  """Writes one text for each column; a text may run into empty columns."""
  for left, text in zip(lefts, texts, strict=False):
    draw.text((left, top), text, fill='black', font=font)


def _swatch(canvas, draw, color, x, y):
  box = (x, y, x + _SWATCH, y + _SWATCH)
  if isinstance(color, np.ndarray):
    canvas.paste(Image.fromarray(color), (x, y))
    draw.rectangle(box, outline='gray')
  else:
    draw.rectangle(box, fill=tuple(color), outline='gray')


def _place_legend(legend, font, total_width):
  """Positions of the entries, wrapped to the width, and their total height."""
  places, x, y = [], _MARGIN, 0
  for name, _ in legend:
    needed = 20 + int(font.getlength(name)) + 16
    if x + needed > total_width and x > _MARGIN:
      x, y = _MARGIN, y + _LINE
    places.append((x, y))
    x += needed
  return places, y + _LINE + _MARGIN
