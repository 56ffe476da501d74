"""How long the trainings of a study last, so that its arms cost the same."""

import dataclasses
from collections.abc import Mapping

from deeplab_contrast.utils import errors

# What can cost more than a step of softmax training.
COSTS = ('pretrain', 'joint', 'consistency')


@dataclasses.dataclass(frozen=True)
class Schedule:
  """Divides the steps of a pass of every arm.

  Attributes:
    total_steps: the steps of each pass of every arm.
    pretrain_share: the share of pretraining in them.
    step_costs: {'pretrain', 'joint' or 'consistency': what such a step costs,
      in steps of softmax training}, as `tools/benchmark.py costs` measures it.
      With it, each pass costs as much as `total_steps` steps of softmax
      training; without it, steps are equal, not costs.

  Raises:
    ConfigError: a number is out of its range.
  """

  total_steps: int
  pretrain_share: float = 0.5
  step_costs: Mapping[str, float] = dataclasses.field(default_factory=dict)

  def __post_init__(self) -> None:
    """Checks the numbers."""
    if self.total_steps < 2 or not 0 < self.pretrain_share < 1:
      raise errors.ConfigError(
        f'Schedule.total_steps is {self.total_steps} and pretrain_share '
        f'{self.pretrain_share}; give at least 2 steps, and a share between 0 '
        'and 1.'
      )
    unknown = [name for name in self.step_costs if name not in COSTS]
    if unknown or any(cost <= 0 for cost in self.step_costs.values()):
      raise errors.ConfigError(
        f'Schedule.step_costs is {dict(self.step_costs)}; give positive '
        f'numbers for any of {", ".join(COSTS)}.'
      )

  def steps(self, role: str, overlay: str | None = None) -> int:
    """The steps of one training.

    Args:
      role: 'scratch', 'pretrain' or 'finetune'.
      overlay: 'joint' or 'consistency', if it is laid over the training.
    """
    pretrain = round(self.total_steps * self.pretrain_share)
    due = {'pretrain': pretrain, 'finetune': self.total_steps - pretrain}
    steps = due.get(role, self.total_steps)
    return max(1, round(steps / self.step_costs.get(overlay or role, 1.0)))
