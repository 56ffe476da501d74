"""What a recipe is made of: named stages, linked by their names."""

import dataclasses
import os


@dataclasses.dataclass(frozen=True)
class Stage:
  """One training, run as its own `python -m deeplab_contrast.train` process.

  Attributes:
    name: of the stage; its folder is `<recipe's model_dir>/<name>`.
    gin_files: of the experiment.
    bindings: laid on top of the files.
    starts_from: the stage whose weights this one starts from; its folder is
      handed over as the macro INIT.
    arm: how the stage is called in the table of results; None leaves it out.
  """

  name: str
  gin_files: tuple[str, ...]
  bindings: tuple[str, ...] = ()
  starts_from: str | None = None
  arm: str | None = None


@dataclasses.dataclass(frozen=True)
class Recipe:
  """Stages in order, run once for every seed, and compared at the end.

  Attributes:
    stages: in the order they run.
    seeds: everything is run once for each.
    pictures: number of images in the picture that compares the arms.

  Raises:
    ValueError: when two stages share a name or an arm, or one starts from a
      stage that does not come before it.
  """

  stages: tuple[Stage, ...]
  seeds: tuple[int, ...] = (0,)
  pictures: int = 4

  def __post_init__(self):
    """Checks the links."""
    known = []
    for stage in self.stages:
      if stage.name in known:
        raise ValueError(f'Two stages are called {stage.name!r}.')
      if stage.starts_from is not None and stage.starts_from not in known:
        raise ValueError(
          f'Stage {stage.name!r} starts from {stage.starts_from!r}, which is '
          f'not a stage before it; there are: {known}.'
        )
      known.append(stage.name)
    arms = [s.arm for s in self.stages if s.arm is not None]
    for arm in arms:
      if arms.count(arm) > 1:
        raise ValueError(f'Two stages make up one arm, {arm!r}.')
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
    bindings: of the recipe: the stage's own and the link to another stage.
    given: bindings of the command line.
  """

  stage: Stage
  seed: int
  model_dir: str
  bindings: tuple[str, ...]
  given: tuple[str, ...]

  @property
  def title(self):
    """What the user reads: 'finetune, seed 0'."""
    return f'{self.stage.name}, seed {self.seed}'


def plan(recipe, model_dir, given):
  """The jobs of a recipe in the order they run.

  Args:
    recipe: a `Recipe`.
    model_dir: the folder that all stages share.
    given: bindings of the command line, for every stage.

  Returns:
    A list of `Job`; all stages of the first seed come first.
  """
  several = len(recipe.seeds) > 1
  return [
    _job(stage, seed, model_dir, f'_seed{seed}' if several else '', given)
    for seed in recipe.seeds
    for stage in recipe.stages
  ]


def _job(stage, seed, model_dir, suffix, given):
  bindings = stage.bindings
  if stage.starts_from is not None:
    start = os.path.join(model_dir, stage.starts_from + suffix)
    bindings = (*bindings, f'INIT = {start!r}')
  folder = os.path.join(model_dir, stage.name + suffix)
  return Job(stage, seed, folder, tuple(bindings), tuple(given))
