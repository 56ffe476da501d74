"""Why a mask has values that it should not have: the likely cause, as a phrase.

These are guesses, for people: reported with the values, never acted on.
"""

from collections.abc import Collection, Sequence

import numpy as np

# How far the values of a resized mask bleed, in pixels, and how far they
# overshoot (bicubic filters do), as a fraction of the difference at the edge.
_REACH = 6
_OVERSHOOT = 0.15

# Common colours of void, besides the colours of the classes.
_VOID_COLORS = ((0, 0, 0), (255, 255, 255), (224, 224, 192))

RESIZED = 'anti-aliased or resized masks: scale masks by the nearest pixel only'
BRIGHTNESS = (
  'the luminance (brightness) of palette colours instead of their indices: '
  'take the original palette PNGs'
)
PALETTE = (
  'palette indices that are not ids, in the colours of the classes: state '
  '"masks": "colors"'
)
LABEL_IDS = (
  'Cityscapes label ids (0 to 33) instead of the 19 train ids: take '
  '*_labelTrainIds.png, or map them'
)
TRAIN_IDS = (
  'train ids (0 to 18 and 255) instead of Cityscapes label ids: name such '
  'files *_labelTrainIds.png'
)


def of_ids(
  mask: np.ndarray,
  known: Collection[int],
  colors: Sequence[tuple[int, int, int]],
) -> str | None:
  """The likely cause of values without a meaning in a mask of ids.

  Args:
    mask: uint8 [height, width].
    known: the values with a meaning.
    colors: colours of the classes, (red, green, blue).

  Returns:
    A phrase, or None.
  """
  values = np.unique(mask)
  unknown = np.setdiff1d(values, list(known))
  count = len(colors)
  if _are_brightness(values, unknown, colors):
    return BRIGHTNESS
  step = _step(values, count)
  if step and unknown.min() < 255:  # It does not explain 255 alone.
    return f'ids multiplied by {step} to make them visible: divide by it'
  if len(unknown) > 2 and _is_between(mask, np.isin(mask, unknown)):
    return RESIZED
  if count == 19 and 33 in known and unknown.tolist() == [255]:
    return TRAIN_IDS
  if count == 19 and unknown.max() <= 33:
    return LABEL_IDS
  if unknown.tolist() == [count]:
    return (
      f'ids that start at 1, or {count} means void: state which ids the '
      'classes have and which are ignored'
    )
  if count and unknown.min() >= count:
    return (
      'ids of a different list of classes (such as label ids instead of train '
      'ids), or a void id that is not stated'
    )
  return None


def of_colors(mask: np.ndarray, is_unknown: np.ndarray) -> str:
  """The likely cause of colours without a meaning.

  Args:
    mask: uint8 [height, width, 3].
    is_unknown: bool [height, width].

  Returns:
    A phrase.
  """
  colors = np.unique(mask[is_unknown], axis=0)
  beside = largest(~is_unknown, _REACH)[is_unknown]
  if len(colors) > 2 and beside.mean() > 0.7:
    return RESIZED
  return 'colours that are not in the list of classes'


def _are_brightness(values, unknown, colors):
  """Whether all values are the brightness of the classes' colours."""
  colors = np.array([*colors, *_VOID_COLORS], np.int64)
  weights = (19595, 38470, 7471)  # ITU-R 601, as Pillow and libpng round it.
  brightness = (colors @ weights + 0x8000) >> 16
  is_near = np.abs(np.arange(256)[:, None] - brightness).min(1) <= 1
  if is_near.mean() > 0.5:  # With so many classes almost any value is.
    return False
  return len(unknown) > 0 and len(values) > 1 and bool(is_near[values].all())


def _step(values, count):
  """Returns k if the values are ids times k > 1; else None."""
  values = values[(values > 0) & (values < 255)]
  step = int(np.gcd.reduce(values)) if len(values) > 1 else 1
  return step if step > 1 and values.max() // step < count else None


def _is_between(mask, is_unknown):
  """Whether the unknown values are between the known ones around them."""
  mask = mask.astype(np.int16)
  high = largest(np.where(is_unknown, -1, mask), _REACH)
  low = -largest(np.where(is_unknown, -256, -mask), _REACH)
  slack = _OVERSHOOT * (high - low)
  between = (low < high) & (low - slack <= mask) & (mask <= high + slack)
  return between[is_unknown].mean() > 0.7


def largest(values: np.ndarray, reach: int) -> np.ndarray:
  """The largest value around each pixel.

  Args:
    values: [height, width, ...].
    reach: how far, in pixels, along rows and columns.

  Returns:
    The same shape and dtype.
  """
  for axis in (0, 1):
    padding = [(0, 0)] * values.ndim
    padding[axis] = (reach, reach)
    padded = np.pad(values, padding, 'edge')
    windows = np.lib.stride_tricks.sliding_window_view(
      padded, 2 * reach + 1, axis
    )
    values = windows.max(-1)
  return values
