"""How long the trainings of a study last, so that its arms cost the same."""

import dataclasses
from collections.abc import Mapping

from deeplab_contrast.utils import errors

SOFTMAX = 'softmax'
PRETRAIN = 'pretrain'
# What can cost more than a step of softmax training.
COSTS = (PRETRAIN, 'joint', 'consistency')


@dataclasses.dataclass(frozen=True)
class Work:
  """How long a training lasts.

  Attributes:
    kind: of its steps: 'softmax', or one of COSTS.
    softmax_steps: its duration, in steps of softmax training.
  """

  kind: str
  softmax_steps: int

  def steps(self, costs: Mapping[str, float]) -> int:
    """The number of steps that fit into that time.

    Args:
      costs: {kind: cost of a step, in steps of softmax training}; a missing
        kind costs 1.0.
    """
    return max(1, round(self.softmax_steps / costs.get(self.kind, 1.0)))


@dataclasses.dataclass(frozen=True)
class Schedule:
  """Divides the steps of a pass of every arm.

  Attributes:
    total_steps: the steps of each pass of every arm.
    pretrain_share: the share of pretraining in them.
    step_costs: {'pretrain', 'joint' or 'consistency': what such a step costs,
      in steps of softmax training}. With it, each pass costs as much as
      `total_steps` steps of softmax training; without it, steps are equal, not
      costs.
    equal_time: these costs are measured on this machine, before the first
      training; see `calibration`. There is one for each kind: a variant with
      another crop, batch or number of views gets the steps of the first one.

  Raises:
    ConfigError: a number is out of its range.
  """

  total_steps: int
  pretrain_share: float = 0.5
  step_costs: Mapping[str, float] = dataclasses.field(default_factory=dict)
  equal_time: bool = False

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
    if self.equal_time and self.step_costs:
      raise errors.ConfigError(
        'Schedule.equal_time measures the costs that Schedule.step_costs '
        'states: give one of the two.'
      )

  def work(self, role: str, overlay: str | None = None) -> Work:
    """How long one training lasts.

    Args:
      role: 'scratch', 'pretrain' or 'finetune'.
      overlay: 'joint' or 'consistency', if it is laid over the training.
    """
    pretrain = round(self.total_steps * self.pretrain_share)
    due = {'pretrain': pretrain, 'finetune': self.total_steps - pretrain}
    kind = overlay or (role if role in COSTS else SOFTMAX)
    return Work(kind, due.get(role, self.total_steps))
