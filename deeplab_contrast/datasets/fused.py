"""Runs the usual first steps of a pipeline as one, which is much faster.

Decode, RandomScale, Pad, RandomCrop, RandomFlip in this order (RandomScale and
RandomFlip may be missing) become one step that draws the very same numbers but
computes only the pixels of the crop, from uint8. The result is that of the
single steps up to the rounding of positions: same labels, pixels within 0.05.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf
from absl import logging

from deeplab_contrast import common
from deeplab_contrast.core.augment import geometry, window
from deeplab_contrast.datasets import transforms as steps

_ORDER = (
  steps.Decode,
  steps.RandomScale,
  steps.Pad,
  steps.RandomCrop,
  steps.RandomFlip,
)


@dataclasses.dataclass(frozen=True)
class Stage:
  """Neighbouring transforms, run as one.

  Attributes:
    numbers: their places in the pipeline.
    run: a function of an example and of the seeds, one for each of them.
  """

  numbers: tuple[int, ...]
  run: Callable[[steps.Example, Sequence[tf.Tensor]], steps.Example]


def stages(transforms: Sequence[steps.Transform]) -> list[Stage]:
  """Groups transforms into `Stage`s that do the same."""
  transforms = tuple(transforms)
  count = _fusible(transforms)
  found = []
  if count:
    first = {type(t): (i, t) for i, t in enumerate(transforms[:count])}
    found.append(Stage(tuple(range(count)), _window_of(first)))
  for i in range(count, len(transforms)):
    found.append(Stage((i,), _single(transforms[i])))
  return found


def _fusible(transforms: Sequence[Any]) -> int:
  """How many of the first transforms can be one step; 0 if they cannot."""
  kinds: list[type] = []
  for kind in map(type, transforms):
    if kind not in _ORDER[len(kinds) and _ORDER.index(kinds[-1]) + 1 :]:
      break
    kinds.append(kind)
  if not {steps.Decode, steps.Pad, steps.RandomCrop} <= set(kinds):
    _report(list(map(type, transforms[len(kinds) :])))
    return 0
  pad, crop = (
    transforms[kinds.index(kind)] for kind in (steps.Pad, steps.RandomCrop)
  )
  is_covered = all(p >= c for p, c in zip(pad.size, crop.size, strict=True))
  return len(kinds) if is_covered and not pad.exact else 0


def _report(rest: Sequence[type]) -> None:
  """Says once which step before RandomCrop keeps the usual ones apart."""
  if steps.RandomCrop in rest[1:]:
    logging.log_first_n(
      logging.WARNING,
      'The input is slower than usual: %s run as one step only in this order, '
      'with nothing in between; here %s interrupts them.',
      1,
      ', '.join(kind.__name__ for kind in _ORDER),
      rest[0].__name__,
    )


def _single(transform):
  return lambda example, seeds: transform({**example, common.SEED: seeds[0]})


def _window_of(first: Mapping[type, tuple[int, Any]]):
  """Makes one step of {type: (place, transform)}."""
  decode, pad, crop = (
    first[kind][1] for kind in (steps.Decode, steps.Pad, steps.RandomCrop)
  )

  def run(example, seeds):
    image, label = decode.to_bytes(example)
    size = scaled = tf.shape(label)
    if steps.RandomScale in first:
      place, scale = first[steps.RandomScale]
      settings = scale.minimum, scale.maximum, scale.step
      factor = geometry.random_scale_factor(*settings, seeds[place])
      scaled = geometry.scaled_size(size, factor)
    offset = _offset(
      label, scaled, pad, crop, seeds[first[steps.RandomCrop][0]]
    )
    is_flipped = False
    if steps.RandomFlip in first:
      place, flip = first[steps.RandomFlip]
      is_flipped = geometry.is_flipped(flip.probability, seeds[place])
    rows, columns = (
      window.axis(size[i], scaled[i], offset[i], crop.size[i], is_mirrored)
      for i, is_mirrored in enumerate((False, is_flipped))
    )
    image, label = window.sample(
      image, label, rows, columns, pad.pixel, common.IGNORE_LABEL
    )
    return {**example, common.IMAGE: image, common.LABEL: label}

  return run


def _offset(label, scaled, pad, crop, seed):
  """Top and left of the crop in the scaled and padded image."""
  height, width = crop.size
  padded = tf.maximum(scaled, pad.size)
  random = geometry.crop_offset(padded, height, width, seed)
  if not crop.class_uniform:
    return random

  def around():
    # Only here is the whole scaled label needed.
    rows, columns = (
      window.axis(tf.shape(label)[i], scaled[i], 0, padded[i]) for i in (0, 1)
    )
    whole = window.labels(label, rows, columns, common.IGNORE_LABEL)
    return geometry.class_uniform_offset(whole, height, width, seed)

  return tf.cond(
    geometry.goes_to_a_class(crop.class_uniform, seed), around, lambda: random
  )
