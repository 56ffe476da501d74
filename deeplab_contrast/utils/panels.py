"""Pictures of images, label maps and predictions side by side."""

import os

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_MARGIN = 6
_VOID = (255, 255, 255)


def colorize(label, colors):
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


def grid(rows, headings, legend, width=256):
  """Draws rows of pictures under headings, with a legend of classes below.

  Args:
    rows: lists of uint8 arrays [height, width, 3], one list for each row.
    headings: one string per column.
    legend: (class name, colour) pairs.
    width: of every picture, in pixels.

  Returns:
    A PIL image.
  """
  font = ImageFont.load_default(14)
  tiles = [[_to_width(picture, width) for picture in row] for row in rows]
  heights = [max(tile.height for tile in row) for row in tiles]
  columns = len(headings)
  total_width = columns * (width + _MARGIN) + _MARGIN
  places, legend_height = _place_legend(legend, font, total_width)
  top = 22 + _MARGIN
  below = top + sum(heights) + _MARGIN * len(heights)
  canvas = Image.new('RGB', (total_width, below + legend_height), 'white')
  draw = ImageDraw.Draw(canvas)
  for i, heading in enumerate(headings):
    x = _MARGIN + i * (width + _MARGIN)
    draw.text((x, _MARGIN), heading, fill='black', font=font)
  for row, height in zip(tiles, heights, strict=True):
    for i, tile in enumerate(row):
      canvas.paste(tile, (_MARGIN + i * (width + _MARGIN), top))
    top += height + _MARGIN
  for (name, color), (x, y) in zip(legend, places, strict=True):
    box = (x, below + y + 2, x + 14, below + y + 16)
    draw.rectangle(box, fill=tuple(color), outline='gray')
    draw.text((x + 20, below + y), name, fill='black', font=font)
  return canvas


def legend(colors):
  """(class name, colour) pairs from a dict of them, and void at the end."""
  return [*colors.items(), ('void', _VOID)]


def save(picture, path):
  """Writes a PNG in one piece; a reader never sees half of it."""
  if not isinstance(picture, Image.Image):
    picture = Image.fromarray(np.asarray(picture, np.uint8))
  os.makedirs(os.path.dirname(path), exist_ok=True)
  temporary = path + '.tmp'
  picture.save(temporary, format='PNG')
  os.replace(temporary, path)


def _to_width(picture, width):
  image = Image.fromarray(np.asarray(picture, np.uint8))
  height = max(1, round(image.height * width / image.width))
  # Nearest keeps the colours of label maps, and the pixels of images honest.
  return image.resize((width, height), Image.Resampling.NEAREST)


def _place_legend(legend, font, total_width):
  """Places of the entries, wrapped to the width, and the height they need."""
  places, x, y = [], _MARGIN, 0
  for name, _ in legend:
    needed = 20 + int(font.getlength(name)) + 16
    if x + needed > total_width and x > _MARGIN:
      x, y = _MARGIN, y + 22
    places.append((x, y))
    x += needed
  return places, y + 22 + _MARGIN
