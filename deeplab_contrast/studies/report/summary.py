"""The numbers of a report: means over seeds, differences, confusion, costs."""

import dataclasses
from collections.abc import Iterable

import numpy as np

from deeplab_contrast.studies.report.study import Study
from deeplab_contrast.utils import tables

DIFFERENCES = (
  ('contrastive', 'softmax'),
  ('contrastive_pseudo', 'softmax_pseudo'),
  ('softmax_pseudo', 'softmax'),
  ('contrastive_pseudo', 'contrastive'),
  ('joint', 'softmax'),
  ('consistency', 'softmax'),
  ('contrastive_consistency', 'consistency'),
  ('contrastive_consistency', 'softmax'),
)

# Up to this number of seeds, the bootstrap takes all draws.
_MOST_ENUMERATED = 6
_DRAWS = 10_000


@dataclasses.dataclass(frozen=True)
class Spread:
  """Values of several seeds.

  Attributes:
    values: by seed; unknown ones are left out.
  """

  values: tuple[float, ...]

  @property
  def mean(self) -> float | None:
    """Their mean; None where there are none."""
    return float(np.mean(self.values)) if self.values else None

  @property
  def low(self) -> float:
    """The lowest."""
    return min(self.values)

  @property
  def high(self) -> float:
    """The highest."""
    return max(self.values)

  @property
  def interval(self) -> tuple[float, float] | None:
    """95 % bootstrap interval of the mean; None for fewer than two seeds.

    The 2.5th and 97.5th percentile of the means of all equally likely draws of
    as many values with replacement; of 10,000 random draws for more than six.
    """
    count = len(self.values)
    if count < 2:
      return None
    if count > _MOST_ENUMERATED:
      draws = np.random.default_rng(0).integers(count, size=(_DRAWS, count))
    else:
      draws = np.indices([count] * count).reshape(count, -1).T
    means = np.asarray(self.values)[draws].mean(1)
    low, high = np.percentile(means, [2.5, 97.5], method='inverted_cdf')
    return float(low), float(high)


def spread(values: Iterable[float | None]) -> Spread:
  """The `Spread` of those values that are known."""
  return Spread(tuple(v for v in values if v is not None))


def miou(study: Study, arm: str, labels: int | None) -> Spread:
  """The mIoU of an arm at a budget, as shares."""
  return spread(e.result['miou'] for e in study.of(arm, labels))


def other_scores(study: Study) -> list[str]:
  """Names of the single scores of evaluations besides the mIoU, sorted."""
  return sorted(
    {name for e in study.entries for name in tables.other_scores(e.result)}
  )


def score(study: Study, arm: str, labels: int | None, name: str) -> Spread:
  """A single score of an arm at a budget, as it was stored: a `Spread`."""
  return spread(e.result.get(name) for e in study.of(arm, labels))


def difference(
  study: Study, labels: int | None, first: str, second: str
) -> Spread:
  """The mIoU of one arm minus that of another, seed by seed.

  Only seeds that both have are counted, since a seed also chooses the labelled
  images.

  Args:
    study: what to summarize.
    labels: the budget.
    first: name of an arm.
    second: name of the arm that is subtracted.

  Returns:
    A `Spread` of shares.
  """
  ours = {e.seed: e.result['miou'] for e in study.of(first, labels)}
  theirs = {e.seed: e.result['miou'] for e in study.of(second, labels)}
  return spread(
    ours[seed] - theirs[seed]
    for seed in sorted(ours)
    if theirs.get(seed) is not None and ours[seed] is not None
  )


def differences(study: Study) -> list[tuple[str, str]]:
  """The pairs of `DIFFERENCES` whose arms the study has."""
  return [pair for pair in DIFFERENCES if set(pair) <= set(study.arms)]


def class_names(study: Study) -> list[str]:
  """Names of the classes, by id."""
  return list(study.entries[0].result['iou'])


def class_colors(study: Study) -> dict[str, tuple[int, int, int]]:
  """{class name: (red, green, blue)}, 0..255, by id."""
  colors = study.entries[0].result['colors']
  return {
    name: (red, green, blue) for name, (red, green, blue) in colors.items()
  }


def largest_classes(study: Study, limit: int) -> list[int]:
  """Ids of the classes that cover most of the truth, ascending.

  Args:
    study: what to summarize.
    limit: the maximum number.
  """
  matrix = np.asarray(study.entries[0].result['matrix'], np.int64)
  order = np.argsort(-matrix.sum(axis=1), kind='stable')[:limit]
  return sorted(order.tolist())


def iou(study: Study, arm: str, labels: int | None) -> dict[str, Spread]:
  """{class name: `Spread` of its IoU} of an arm at a budget."""
  found = study.of(arm, labels)
  return {
    name: spread(e.result['iou'][name] for e in found)
    for name in class_names(study)
  }


def confusion(study: Study, arm: str, labels: int | None) -> np.ndarray:
  """Where the pixels of every class went, over all seeds.

  Args:
    study: what to summarize.
    arm: name of an arm.
    labels: the budget.

  Returns:
    float [classes, classes], rows (truth) sum to 1; NaN where a class does not
    occur.
  """
  matrices = [e.result['matrix'] for e in study.of(arm, labels)]
  total = np.sum(np.asarray(matrices, np.float64), axis=0)
  sums = total.sum(axis=1, keepdims=True)
  return np.divide(total, sums, out=np.full_like(total, np.nan), where=sums > 0)


def stage_costs(
  study: Study, arm: str, labels: int | None
) -> list[tuple[str, float | None, float | None]]:
  """What the stages of an arm cost, means over seeds.

  Args:
    study: what to summarize.
    arm: name of an arm.
    labels: the budget.

  Returns:
    A list of (name of the stage, steps or None, minutes or None), in order.
  """
  found = study.of(arm, labels)
  if not found or len({len(e.stages) for e in found}) > 1:
    return []
  return [
    (
      _common_name([stage.name for stage in stages]),
      spread(stage.steps for stage in stages).mean,
      spread(stage.minutes for stage in stages).mean,
    )
    for stages in zip(*(e.stages for e in found), strict=True)
  ]


def _common_name(names):
  """'pretrain' of 'pretrain_seed0' and 'pretrain_seed1'."""
  shortest = min(names, key=len)
  length = next(
    (i for i, of in enumerate(zip(*names, strict=False)) if len(set(of)) > 1),
    len(shortest),
  )
  name = names[0] if len(set(names)) == 1 else shortest[:length]
  return name.removesuffix('_seed').rstrip('_') or names[0]
