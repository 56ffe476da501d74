"""Several sources as one: one after the other, or in fixed proportions."""

import bisect
import dataclasses
import itertools
import math
from collections.abc import Sequence

from deeplab_contrast.datasets import info as dataset_info
from deeplab_contrast.datasets.sources import examples, id_list, order
from deeplab_contrast.utils import errors


@dataclasses.dataclass(frozen=True)
class Union(examples.Source):
  """All examples of several sources as one set.

  An epoch shows each of them once: 100 labelled and 900 pseudo-labelled images
  make an epoch of 1,000.

  Attributes:
    sources: with the same classes, and without shared ids.

  Raises:
    ConfigError: there is no source, or the classes differ.
  """

  sources: tuple[examples.Source, ...]

  def __post_init__(self):
    object.__setattr__(self, 'sources', _checked('Union', self.sources))

  @property
  def info(self) -> dataset_info.DatasetInfo:
    """What the labels mean."""
    return self.sources[0].info

  def open(self, data_dir: str | None) -> examples.Examples:
    """See base class. Raises DataError if sources share ids."""
    return _Joined(_open('Union', self.sources, data_dir))


@dataclasses.dataclass(frozen=True)
class Mixture(examples.Source):
  """Several sources in fixed proportions, regardless of their sizes.

  Proportions (1, 3) put 1 example of the first and 3 of the second source into
  every 4 consecutive positions of a run, at random places: into every batch of
  16, 4 and 12. Which examples is a pure function of seed and position.

  Each source has its own epochs: an epoch of a source shows each of its
  examples once, in a random order that differs between epochs. So with 100
  labelled and 900 pseudo-labelled images, 1,200 positions are one epoch of the
  latter and three of the former. The mixture itself has no epochs.

  As a list, for evaluation, it is the union of its sources.

  Attributes:
    sources: with the same classes, and without shared ids.
    proportions: a whole number, 1 or more, for each source.

  Raises:
    ConfigError: there is no source, the classes differ, or the proportions are
      not one whole number for each source.
  """

  sources: tuple[examples.Source, ...]
  proportions: tuple[int, ...]

  def __post_init__(self):
    object.__setattr__(self, 'sources', _checked('Mixture', self.sources))
    object.__setattr__(self, 'proportions', tuple(self.proportions))
    whole = all(type(p) is int and p > 0 for p in self.proportions)
    if not whole or len(self.proportions) != len(self.sources):
      raise errors.ConfigError(
        f'Mixture.proportions must be {len(self.sources)} whole numbers above '
        f'0, one for each source: got {self.proportions}.'
      )

  @property
  def info(self) -> dataset_info.DatasetInfo:
    """What the labels mean."""
    return self.sources[0].info

  def open(self, data_dir: str | None) -> examples.Examples:
    """See base class. Raises DataError if sources share ids or are empty."""
    opened = _open('Mixture', self.sources, data_dir)
    sizes = tuple(map(len, opened))
    if 0 in sizes:
      raise errors.DataError(
        f'Source {sizes.index(0) + 1} of the Mixture has no examples.'
      )
    divisor = math.gcd(*self.proportions)
    shares = tuple(p // divisor for p in self.proportions)
    return _Joined(opened, order.Interleaved(sizes, shares))


class _Joined(examples.Examples):
  """The examples of all members, one member after the other."""

  def __init__(
    self,
    members: Sequence[examples.Examples],
    own_order: order.Interleaved | None = None,
  ):
    self.info = members[0].info
    heights, widths = zip(*(each.max_size for each in members), strict=True)
    self.max_size = (max(heights), max(widths))
    self.order = own_order
    self._members = members
    self._ends = list(itertools.accumulate(map(len, members)))

  def __len__(self):
    return self._ends[-1]

  def __getitem__(self, index):
    if not 0 <= index < len(self):
      raise IndexError(index)
    i = bisect.bisect_right(self._ends, index)
    return self._members[i][index - (self._ends[i - 1] if i else 0)]

  def ids(self) -> list[str]:
    """See base class."""
    return list(itertools.chain(*(each.ids() for each in self._members)))


def _checked(name, sources):
  """The sources as a tuple: gin gives a list."""
  sources = tuple(sources)
  if not sources:
    raise errors.ConfigError(f'{name}.sources is empty: give at least one.')
  first = sources[0].info
  for i, source in enumerate(sources[1:], start=2):
    if source.info.class_names != first.class_names:
      raise errors.ConfigError(
        f'Source {i} of the {name} ({source.info.name}) has different classes '
        f'from the first one ({first.name}).'
      )
  return sources


def _open(name, sources, data_dir):
  """Opens all; refuses ids that two of them share."""
  opened = [examples.open_inner(source, data_dir) for source in sources]
  owner: dict[str, int] = {}
  for i, member in enumerate(opened, start=1):
    ids = member.ids()
    shared = [n for n in ids if n in owner]
    if shared:
      raise errors.DataError(
        f'Sources {owner[shared[0]]} and {i} of the {name} share '
        f'{len(shared)} ids: {id_list.some(shared)}; labelled and unlabelled '
        'images must be disjoint (Complement takes what a LabelBudget leaves).'
      )
    owner.update(dict.fromkeys(ids, i))
  return opened
