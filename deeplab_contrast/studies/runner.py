"""Runs the stages of a recipe, each as its own process, and compares them."""

import dataclasses
import os
from collections.abc import Mapping, Sequence

from deeplab_contrast.config import build, run_folder
from deeplab_contrast.studies import (
  calibration,
  comparison,
  ledger,
  processes,
  stages,
)
from deeplab_contrast.utils import errors, results

_ROOTS = {
  'train': build.EXPERIMENT,
  'pseudo_label': 'deeplab_contrast.inference.pseudo_labeler.PseudoLabeler',
}


class Runner:
  """Checks the stages of a recipe, and runs those that are not finished.

  Args:
    recipe: what to run.
    model_dir: the folder that holds all stages.
    flags: passed on to the stages.
    given: bindings of the command line, for all stages that use them.
    idle: {name of one of `given`: why it is wrong if no stage uses it}.
    at_once: how many stages may run at the same time.
  """

  def __init__(
    self,
    recipe: stages.Recipe,
    model_dir: str,
    flags: processes.Flags,
    given: Sequence[str] = (),
    idle: Mapping[str, str] | None = None,
    at_once: int = 1,
  ):
    self._recipe = recipe
    self._model_dir = model_dir
    self._flags = flags
    self._given = given
    self._idle = idle or {}
    self._at_once = at_once

  def run(self, config: str) -> None:
    """Runs what is not finished, and compares the results.

    Args:
      config: the operative configuration of the recipe.

    Raises:
      UserError: a stage failed; with its exit code.
    """
    costs = calibration.read(self._model_dir)
    jobs = self.check(costs)
    allow_change = self._flags.allow_config_change
    with run_folder.prepare(self._model_dir, config, allow_change):
      if any(job.stage.work for job in jobs):
        measured = calibration.measure(
          jobs, self._flags, self._model_dir, self._useful
        )
        if measured != costs:
          jobs = self.check(measured)
      self._run_stages(jobs)
      arms = [job for job in jobs if job.stage.arm is not None]
      pictured = [job for job in arms if job.seed == self._recipe.seeds[0]]
      self._draw(pictured)
      comparison.write(arms, pictured, self._model_dir)

  def check(self, costs: Mapping[str, float] | None = None) -> list[stages.Job]:
    """Builds every experiment once, to find mistakes before any work.

    The same stage with another seed is built only if its folder is there, to
    compare with what it holds.

    Args:
      costs: of a step of each kind, if they have been measured.

    Returns:
      The jobs, each with only those given bindings that it uses.

    Raises:
      ConfigError: an experiment is wrong, no stage uses a given binding, or a
        stage was finished with a different experiment.
    """
    idle = dict(self._idle)
    jobs = stages.plan(self._recipe, self._model_dir, self._given, costs)
    calibration.check(jobs)
    folders = [job.model_dir for job in jobs]
    useful: dict[str, tuple[str, ...]] = {}  # Of each stage.
    for job in jobs:
      name = job.stage.name
      if name in useful and not os.path.exists(job.model_dir):
        continue
      built = self._build(job, folders)
      for binding in job.bindings:
        if _name(binding) in built.unused:
          raise errors.ConfigError(
            f'Stage {name!r}: {built.unused[_name(binding)]}'
          )
      idle = {name: why for name, why in idle.items() if name in built.unused}
      allow_change = self._flags.allow_config_change
      run_folder.check(job.model_dir, built.config, allow_change)
      # What is resolved is found for the first job, and the same for all.
      resolved = (built.resolved,) if built.resolved else ()
      used = (b for b in job.given if _name(b) not in built.unused)
      useful[name] = (*used, *resolved)
    for why in idle.values():
      raise errors.ConfigError(why)
    return [
      dataclasses.replace(job, given=useful[job.stage.name]) for job in jobs
    ]

  def _useful(self, job, more):
    """The bindings of a checked job and more, as far as it then uses them."""
    whole = dataclasses.replace(job, given=(*job.given, *more))
    unused = self._build(whole, ()).unused
    return [b for b in (*job.bindings, *whole.given) if _name(b) not in unused]

  def _build(self, job, folders):
    """Builds the experiment of a job; errors name its stage."""
    settings = {'seed': job.seed} if job.stage.command == 'train' else {}
    if self._flags.data_dir is not None:
      settings['data_dir'] = self._flags.data_dir
    try:
      built = build.parse(
        job.stage.gin_files,
        (*job.bindings, *job.given),
        _ROOTS[job.stage.command],
        settings=settings,
        allow_imports=self._flags.allow_imports,
        tolerate_unused_bindings=True,
        model_dirs=folders,
      )
    except errors.UserError as error:
      raise type(error)(f'Stage {job.stage.name!r}: {error}') from error
    classifies = job.stage.command == 'train' and built.root.classifies
    if job.stage.arm is not None and not classifies:
      raise errors.ConfigError(
        f'Stage {job.stage.name!r}: it has no classifier, so it cannot be arm '
        f'{job.stage.arm!r} of a comparison.'
      )
    return built

  def _run_stages(self, jobs):
    book = ledger.Ledger(self._model_dir, jobs)
    tasks = []
    for number, job in enumerate(jobs, start=1):
      title = f'[{number}/{len(jobs)}] {job.title}'
      if results.is_done(job.model_dir):
        print(f'{title}: already complete')
        continue
      tasks.append(
        processes.Task(
          key=job.model_dir,
          command=self._command(job),
          title=title,
          needs=job.needs,
          log=self._log(job),
          done=book.timer(job),
        )
      )
    processes.run_all(tasks, self._at_once)
    book.write()

  def _command(self, job):
    files = [f'--gin_file={name}' for name in job.stage.gin_files]
    bindings = [f'--gin_bindings={b}' for b in (*job.bindings, *job.given)]
    seed = [f'--seed={job.seed}'] if job.stage.command == 'train' else []
    return self._flags.command(
      job.stage.command, job.model_dir, *files, *bindings, *seed
    )

  def _draw(self, jobs):
    """Draws the predictions of jobs, where that is not done yet."""
    count = self._recipe.pictures
    tasks = [
      processes.Task(
        key=job.model_dir,
        command=self._flags.command(
          'vis', job.model_dir, f'--num_images={count}'
        ),
        title=f'The pictures of {job.title}',
        log=self._log(job),
      )
      for job in jobs
      if not comparison.is_drawn(job.model_dir, count)
    ]
    processes.run_all(tasks, self._at_once)

  def _log(self, job):
    """The file that a job prints to; None is our terminal."""
    if self._at_once == 1:
      return None
    name = f'{os.path.basename(job.model_dir)}.log'
    return os.path.join(self._model_dir, 'logs', name)


def _name(binding):
  return binding.partition('=')[0].strip()
