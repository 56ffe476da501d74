"""Reads one image and its mask, and reports all their faults.

The work is shared among threads or processes. Good pairs are kept in a journal,
so that a check that was killed, or found faults, does not start from scratch.
"""

import dataclasses
import functools
import hashlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from deeplab_contrast import common
from deeplab_contrast.datasets.raw import (
  drawings,
  mask_values,
  parallel,
  raw_pairs,
  upright,
)
from deeplab_contrast.imaging import conversion, images
from deeplab_contrast.utils import errors, journals, progress

# Part of every journal entry: raise it when the checks get stricter or their
# results change.
_VERSION = 4


@dataclasses.dataclass(frozen=True)
class Found:
  """The result of checking one pair.

  Attributes:
    size: (height, width).
    picture: hex digest of the decoded pixels.
    labels: hex digest of the class ids; None without a mask.
    void: fraction of pixels that are ignored.
    classes: those with at least one pixel.
    palette: (index, (red, green, blue)) of the indices that are its ids.
    overlap: fraction of pixels that shapes of several classes cover.
    problems: (sentence, likely cause or None) of each fault; if there are any,
      the other attributes are meaningless.
  """

  size: tuple[int, int] = (0, 0)
  picture: str = ''
  labels: str | None = None
  void: float = 0.0
  classes: tuple[int, ...] = ()
  palette: mask_values.Palette = ()
  overlap: float = 0.0
  problems: tuple[tuple[str, str | None], ...] = ()


def examine(
  pair: raw_pairs.Pair,
  values: mask_values.Values,
  convert: conversion.Conversion | None = None,
) -> Found:
  """Reads and checks one pair."""
  problems: list[tuple[str, str | None]] = []

  def attempt(read: Callable, *arguments: Any) -> Any:
    try:
      return read(*arguments)
    except errors.DataError as error:
      problems.append((str(error), getattr(error, 'cause', None)))
      return None

  picture = attempt(images.read_picture, pair.image, convert)
  mask = None
  if pair.mask is not None:
    mask = attempt(drawings.examine, pair.mask, values)
  if not problems:
    labels = mask.labels if mask else None
    known = drawings.is_upright(pair.mask)
    turned = attempt(upright.turn, picture, labels, pair.image, known)
  if problems:
    return Found(problems=tuple(problems))
  picture, labels = turned
  size = picture.pixels.shape[:2]
  picture = _digest(picture.pixels)
  if labels is None or mask is None:
    return Found(size, picture)
  if size != labels.shape:
    problem = _sizes_differ(pair, size, labels.shape)
    return Found(problems=((problem, 'masks that differ in size from images'),))
  void = float((labels == common.IGNORE_LABEL).mean())
  classes = np.setdiff1d(labels, common.IGNORE_LABEL).tolist()
  return Found(
    *(size, picture, _digest(labels), void, tuple(classes)),
    palette=mask.palette,
    overlap=mask.overlap,
  )


def examine_all(
  pairs: Sequence[raw_pairs.Pair],
  raw: raw_pairs.RawData,
  workers: int,
  path: str | os.PathLike | None,
) -> dict[raw_pairs.Pair, Found]:
  """Reads and checks all pairs, several at a time.

  Args:
    pairs: pairs of files, none twice.
    raw: the dataset: what its masks mean, how its images are converted.
    workers: processes; 0 for threads of this process.
    path: path of a journal of good pairs, which are not read again; or None.

  Returns:
    What was found about each pair, in their order.
  """
  keys = {pair: _key(pair, raw) for pair in pairs}
  with journals.Journal(path) as journal:
    found = {
      pair: _from_json(journal.known[key])
      for pair, key in keys.items()
      if key in journal.known
    }
    left = [pair for pair in pairs if pair not in found]
    if found:
      print(
        f'{len(found)} of {len(pairs)} pairs were already checked.',
        file=sys.stderr,
      )
    work = functools.partial(examine, values=raw.values, convert=raw.convert)
    results = parallel.in_order(work, left, workers)
    for pair, result in progress.over(
      zip(left, results, strict=True), 'Checking', len(left), 'pairs'
    ):
      found[pair] = result
      if not result.problems:
        journal.write(keys[pair], dataclasses.asdict(result))
  return {pair: found[pair] for pair in pairs}


def _key(pair, raw):
  """Changes with the files of a pair and the meaning of their values."""
  parts = [_VERSION, raw.values.token(), raw.values.hint]
  parts += [repr(raw.convert)] if raw.convert else []
  for path in (pair.image, pair.mask):
    if path is None:
      continue
    if isinstance(path, drawings.Drawing):
      parts.append(path.mark())
      continue
    try:
      stat = path.stat()
      parts += [str(path.absolute()), stat.st_size, stat.st_mtime_ns]
    except OSError:
      parts += [str(path), None]
  return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]


def _from_json(value):
  tuples = {name: tuple(value[name]) for name in ('size', 'classes')}
  palette = tuple((index, tuple(color)) for index, color in value['palette'])
  return Found(**{**value, **tuples, 'palette': palette, 'problems': ()})


def _digest(pixels):
  digest = hashlib.blake2b(str(pixels.shape).encode(), digest_size=12)
  digest.update(np.ascontiguousarray(pixels).data)
  return digest.hexdigest()


def _sizes_differ(pair, size, mask_size):
  turned = ' (rotated by its EXIF tag?)' if size == mask_size[::-1] else ''
  return (
    f'{pair.mask} is {by(mask_size)}, but its image {pair.image} is '
    f'{by(size)}{turned}.'
  )


def by(size: tuple[int, int]) -> str:
  """A size as text: '360 x 480 (height x width)'."""
  return f'{size[0]} x {size[1]} (height x width)'
