"""A few labelled images out of many, and the rest."""

import dataclasses
import math

import numpy as np

from deeplab_contrast.datasets import info as dataset_info
from deeplab_contrast.datasets.sources import class_counts, examples, id_list
from deeplab_contrast.utils import errors


@dataclasses.dataclass(frozen=True)
class LabelBudget(examples.Source):
  """A few of the examples of another source, as if only they were labelled.

  A count takes the first ones in a random order of the ids, so that budgets
  with the same seed are nested, and do not depend on the order on disk.
  Balanced budgets with the same seed are nested likewise. With neither count
  nor ids_file, all examples are taken.

  Attributes:
    source: the source to take from.
    count: how many to take: an int, or a float for a fraction of all (0.2 is a
      fifth, 1.0 is all), rounded to the nearest number, at least one.
    seed: seed of the random order.
    ids_file: a text file that lists them instead; see `id_list.read`.
    balanced: whether rare classes come first: the next image is always the
      first one in the random order that shows the class with the fewest images
      so far (of several such classes, the one with the fewest images of all).
      The first use decodes all labels, and keeps the result next to the
      prepared data.

  Raises:
    ConfigError: the settings exclude each other, or a number is out of range.
  """

  source: examples.Source
  count: int | float | None = None
  seed: int = 0
  ids_file: str | None = None
  balanced: bool = False

  def __post_init__(self):
    if self.ids_file is not None:
      self._check_alone()
    if self.count is not None:
      _check_count(self.count)
    if self.seed < 0:
      raise errors.ConfigError(
        f'LabelBudget.seed must not be negative: got {self.seed}.'
      )

  @property
  def info(self) -> dataset_info.DatasetInfo:
    """What the labels mean."""
    return self.source.info

  def open(self, data_dir: str | None) -> examples.Examples:
    """See base class."""
    opened = examples.open_inner(self.source, data_dir)
    if self.count is None and self.ids_file is None:
      return opened
    return examples.Subset(opened, self.indices(opened))

  def indices(self, available: examples.Examples) -> list[int]:
    """Which examples of the opened source the budget takes; see `divided`."""
    return self.divided(available)[0]

  def divided(
    self, available: examples.Examples
  ) -> tuple[list[int], list[int]]:
    """The examples that the budget takes, and those that it leaves.

    Args:
      available: the opened source.

    Returns:
      Their indices; larger budgets with the same seed would take those left in
      their order.

    Raises:
      ConfigError: there are fewer than `count`.
      DataError: the list is wrong, or names unknown ids.
    """
    index_of = {name: i for i, name in enumerate(available.ids())}
    if self.ids_file is not None:
      taken = [index_of[name] for name in _listed(self.ids_file, index_of)]
      rest = set(index_of.values()).difference(taken)
      return taken, [i for i in self._order(index_of) if i in rest]
    if self.count is None:
      return list(range(len(available))), []
    count = _number(self.count, len(available))
    order = self._order(index_of)
    if self.balanced:
      presence = class_counts.of(available)[order] > 0
      order = [order[place] for place in _balanced(presence)]
    return order[:count], order[count:]

  def _check_alone(self):
    if self.count is not None:
      raise errors.ConfigError(
        f'LabelBudget has both count={self.count} and ids_file='
        f'{self.ids_file!r}: give one of them, and None for the other.'
      )
    if self.balanced:
      raise errors.ConfigError(
        f'LabelBudget is balanced, but ids_file={self.ids_file!r} leaves '
        'nothing to choose: give one of them.'
      )

  def _order(self, index_of: dict[str, int]) -> list[int]:
    """The indices in a random order that depends only on ids and seed."""
    # Raw words of PCG64, not Generator.permutation: NumPy promises to keep
    # only the former unchanged in later versions.
    keys = np.random.PCG64([self.seed]).random_raw(len(index_of))
    order = np.argsort(keys, kind='stable')
    names = sorted(index_of)
    return [index_of[names[i]] for i in order]


@dataclasses.dataclass(frozen=True)
class Complement(examples.Source):
  """What a label budget leaves: the examples that count as unlabelled.

  They still have the labels of the source; `Unlabelled` hides them,
  `PseudoLabelled` replaces them.

  Attributes:
    budget: the label budget; with the same seed and count as in training it
      takes the same examples.
  """

  budget: LabelBudget

  @property
  def info(self) -> dataset_info.DatasetInfo:
    """What the labels mean."""
    return self.budget.info

  def open(self, data_dir: str | None) -> examples.Examples:
    """See base class. Raises ConfigError if the budget takes everything."""
    opened = examples.open_inner(self.budget.source, data_dir)
    rest = sorted(self.budget.divided(opened)[1])
    if not rest:
      raise errors.ConfigError(
        f'The label budget takes all {len(opened)} examples, which leaves none '
        'unlabelled: make LABELS smaller.'
      )
    return examples.Subset(opened, rest)


@dataclasses.dataclass(frozen=True)
class HeldOut(examples.Source):
  """The labelled images that a larger budget would add.

  Attributes:
    budget: the label budget of a training.
    count: how many images.
  """

  budget: LabelBudget
  count: int

  @property
  def info(self) -> dataset_info.DatasetInfo:
    """What the labels mean."""
    return self.budget.info

  def open(self, data_dir: str | None) -> examples.Examples:
    """See base class. Raises ConfigError if the budget leaves too few."""
    opened = examples.open_inner(self.budget.source, data_dir)
    _, rest = self.budget.divided(opened)
    if len(rest) < self.count:
      raise errors.ConfigError(
        f'{self.count} labelled images are to be held out, but the label '
        f'budget of the training leaves only {len(rest)} of {len(opened)}: '
        'hold out fewer, or train with smaller LABELS.'
      )
    return examples.Subset(opened, rest[: self.count])


def _number(count: int | float, available: int) -> int:
  """How many of the available examples a count takes."""
  if isinstance(count, float):
    return max(1, math.floor(count * available + 0.5))
  if count > available:
    raise errors.ConfigError(
      f'LabelBudget.count is {count}, but there are only {available} '
      'examples to choose from: make LABELS smaller.'
    )
  return count


def _listed(ids_file: str, available: dict[str, int]) -> list[str]:
  names = id_list.read(ids_file, available)
  unknown = [name for name in names if name not in available]
  if unknown:
    raise errors.DataError(
      f'{ids_file} names {len(unknown)} ids that are not among the '
      f'{len(available)} examples: {id_list.some(unknown)}.'
    )
  return names


def _check_count(count):
  if isinstance(count, float):
    if not 0 < count <= 1:
      raise errors.ConfigError(
        f'LabelBudget.count is {count}: give a whole number of images, or a '
        'fraction between 0.0 and 1.0.'
      )
  elif count < 1:
    raise errors.ConfigError(
      f'LabelBudget.count must be at least 1: got {count}.'
    )


def _balanced(presence: np.ndarray) -> list[int]:
  """The places of images, reordered so that rare classes come first.

  Args:
    presence: bool [images, classes], in the random order.

  Returns:
    Every place once; images without any class are last.
  """
  totals = presence.sum(axis=0).tolist()
  queues = [iter(np.flatnonzero(column)) for column in presence.T]
  waiting = {c for c, total in enumerate(totals) if total}
  shown = np.zeros([len(totals)], int)
  result: list[int] = []
  taken: set[int] = set()
  while waiting:
    rarest = min(waiting, key=lambda c: (shown[c], totals[c], c))
    place = next((p for p in queues[rarest] if p not in taken), None)
    if place is None:  # All its images are taken.
      waiting.remove(rarest)
      continue
    taken.add(int(place))
    result.append(int(place))
    shown += presence[place]
  return result + [p for p in range(len(presence)) if p not in taken]
