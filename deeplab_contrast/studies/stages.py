"""A recipe consists of named stages, which are linked by their names."""

import dataclasses
import os
from collections.abc import Mapping, Sequence

from deeplab_contrast.studies.schedule import Work
from deeplab_contrast.utils import run_files

COMMANDS = ('train', 'pseudo_label')


@dataclasses.dataclass(frozen=True)
class Stage:
  """One command, run as its own `python -m deeplab_contrast...` process.

  Attributes:
    name: name of the stage; its folder is `<recipe's model_dir>/<name>`.
    gin_files: gin files of the experiment.
    bindings: applied after the files; tuples of them, such as a macro that
      several stages share, are joined.
    starts_from: the stage whose weights this one starts from, or labels with;
      its folder becomes the macro INIT.
    arm: the name of the stage in the table of results; None leaves it out.
    command: 'train' or 'pseudo_label'.
    labels_from: the stage whose pseudo-labels this one also trains on; their
      folder becomes the macro PSEUDO_LABELS.
    labels: the number of labelled images of the arm, where a study compares
      several.
    work: how long it lasts, in place of a binding of STEPS.

  Raises:
    ValueError: the command is unknown.
  """

  name: str
  gin_files: tuple[str, ...]
  bindings: tuple[str | tuple[str, ...], ...] = ()
  starts_from: str | None = None
  arm: str | None = None
  command: str = 'train'
  labels_from: str | None = None
  labels: int | None = None
  work: Work | None = None

  def __post_init__(self) -> None:
    """Joins the bindings, and checks the command."""
    object.__setattr__(self, 'bindings', tuple(_flat(self.bindings)))
    if self.command not in COMMANDS:
      raise ValueError(
        f'Stage {self.name!r} has the command {self.command!r}; known: '
        f'{", ".join(COMMANDS)}.'
      )

  @property
  def needs(self) -> tuple[str, ...]:
    """The names of the stages that must be finished before this one."""
    needed = (self.starts_from, self.labels_from)
    return tuple(name for name in needed if name is not None)


@dataclasses.dataclass(frozen=True)
class Recipe:
  """Stages in order, run once for every seed, and compared at the end.

  Attributes:
    stages: in the order they run.
    seeds: all stages are run once for each.
    pictures: number of images in the picture that compares the arms.
    redraws: whether each seed also draws its own labelled images: trainings get
      LABEL_SEED = seed.

  Raises:
    ValueError: two stages share a name or an arm, or one needs a stage that
      does not come before it.
  """

  stages: tuple[Stage, ...]
  seeds: tuple[int, ...] = (0,)
  pictures: int = 4
  redraws: bool = False

  def __post_init__(self) -> None:
    """Checks the links."""
    known: list[str] = []
    for stage in self.stages:
      if stage.name in known:
        raise ValueError(f'Two stages are called {stage.name!r}.')
      _check_link(stage, 'starts from', stage.starts_from, known)
      _check_link(stage, 'takes labels from', stage.labels_from, known)
      known.append(stage.name)
    arms = [(s.arm, s.labels) for s in self.stages if s.arm is not None]
    for arm in arms:
      if arms.count(arm) > 1:
        raise ValueError(f'Two stages make up one arm, {arm[0]!r}.')
    if not self.stages or not self.seeds:
      raise ValueError('A recipe needs at least one stage and one seed.')
    if len(set(self.seeds)) != len(self.seeds):
      raise ValueError(f'seeds {self.seeds} names one seed twice.')


@dataclasses.dataclass(frozen=True)
class Job:
  """One stage with one seed.

  Attributes:
    stage: the stage.
    seed: its seed.
    model_dir: where it works.
    bindings: the stage's own, and its links to other stages.
    given: bindings of the command line.
    needs: the model_dirs of the jobs that must be finished before.
  """

  stage: Stage
  seed: int
  model_dir: str
  bindings: tuple[str, ...]
  given: tuple[str, ...]
  needs: tuple[str, ...] = ()

  @property
  def title(self) -> str:
    """The name that users see: 'finetune, seed 0'."""
    return f'{self.stage.name}, seed {self.seed}'


def _flat(bindings):
  for binding in bindings:
    if isinstance(binding, str):
      yield binding
    else:
      yield from _flat(binding)


def plan(
  recipe: Recipe,
  model_dir: str,
  given: Sequence[str],
  costs: Mapping[str, float] | None = None,
) -> list[Job]:
  """The jobs of a recipe in the order they run.

  Args:
    recipe: what to run.
    model_dir: the folder that all stages share.
    given: bindings of the command line, for every stage.
    costs: {kind of training: what a step of it costs}, for `Stage.work`; all
      cost the same by default.

  Returns:
    All stages of the first seed, then those of the next.
  """
  several = len(recipe.seeds) > 1
  return [
    _job(
      *(recipe, stage, seed, model_dir, f'_seed{seed}' if several else ''),
      *(given, costs or {}),
    )
    for seed in recipe.seeds
    for stage in recipe.stages
  ]


def chain(job: Job, jobs: Sequence[Job]) -> list[Job]:
  """All jobs that a job needs, directly or not, and itself last.

  Args:
    job: one of `jobs`.
    jobs: all jobs of a recipe, in their order.

  Returns:
    Those needed, in the same order.
  """
  by_folder = {other.model_dir: other for other in jobs}
  wanted = [job.model_dir]
  found: set[str] = set()
  while wanted:
    folder = wanted.pop()
    found.add(folder)
    wanted += by_folder[folder].needs
  return [other for other in jobs if other.model_dir in found]


def _job(recipe, stage, seed, model_dir, suffix, given, costs):
  def folder(name):
    return os.path.join(model_dir, name + suffix)

  bindings = stage.bindings
  if stage.work is not None:
    bindings = (*bindings, f'STEPS = {stage.work.steps(costs)}')
  if recipe.redraws and stage.command == 'train':
    bindings = (*bindings, f'LABEL_SEED = {seed}')
  if stage.starts_from is not None:
    bindings = (*bindings, f'INIT = {folder(stage.starts_from)!r}')
  if stage.labels_from is not None:
    labels = os.path.join(folder(stage.labels_from), run_files.LABELS)
    bindings = (*bindings, f'PSEUDO_LABELS = {labels!r}')
  needs = tuple(map(folder, stage.needs))
  own = folder(stage.name)
  return Job(stage, seed, own, tuple(bindings), tuple(given), needs)


def _check_link(
  stage: Stage, how: str, name: str | None, known: list[str]
) -> None:
  if name is not None and name not in known:
    raise ValueError(
      f'Stage {stage.name!r} {how} {name!r}, which is not a stage before it; '
      f'those are: {known}.'
    )
