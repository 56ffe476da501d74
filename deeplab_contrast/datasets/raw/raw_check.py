"""Reads every raw file once, before anything is written; reports all faults."""

import collections
import dataclasses
import hashlib
import json
import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from deeplab_contrast.datasets.raw import mask_sets, pair_check, raw_pairs
from deeplab_contrast.datasets.sources import extremes
from deeplab_contrast.utils import errors

_MOST_SHOWN = 20


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
class Checked:
  """A dataset that may be written.

  Attributes:
    raw: the dataset without the pairs that were left out.
    metadata: 'max_height' and 'max_width' over all splits, 'split_sizes', the
      same of each, and 'fingerprint', 16 hex digits of all pixels and labels.
    quarantined: (id, sentence) of each fault that was left out.
    twins: ids of equal pictures within a split, one tuple for each picture.
    notes: sentences on what was taken how, and what was left out.
  """

  raw: raw_pairs.RawData
  metadata: Mapping[str, Any]
  quarantined: Sequence[tuple[str, str]]
  twins: Sequence[tuple[str, ...]]
  notes: Sequence[str] = ()


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
  found = pair_check.examine_all(pairs, raw, checking.workers, journal)
  problems: _Problems = {
    p: list(f.problems) for p, f in found.items() if f.problems
  }
  shared = dict(_shared_pictures(raw, found))
  for pair, problem in {} if raw.allow_equal else shared.items():
    problems.setdefault(pair, []).append(problem)
  if problems and checking.on_error == 'fail':
    raise errors.DataError(_report(raw, problems))
  _check_share(raw, problems, len(pairs), checking)
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
  notes = [*raw.notes, *_notes(good, found, shared)]
  return Checked(good, _metadata(good, found), quarantined, twins, notes)


def _notes(raw, found, shared):
  """Yields sentences on what is not a fault, but was decided."""
  overlaps = [found[p].overlap for ps in raw.splits.values() for p in ps]
  count = sum(overlap > 0 for overlap in overlaps)
  if count:
    share = sum(overlaps) / len(overlaps)
    yield (
      f'shapes of different classes overlap in {count} images, on {share:.2%} '
      'of all pixels: the upper ones count.'
    )
  if shared and raw.allow_equal:
    yield (
      f'{len(shared)} pictures occur in two splits, as "allow_equal" permits.'
    )


def _shared_pictures(
  raw: raw_pairs.RawData, found: Mapping[raw_pairs.Pair, pair_check.Found]
) -> Iterator[tuple[raw_pairs.Pair, tuple[str, str]]]:
  """Yields (pair, problem) of training pictures also used to evaluate."""
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


def _check_share(raw, problems, count, checking):
  most = math.ceil(checking.most_skipped * count)
  if len(problems) > most:
    raise errors.DataError(
      f'{len(problems)} of {count} pairs are faulty, but at most {most} '
      f'({checking.most_skipped:.1%}) may be left out. '
      + _report(raw, problems)
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
      + _report(raw, problems)
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
    tallest, widest = (
      f'{pair.image} is {pair_check.by(found[pair].size)}'
      for pair in (high, wide)
    )
    print(
      f'{", ".join(names)} can be trained on, but not evaluated: {tallest}, '
      f'{widest}, and all images would be padded to both; cut them into '
      'smaller ones.',
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


def _report(raw, problems):
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
  lines += [
    advice
    for part, advice in raw.advice
    if any(part in sentence for sentence, _ in faults)
  ]
  count = '1 fault' if len(faults) == 1 else f'{len(faults)} faults'
  return '\n  '.join(
    [f'{raw.root} has {count} to fix before training:', *lines]
  )
