"""The settings of pseudo-labelling: run, images, thresholds."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from deeplab_contrast.datasets import sources
from deeplab_contrast.datasets.sources import label_budget
from deeplab_contrast.inference import evaluator as evaluator_lib
from deeplab_contrast.utils import checks, errors


@dataclasses.dataclass(frozen=True)
class PseudoLabeler:
  """The root of a pseudo-labelling experiment.

  Attributes:
    run: model_dir of the softmax run that predicts.
    source: the images to label; None takes those that the label budget of the
      run leaves out. If they have labels, these are only compared.
    threshold: the smallest probability at which a pixel gets a label.
    class_thresholds: {name of a class: the threshold for pixels predicted as
      that class}.
    held_out: how many labelled images that the run did not train on choose the
      thresholds: the images that a label budget larger by this number would
      add. With 0 the thresholds are the given ones.
    precision: the share of right pixels among the held-out ones that reach the
      threshold of a class: its threshold is the lowest with that share. Classes
      that are not predicted there keep the given one.
    share: takes this share of the pixels predicted as each class, the most
      confident ones, in place of thresholds (class-balanced self-training).
    evaluator: how images are predicted; None takes that of the run.
    keep_confidence: also writes the probability of every pixel.
    data_dir: where prepared datasets are kept; None is TFDS's default.

  Raises:
    ConfigError: a threshold is not a probability, or both `held_out` and
      `share` are given.
  """

  run: str
  source: sources.Source | None = None
  threshold: float = 0.8
  class_thresholds: dict[str, float] = dataclasses.field(default_factory=dict)
  evaluator: evaluator_lib.Evaluator | None = None
  keep_confidence: bool = False
  data_dir: str | None = None
  held_out: int = 0
  precision: float = 0.9
  share: float | None = None

  def __post_init__(self):
    """Checks the numbers."""
    checks.whole({'PseudoLabeler.held_out': self.held_out}, 0)
    if self.share is not None and not 0 < self.share <= 1:
      raise errors.ConfigError(
        f'PseudoLabeler.share is {self.share}; it must be above 0, up to 1.'
      )
    if self.share is not None and self.held_out:
      raise errors.ConfigError(
        f'PseudoLabeler has both share={self.share} and held_out='
        f'{self.held_out}, which both choose thresholds: give one of them.'
      )
    known = {'threshold': self.threshold, 'precision': self.precision}
    known |= {f'class_thresholds[{n!r}]': t for n, t in self._of_classes()}
    for name, value in known.items():
      if not 0 <= value <= 1:
        raise errors.ConfigError(
          f'PseudoLabeler.{name} is {value}; a probability is 0 to 1.'
        )

  def thresholds(self, class_names: Sequence[str]) -> np.ndarray:
    """The threshold of every class.

    Args:
      class_names: the names in the order of the ids.

    Returns:
      float32 [classes].

    Raises:
      ConfigError: `class_thresholds` names an unknown class.
    """
    unknown = [n for n, _ in self._of_classes() if n not in class_names]
    if unknown:
      raise errors.ConfigError(
        f'PseudoLabeler.class_thresholds names {unknown[0]!r}, which is not '
        f'one of the classes {", ".join(class_names)}.'
      )
    own = dict(self._of_classes())
    return np.array([own.get(n, self.threshold) for n in class_names], 'f4')

  def unlabelled(self, trained_on: sources.Source) -> sources.Source:
    """The source to label.

    Args:
      trained_on: the training source of the run.

    Raises:
      ConfigError: no source is given, and the run has no label budget.
    """
    if self.source is not None:
      return self.source
    budget = budget_of(trained_on)
    if budget is None:
      raise errors.ConfigError(
        f'The run {self.run} has no label budget that leaves images out; '
        'bind PseudoLabeler.source to the images to label.'
      )
    return label_budget.Complement(budget)

  def held_out_of(self, trained_on: sources.Source) -> sources.Source:
    """The labelled images that choose the thresholds.

    Args:
      trained_on: the training source of the run.

    Raises:
      ConfigError: the run has no label budget.
    """
    budget = budget_of(trained_on)
    if budget is None:
      raise errors.ConfigError(
        f'The run {self.run} has no label budget, so it trained on all '
        'labelled images, and none is left to hold out: train with smaller '
        'LABELS, or set PseudoLabeler.held_out = 0.'
      )
    return label_budget.HeldOut(budget, self.held_out)

  @property
  def rule(self) -> dict[str, Any]:
    """How thresholds are found, as JSON."""
    if self.share is not None:
      return {'share': self.share}
    given = {
      'threshold': self.threshold,
      'of_classes': dict(self._of_classes()),
    }
    if self.held_out:
      return {**given, 'held_out': self.held_out, 'precision': self.precision}
    return given

  def _of_classes(self):
    return tuple(self.class_thresholds.items())


def budget_of(source: sources.Source) -> label_budget.LabelBudget | None:
  """The `LabelBudget` of a source, or inside joined ones; None without."""
  if isinstance(source, label_budget.LabelBudget):
    return source
  for inner in getattr(source, 'sources', ()):
    found = budget_of(inner)
    if found is not None:
      return found
  return None
