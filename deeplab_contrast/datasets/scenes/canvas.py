"""The canvas: polygons in the street become colours and things.

It makes two pictures at twice the final size: the colour of each pixel, and the
number of the thing it belongs to. Labels are made from the second one alone, so
they stay exact whatever happens to the colours.
"""

import itertools
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from deeplab_contrast.datasets.scenes import camera as camera_lib
from deeplab_contrast.datasets.scenes import light as light_lib

# The canvas is this many times as large as the final picture.
SCALE = 2


class _Stroke(NamedTuple):
  """One call of `paint`; `place` counts faces painted before it."""

  faces: np.ndarray
  color: np.ndarray
  shade: float | np.ndarray
  alpha: int
  thing: int | None
  place: int


class Canvas:
  """Collects the faces of one scene from far to near, then draws them.

  Collecting them first lets haze and perspective be computed for all faces at
  once: a scene has about 600 calls of `paint`, most with one small face.

  Attributes:
    camera: a camera with this canvas' size.
    light: light of the scene.
    labels: the label of each thing, by its number.
    grains: (fine, coarse) strength of each thing's texture, by its number.
  """

  def __init__(
    self,
    camera: camera_lib.Camera,
    light: light_lib.Light,
    labels: Iterable[int],
    grains: Iterable[tuple[float, float]],
  ):
    """Starts empty.

    Args:
      camera: a camera with this canvas' size.
      light: light of the scene.
      labels: labels of the things in the background.
      grains: their textures.
    """
    self.camera, self.light = camera, light
    self.labels, self.grains = list(labels), list(grains)
    self._strokes: list[_Stroke] = []
    self._count = 0

  def thing(self, label: int, grain: tuple[float, float] = (0.05, 0.05)) -> int:
    """Adds a new thing.

    Args:
      label: its class id.
      grain: strength of its fine and of its coarse texture.

    Returns:
      Its number, for `paint`.
    """
    self.labels.append(label)
    self.grains.append(grain)
    return len(self.labels) - 1

  def paint(
    self,
    thing: int | None,
    faces: np.ndarray,
    color: np.ndarray,
    shade: float | np.ndarray = 1.0,
    alpha: int = 255,
  ) -> None:
    """Paints faces that all belong to one thing, in order.

    Args:
      thing: number of the thing; None to change only the colours of what is
        already there: shadows, windows, stripes, wires.
      faces: float [n, corners, 3] or [corners, 3], metres.
      color: float [3] or [n, 3], 0 to 255, in neutral light.
      shade: float or [n], brightness.
      alpha: 255 covers, less lets the background show through.
    """
    faces = faces[np.newaxis] if faces.ndim == 2 else faces
    stroke = _Stroke(faces, color, shade, alpha, thing, self._count)
    self._strokes.append(stroke)
    self._count += len(faces)

  def draw(
    self, colors: np.ndarray, things: np.ndarray
  ) -> tuple[np.ndarray, np.ndarray]:
    """Draws everything painted over a background.

    Args:
      colors: float [height, width, 3], 0 to 255.
      things: int [height, width], numbers of the background's things.

    Returns:
      (colors, things): uint8 [height, width, 3], int32 [height, width].
    """
    picture = Image.fromarray(np.clip(colors, 0, 255).astype(np.uint8))
    numbers = Image.fromarray(things.astype(np.int32))
    # Mode RGBA on an RGB picture blends by alpha.
    brush, marker = ImageDraw.Draw(picture, 'RGBA'), ImageDraw.Draw(numbers)
    for _, points, color, thing in self._polygons():
      brush.polygon(points, fill=color)
      if thing is not None:
        marker.polygon(points, fill=thing)
    return np.asarray(picture), np.asarray(numbers)

  def _polygons(self):
    """All polygons in sight as (place, points, color, thing), in order."""
    strokes = sorted(self._strokes, key=_corners)
    polygons = []
    for _, alike in itertools.groupby(strokes, key=_corners):
      polygons.extend(self._batch(list(alike)))
    return sorted(polygons, key=lambda polygon: polygon[0])

  def _batch(self, strokes):
    """The polygons of strokes whose faces have the same number of corners."""
    faces = np.concatenate([stroke.faces for stroke in strokes])
    sizes = [len(stroke.faces) for stroke in strokes]
    colors = np.empty((len(faces), 3))
    places = np.empty(len(faces), dtype=int)
    for start, stroke in zip(itertools.accumulate(sizes), strokes, strict=True):
      part = slice(start - len(stroke.faces), start)
      colors[part] = _shaded(stroke)
      places[part] = range(stroke.place, stroke.place + len(stroke.faces))
    polygons = self.camera.project(faces)
    seen = self._in_sight(polygons)
    owners = np.repeat(np.arange(len(strokes)), sizes)[seen].tolist()
    return [
      (place, points, (*color, strokes[owner].alpha), strokes[owner].thing)
      for place, points, color, owner in zip(
        places[seen].tolist(),
        polygons[seen].reshape(-1, 2 * faces.shape[1]).tolist(),
        self._hazed(colors, faces)[seen].tolist(),
        owners,
        strict=True,
      )
    ]

  def _hazed(self, colors, faces):
    """Colours [n, 3] at the depth of their faces: int [n, 3]."""
    fade = self.light.fade(np.maximum(faces[..., 2].mean(axis=1), 0))
    colors = light_lib.faded(colors, fade, self.light)
    return np.clip(colors, 0, 255).astype(int)

  def _in_sight(self, polygons):
    """Which polygons [n, corners, 2] touch the picture: bool [n]."""
    size = (self.camera.width, self.camera.height)
    after = (polygons.max(axis=1) >= 0).all(axis=-1)
    before = (polygons.min(axis=1) < size).all(axis=-1)
    return after & before


def _corners(stroke):
  return stroke.faces.shape[1]


def _shaded(stroke):
  """Colours of a stroke under its light, [3] or [n, 3]."""
  if isinstance(stroke.shade, np.ndarray):
    return stroke.color * stroke.shade[:, np.newaxis]
  return np.asarray(stroke.color) * stroke.shade
