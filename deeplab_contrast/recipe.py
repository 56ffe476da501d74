"""Runs a recipe: its stages one after the other, then compares the arms.

python -m deeplab_contrast.recipe --gin_file=gin_configs/quickstart.gin \
  --model_dir=runs/quickstart

Every stage is its own process, whose command line is printed. Finished stages
are skipped, interrupted ones go on, so the same command can be given again. At
the end: a table as text, `results.json`, and `comparison.png`; after every arm:
`results.csv` and `study.json`, which `report` draws. `--gin_bindings` are
handed to every stage that has a use for them. `--processes=2` runs two stages
at a time where they do not need each other; what they print is in `logs`.
"""

import dataclasses
import os
import sys
import time

from deeplab_contrast import launch
from deeplab_contrast.config import build, run_folder
from deeplab_contrast.studies import comparison, ledger, processes, stages
from deeplab_contrast.utils import errors, results

_ROOTS = {
  'train': build.EXPERIMENT,
  'pseudo_label': 'deeplab_contrast.inference.pseudo_labeler.PseudoLabeler',
}


def main(launched, at_once=1):
  """Runs what is not done yet and compares the results.

  Args:
    launched: the `launch.Launch` of this process; its root is a `Recipe`.
    at_once: how many stages may run at a time.

  Raises:
    UserError: with the exit code of the stage that failed.
  """
  model_dir, recipe = launched.model_dir, launched.experiment
  if model_dir is None:
    raise errors.ConfigError('Give --model_dir, the folder to work in.')
  began = time.monotonic()
  given = [
    b for b in launched.gin_bindings if _name(b) in launched.unused_bindings
  ]
  jobs = _check(stages.plan(recipe, model_dir, given), launched)
  with run_folder.prepare(
    model_dir, launched.config, launched.allow_config_change
  ):
    book = ledger.Ledger(model_dir, jobs)
    _run(jobs, book, launched, at_once)
    judged = [job for job in jobs if job.stage.arm is not None]
    pictured = [job for job in judged if job.seed == recipe.seeds[0]]
    _draw(pictured, recipe.pictures, launched, at_once)
    comparison.write(judged, pictured, model_dir)
  print(f'{(time.monotonic() - began) / 60:.1f} minutes')


def _name(binding):
  return binding.partition('=')[0].strip()


def _check(jobs, launched):
  """Builds every experiment once, so that mistakes show before any work.

  Returns:
    The jobs, each with only those given bindings it has a use for.

  Raises:
    ConfigError: an experiment is wrong, a binding is of no use to any stage,
      or a finished stage was another experiment.
  """
  idle = dict(launched.unused_bindings)
  checked = []
  for job in jobs:
    built = _build(job, launched)
    for binding in job.bindings:
      if _name(binding) in built.unused:
        raise errors.ConfigError(
          f'Stage {job.stage.name!r}: {built.unused[_name(binding)]}'
        )
    idle = {name: why for name, why in idle.items() if name in built.unused}
    useful = [b for b in job.given if _name(b) not in built.unused]
    run_folder.check(job.model_dir, built.config, launched.allow_config_change)
    checked.append(dataclasses.replace(job, given=tuple(useful)))
  for why in idle.values():
    raise errors.ConfigError(why)
  return checked


def _build(job, launched):
  """Builds the experiment of a job; says whose it is when it is wrong."""
  command = job.stage.command
  try:
    built = launch.parse(
      job.stage.gin_files,
      (*job.bindings, *job.given),
      _ROOTS[command],
      settings=_settings(job, launched),
      allow_imports=launched.allow_imports,
      tolerate_unused_bindings=True,
    )
  except errors.UserError as error:
    raise type(error)(f'Stage {job.stage.name!r}: {error}') from error
  is_judged = command == 'train' and built.root.classifies
  if job.stage.arm is not None and not is_judged:
    raise errors.ConfigError(
      f'Stage {job.stage.name!r}: it has no classifier, so it cannot be arm '
      f'{job.stage.arm!r} of a comparison.'
    )
  return built


def _settings(job, launched):
  settings = {'seed': job.seed} if job.stage.command == 'train' else {}
  if launched.data_dir is not None:
    settings['data_dir'] = launched.data_dir
  return settings


def _run(jobs, book, launched, at_once):
  """Runs all jobs that are not done."""
  tasks = []
  for number, job in enumerate(jobs, start=1):
    title = f'[{number}/{len(jobs)}] {job.title}'
    if results.is_done(job.model_dir):
      print(f'{title}: already complete')
      continue
    tasks.append(
      processes.Task(
        key=job.model_dir,
        command=_command_of(job, launched),
        title=title,
        needs=job.needs,
        log=_log(job.model_dir, launched) if at_once > 1 else None,
        done=book.timer(job),
      )
    )
  processes.run_all(tasks, at_once)
  book.write()


def _command_of(job, launched):
  files = [f'--gin_file={name}' for name in job.stage.gin_files]
  bindings = [f'--gin_bindings={b}' for b in (*job.bindings, *job.given)]
  command = _command(job.stage.command, job, launched, *files, *bindings)
  if job.stage.command == 'train':
    command.append(f'--seed={job.seed}')
  return command


def _draw(jobs, count, launched, at_once):
  """Has the predictions of all jobs drawn that are to be shown."""
  tasks = [
    processes.Task(
      key=job.model_dir,
      command=_command('vis', job, launched, f'--num_images={count}'),
      title=f'The pictures of {job.title}',
      log=_log(job.model_dir, launched) if at_once > 1 else None,
    )
    for job in jobs
    if not comparison.is_drawn(job.model_dir, count)
  ]
  processes.run_all(tasks, at_once)


def _log(folder, launched):
  name = f'{os.path.basename(folder)}.log'
  return os.path.join(launched.model_dir, 'logs', name)


def _command(name, job, launched, *arguments):
  command = [sys.executable, '-m', f'deeplab_contrast.{name}', *arguments]
  command.append(f'--model_dir={job.model_dir}')
  command.append(f'--strategy={launched.strategy_name}')
  if launched.data_dir is not None:
    command.append(f'--data_dir={launched.data_dir}')
  if launched.allow_config_change:
    command.append('--allow_config_change')
  return [*command, *(f'--allow_import={p}' for p in launched.allow_imports)]


if __name__ == '__main__':
  from absl import flags

  flags.DEFINE_integer(
    'processes', 1, 'How many stages may run at a time.', lower_bound=1
  )
  launch.run(
    lambda launched: main(launched, flags.FLAGS.processes),
    root='deeplab_contrast.studies.stages.Recipe',
    distribute=False,
    tolerate_unused_bindings=True,
  )
