"""A study as a report sees it: entries, each an arm, a budget and a seed."""

import dataclasses

from deeplab_contrast.studies.arms import ARMS


@dataclasses.dataclass(frozen=True)
class Stage:
  """One process that an arm needed.

  Attributes:
    name: name of the stage.
    command: 'train', 'pseudo_label' and so on.
    model_dir: path of its folder.
    steps: training steps, or None.
    minutes: None where they were not measured.
  """

  name: str
  command: str
  model_dir: str
  steps: int | None = None
  minutes: float | None = None


@dataclasses.dataclass(frozen=True)
class Entry:
  """One arm at one budget with one seed.

  Attributes:
    arm: its name.
    labels: number of labelled images, or None where it is not known.
    seed: its seed.
    model_dir: path of the run that was evaluated, the last stage.
    stages: all that it needed, in order.
    steps: steps of all stages, or None.
    minutes: minutes of all stages, or None.
    result: the dict of `utils.results`.
    columns: {name: value} of the study's table of runs, to be shown as it is.
  """

  arm: str
  labels: int | None
  seed: int
  model_dir: str
  stages: tuple[Stage, ...]
  steps: int | None
  minutes: float | None
  result: dict
  columns: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Study:
  """All finished entries of a folder.

  Attributes:
    folder: its path.
    dataset: its name.
    commit: commit of the code, or 'unknown'.
    command: that ran it, or ''.
    equal_steps: whether all arms had the same number of steps; None where that
      is not known.
    planned: the number of entries there will be.
    entries: those finished.
    notes: sentences for the reader of the page.
  """

  folder: str
  dataset: str
  commit: str
  command: str
  equal_steps: bool | None
  planned: int
  entries: tuple[Entry, ...]
  notes: tuple[str, ...] = ()

  @property
  def arms(self) -> list[str]:
    """Names of the arms, in the order of legends: unknown ones are last."""
    found = dict.fromkeys(entry.arm for entry in self.entries)
    known = [arm for arm in ARMS if arm in found]
    return known + [arm for arm in found if arm not in ARMS]

  @property
  def budgets(self) -> list[int | None]:
    """Numbers of labelled images, ascending; [None] where not known."""
    found = {entry.labels for entry in self.entries}
    return sorted(found, key=lambda labels: (labels is None, labels or 0))

  @property
  def seeds(self) -> list[int]:
    """All seeds, ascending."""
    return sorted({entry.seed for entry in self.entries})

  @property
  def extremes(self) -> list[int | None]:
    """The smallest and the largest budget; one where there is only one."""
    return list(dict.fromkeys((self.budgets[0], self.budgets[-1])))

  def of(self, arm: str, labels: int | None) -> list[Entry]:
    """The entries of an arm at a budget, by seed."""
    found = [e for e in self.entries if (e.arm, e.labels) == (arm, labels)]
    return sorted(found, key=lambda entry: entry.seed)
