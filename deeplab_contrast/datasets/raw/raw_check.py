"""Reads every raw file once, before anything is written; reports all faults.

The work is shared among threads or processes. Good files are kept in a journal,
so that a check that was killed, or found faults, does not start from scratch.
"""

import collections
import dataclasses
import functools
import hashlib
import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from deeplab_contrast import common
from deeplab_contrast.datasets.raw import (
  mask_sets,
  mask_values,
  parallel,
  raw_pairs,
  upright,
)
from deeplab_contrast.datasets.sources import extremes
from deeplab_contrast.imaging import images
from deeplab_contrast.utils import errors, journals

_MOST_SHOWN = 20

# Part of every journal entry: raise it when the checks get stricter or their
# results change.
_VERSION = 3

# (sentence, likely cause or None) of each fault of each faulty pair.
_Problems = dict[raw_pairs.Pair, list[tuple[str, str | None]]]


@dataclasses.dataclass(frozen=True)
class Checking:
  """How to check.

  Attributes:
    on_error: 'fail' refuses the dataset; 'skip' leaves bad pairs out.
    most_skipped: the fraction of pairs that may be left out, 0 to 1; the number
      is rounded up.
    workers: processes; 0 for threads of this process.
  """

  on_error: str = 'fail'
  most_skipped: float = 0.05
  workers: int = 0

  def __post_init__(self):
    if self.on_error not in ('fail', 'skip'):
      raise errors.ConfigError(
        f"on_error is {self.on_error!r}; known: 'fail' and 'skip'."
      )
    if not 0 <= self.most_skipped < 1:
      raise errors.ConfigError(
        f'most_skipped is {self.most_skipped}; give a fraction of 0 or more '
        'and below 1.'
      )


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
    problems: (sentence, likely cause or None) of each fault; if there are any,
      the other attributes mean nothing.
  """

  size: tuple[int, int] = (0, 0)
  picture: str = ''
  labels: str | None = None
  void: float = 0.0
  classes: tuple[int, ...] = ()
  palette: mask_values.Palette = ()
  problems: tuple[tuple[str, str | None], ...] = ()


@dataclasses.dataclass(frozen=True)
class Checked:
  """A dataset that may be written.

  Attributes:
    raw: the dataset without the pairs that were left out.
    metadata: 'max_height' and 'max_width' over all splits, 'split_sizes', the
      same of each, and 'fingerprint', 16 hex digits of all pixels and labels.
    quarantined: (id, sentence) of each fault that was left out.
    twins: ids of equal pictures within a split, one tuple for each picture.
  """

  raw: raw_pairs.RawData
  metadata: Mapping[str, Any]
  quarantined: Sequence[tuple[str, str]]
  twins: Sequence[tuple[str, ...]]


def check(
  raw: raw_pairs.RawData,
  checking: Checking | None = None,
  journal: str | os.PathLike | None = None,
) -> Checked:
  """Reads all files and compares them.

  Args:
    raw: the dataset as found.
    checking: how to check; None for the default.
    journal: path of a local file that keeps the good pairs; or None.

  Returns:
    The dataset as it may be written.

  Raises:
    DataError: names every faulty file (the first 20, and how many), with the
      likely causes; or too many pairs would be left out.
  """
  checking = checking or Checking()
  pairs = list(dict.fromkeys(p for ps in raw.splits.values() for p in ps))
  found = _examine_all(pairs, raw.values, checking.workers, journal)
  problems: _Problems = {
    p: list(f.problems) for p, f in found.items() if f.problems
  }
  for pair, problem in dict(_shared_pictures(raw, found)).items():
    problems.setdefault(pair, []).append(problem)
  if problems and checking.on_error == 'fail':
    raise errors.DataError(_report(raw.root, problems))
  _check_share(raw.root, problems, len(pairs), checking)
  good = _without(raw, problems)
  values = mask_sets.check(good, found)
  if values is not raw.values:
    print(
      f'The masks of {raw.root} have palettes that differ between files, and '
      'all their colours are those of classes: they are read by colour.',
      file=sys.stderr,
    )
    return check(dataclasses.replace(raw, values=values), checking, journal)
  _note_extremes(good, found)
  quarantined = [
    (pair.id, sentence) for pair, ps in problems.items() for sentence, _ in ps
  ]
  twins = _twins(good, found)
  return Checked(good, _metadata(good, found), quarantined, twins)


def examine(pair: raw_pairs.Pair, values: mask_values.Values) -> Found:
  """Reads and checks one pair."""
  problems: list[tuple[str, str | None]] = []

  def attempt(read: Callable, *arguments: Any) -> Any:
    try:
      return read(*arguments)
    except errors.DataError as error:
      problems.append((str(error), getattr(error, 'cause', None)))
      return None

  picture = attempt(images.read_picture, pair.image)
  mask = attempt(values.examine, pair.mask) if pair.mask else (None, ())
  if not problems:
    labels, palette = mask
    turned = attempt(upright.turn, picture, labels, pair.image)
  if problems:
    return Found(problems=tuple(problems))
  picture, labels = turned
  size = picture.pixels.shape[:2]
  picture = _digest(picture.pixels)
  if labels is None:
    return Found(size, picture)
  if size != labels.shape:
    problem = _sizes_differ(pair, size, labels.shape)
    return Found(problems=((problem, 'masks that differ in size from images'),))
  void = float((labels == common.IGNORE_LABEL).mean())
  classes = np.setdiff1d(labels, common.IGNORE_LABEL).tolist()
  return Found(size, picture, _digest(labels), void, tuple(classes), palette)


def _examine_all(
  pairs: Sequence[raw_pairs.Pair],
  values: mask_values.Values,
  workers: int,
  path: str | os.PathLike | None,
) -> dict[raw_pairs.Pair, Found]:
  """{pair: Found}, taken from the journal if it is there."""
  keys = {pair: _key(pair, values) for pair in pairs}
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
    work = functools.partial(examine, values=values)
    results = parallel.in_order(work, left, workers)
    for pair, result in parallel.progress(
      zip(left, results, strict=True), 'Checking', len(left), 'pairs'
    ):
      found[pair] = result
      if not result.problems:
        journal.write(keys[pair], dataclasses.asdict(result))
  return {pair: found[pair] for pair in pairs}


def _key(pair, values):
  """Changes with the files of a pair and the meaning of their values."""
  parts = [_VERSION, values.token(), values.hint]
  for path in (pair.image, pair.mask):
    if path is None:
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


def _shared_pictures(
  raw: raw_pairs.RawData, found: Mapping[raw_pairs.Pair, Found]
) -> Iterator[tuple[raw_pairs.Pair, tuple[str, str]]]:
  """Yields (pair, problem) of training pictures that also evaluate."""
  for one, other in raw.disjoint:
    evaluating = {
      found[pair].picture: pair
      for pair in raw.splits.get(other, ())
      if found[pair].picture
    }
    for pair in raw.splits.get(one, ()):
      twin = evaluating.get(found[pair].picture)
      if twin is not None:
        sentence = (
          f'{pair.image} of {one} is the same picture as {twin.image} of '
          f'{other}: training on it would spoil the evaluation.'
        )
        yield pair, (sentence, f'pictures in both {one} and {other}')


def _twins(raw, found):
  """Ids of equal pictures within a split, one tuple for each picture."""
  twins: dict[tuple[str, str], tuple[str, ...]] = {}
  for split, pairs in raw.splits.items():
    ids = collections.defaultdict(list)
    for pair in pairs:
      ids[found[pair].picture].append(pair.id)
    twins |= {(split, p): tuple(i) for p, i in ids.items() if len(i) > 1}
  return sorted(set(twins.values()))


def _check_share(root, problems, count, checking):
  most = math.ceil(checking.most_skipped * count)
  if len(problems) > most:
    raise errors.DataError(
      f'{len(problems)} of {count} pairs are faulty, but at most {most} '
      f'({checking.most_skipped:.1%}) may be left out. '
      + _report(root, problems)
    )


def _without(raw, problems):
  splits = {
    split: tuple(pair for pair in pairs if pair not in problems)
    for split, pairs in raw.splits.items()
  }
  empty = [split for split, pairs in splits.items() if not pairs]
  if empty:
    raise errors.DataError(
      f'Nothing is left of the split {empty[0]} without its faulty files. '
      + _report(raw.root, problems)
    )
  return dataclasses.replace(raw, splits=splits)


def _note_extremes(raw, found):
  """Says which images, padded to one size, could not be predicted.

  This is not a fault: training crops, so it can use them.
  """
  splits = collections.defaultdict(list)
  for split, pairs in raw.splits.items():
    if not extremes.together([found[pair].size for pair in pairs]):
      high = max(pairs, key=lambda pair: found[pair].size[0])
      wide = max(pairs, key=lambda pair: found[pair].size[1])
      splits[high, wide].append(split)
  for (high, wide), names in splits.items():
    print(
      f'{", ".join(names)} can be trained on, but not evaluated: {high.image} '
      f'is {_by(found[high].size)}, {wide.image} is {_by(found[wide].size)}, '
      'and all images would be padded to both; cut them into smaller ones.',
      file=sys.stderr,
    )


def _metadata(raw, found):
  contents = [
    [split, pair.id, found[pair].picture, found[pair].labels]
    for split, pairs in sorted(raw.splits.items())
    for pair in sorted(pairs, key=lambda pair: pair.id)
  ]
  sizes = {
    split: [max(found[pair].size[i] for pair in pairs) for i in (0, 1)]
    for split, pairs in raw.splits.items()
  }
  heights, widths = zip(*sizes.values(), strict=True)
  text = json.dumps([contents, raw.about])
  return {
    'max_height': max(heights),
    'max_width': max(widths),
    'split_sizes': sizes,
    'fingerprint': hashlib.sha256(text.encode()).hexdigest()[:16],
  }


def _sizes_differ(pair, size, mask_size):
  turned = ' (turned by its EXIF tag?)' if size == mask_size[::-1] else ''
  return (
    f'{pair.mask} is {_by(mask_size)}, but its image {pair.image} is '
    f'{_by(size)}{turned}.'
  )


def _by(size):
  return f'{size[0]} x {size[1]} (height x width)'


def _report(root, problems):
  """A headline, the first faults, and the causes that several share."""
  faults = [problem for several in problems.values() for problem in several]
  lines = [sentence for sentence, _ in faults[:_MOST_SHOWN]]
  if len(faults) > _MOST_SHOWN:
    lines.append(f'... and {len(faults) - _MOST_SHOWN} more.')
  causes = collections.Counter(cause for _, cause in faults if cause)
  lines += [
    f'Likely cause of {count}: {cause}.'
    for cause, count in causes.most_common()
    if count > 1
  ]
  return '\n  '.join(
    [f'{root} has {len(faults)} faults to fix before training:', *lines]
  )
