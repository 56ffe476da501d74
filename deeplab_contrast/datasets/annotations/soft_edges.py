"""Masks whose values mix at the edges: as resizing and JPEG leave them."""

import collections
from collections.abc import Iterable, Sequence

import numpy as np

from deeplab_contrast.datasets.raw import mask_causes

# Fewer values than this at edges only may be thin classes.
LEAST = 3
# What part of the pixels of such a value has only its equals around it.
_INNER = 0.05
# How far the values that mix are, in pixels.
_REACH = 2


def values(masks: Iterable[np.ndarray]) -> list[tuple[int, ...]]:
  """The values that occur at edges only, between those of two areas.

  Args:
    masks: uint8 [height, width, channels].

  Returns:
    Such values of all masks together, sorted; none if they may be classes:
    if they are few, cover most pixels, or are not between others.
  """
  counts: collections.Counter = collections.Counter()
  inner: collections.Counter = collections.Counter()
  between: collections.Counter = collections.Counter()
  for mask in masks:
    codes = mask.astype(np.int64) @ (256 ** np.arange(mask.shape[-1]))
    low, high = _around(mask, _REACH)
    is_between = ((low < mask) & (mask < high)).any(-1)
    low, high = _around(mask, 1)
    for counter, chosen in (
      (counts, slice(None)),
      (inner, (low == high).all(-1)),
      (between, is_between),
    ):
      found, number = np.unique(codes[chosen], return_counts=True)
      counter.update(dict(zip(found.tolist(), number.tolist(), strict=True)))
  thin = [code for code in counts if inner[code] < _INNER * counts[code]]
  pixels = sum(counts[code] for code in thin)
  mixed = sum(between[code] for code in thin)
  is_soft = len(thin) >= max(LEAST, len(counts) / 2) and mixed > pixels / 2
  if not is_soft or pixels > sum(counts.values()) / 2:
    return []
  channels = mask.shape[-1]
  return sorted(
    tuple(code >> 8 * i & 255 for i in range(channels)) for code in thin
  )


def sentence(root: object, mask: object, found: Sequence[object]) -> str:
  """What is wrong with masks of such values, and what to do.

  Args:
    root: the folder of all.
    mask: one of them.
    found: the values, at least one.
  """
  shown = ', '.join(map(str, found[:5])) + ', ...' * (len(found) > 5)
  return (
    f'The masks of {root}, such as {mask}, have {len(found)} values that occur '
    f'only at the edges between others ({shown}), as resizing and JPEG leave '
    'them: export them again as PNG with one value for each class (nearest '
    'pixel); black and white ones can be repaired, see "smooth edges" in '
    'docs/own_data.md. If they are classes, state "classes" in dataset.json.'
  )


def _around(mask, reach):
  """The smallest and the largest value around each pixel, by channel."""
  mask = mask.astype(np.int16)
  return -mask_causes.largest(-mask, reach), mask_causes.largest(mask, reach)
