"""What a step of each kind of training costs on this machine.

Each kind is trained for some steps with its real input, in its own process, one
kind after the other, several times; its fastest logged interval counts.
"""

import math
import os
import shutil
from collections.abc import Callable, Sequence

from deeplab_contrast.config import run_folder
from deeplab_contrast.studies import processes, schedule, stages
from deeplab_contrast.utils import errors, files, metrics, run_files

# Of a training that is timed, and how often each is.
STEPS, ROUNDS = 36, 2
_LINES = 6  # Of its log; the first one has the compilation.
# The run that a training starts from, if it needs one.
_START = f'{schedule.PRETRAIN}_0'
# The folder of these trainings, in that of the study.
_FOLDER = 'timing'


def read(model_dir: str) -> dict[str, float]:
  """The costs measured when a study began; empty if they were not.

  Args:
    model_dir: of the study.

  Raises:
    DataError: their file is damaged.
  """
  path = os.path.join(model_dir, run_files.STEP_COSTS)
  try:
    stored = files.read_json(path, dict)
    costs = {} if stored is None else stored['costs']
    if isinstance(costs, dict) and all(
      math.isfinite(cost) and cost > 0 for cost in costs.values()
    ):
      return costs
  except (errors.DataError, KeyError, TypeError, ValueError):
    pass
  raise errors.DataError(
    f'{path} is damaged, and the steps of this study follow from it: restore '
    'it, or give another --model_dir.'
  )


def check(jobs: Sequence[stages.Job]) -> None:
  """Refuses jobs whose costs have no unit.

  Raises:
    ConfigError: the arms must take equal time, but none trains with softmax.
  """
  kinds = {job.stage.work.kind for job in jobs if job.stage.work}
  if kinds and schedule.SOFTMAX not in kinds:
    raise errors.ConfigError(
      'Schedule.equal_time counts in steps of softmax training, and no arm of '
      'this study has such steps: add the arm softmax.'
    )


def measure(
  jobs: Sequence[stages.Job],
  flags: processes.Flags,
  model_dir: str,
  useful: Callable[[stages.Job, Sequence[str]], Sequence[str]],
) -> dict[str, float]:
  """Measures and stores the costs that are not known yet.

  Known costs are kept, so that finished trainings stay comparable.

  Args:
    jobs: of the study.
    flags: passed on to the trainings.
    model_dir: of the study.
    useful: takes a job and bindings that override its own; returns all
      bindings that the job then uses.

  Returns:
    {kind: what such a step costs, in steps of softmax training}.

  Raises:
    UserError: a training failed, with its exit code.
  """
  known, found = read(model_dir), _first(jobs)
  if not found.keys() - known.keys():
    return known
  folder = os.path.join(model_dir, _FOLDER)
  shutil.rmtree(folder, ignore_errors=True)  # An earlier attempt was killed.
  short = {kind: useful(j, _bindings(j, folder)) for kind, j in found.items()}
  seconds: dict[str, float] = {}
  for number in range(ROUNDS):
    for kind, job in found.items():
      run = os.path.join(folder, f'{kind}_{number}')
      _train(job, flags, run, short[kind])
      one = _seconds(run)
      seconds[kind] = min(seconds.get(kind, one), one)
  unit = seconds[schedule.SOFTMAX]
  costs = {kind: round(x / unit, 2) for kind, x in seconds.items()} | known
  files.write_json(
    os.path.join(model_dir, run_files.STEP_COSTS),
    {'seconds': seconds, 'costs': costs},
  )
  shutil.rmtree(folder, ignore_errors=True)
  shown = ', '.join(f'{kind} {cost}' for kind, cost in costs.items())
  print(f'What a step costs, in steps of softmax training: {shown}', flush=True)
  return costs


def _first(jobs):
  """{kind: its first job}; jobs that start from another one come last."""
  known: dict[str, stages.Job] = {}
  for needs_start in (False, True):
    for job in jobs:
      stage = job.stage
      if stage.work is None or stage.labels_from is not None:
        continue
      if (stage.starts_from is not None) == needs_start:
        known.setdefault(stage.work.kind, job)
  return known


def _bindings(job, folder):
  """What makes a job short. Not STEPS, which its learning rate goes by."""
  found = [
    f'trainer.Trainer.steps = {STEPS}',
    f'trainer.Trainer.log_every = {max(1, STEPS // _LINES)}',
    f'trainer.Trainer.save_every = {STEPS}',
    'trainer.Trainer.eval_every = 0',
    'experiment.Experiment.embedding_judge = None',
    'EVAL_LIMIT = 1',
  ]
  if job.stage.starts_from is not None:
    # Its weights make no difference to the time.
    found.append(f'INIT = {os.path.join(folder, _START)!r}')
  return found


def _train(job, flags, model_dir, bindings):
  arguments = [
    *(f'--gin_file={path}' for path in job.stage.gin_files),
    *(f'--gin_bindings={binding}' for binding in bindings),
    f'--seed={job.seed}',
  ]
  log, title = f'{model_dir}.log', f'Timing steps: {job.stage.work.kind}'
  command = flags.command('train', model_dir, *arguments)
  processes.run_all([processes.Task(model_dir, command, title, log=log)])


def _seconds(model_dir):
  """Seconds of a step, from the log of a short training."""
  lines = [x for x in metrics.read(model_dir) if 'images_per_second' in x]
  with open(
    os.path.join(model_dir, run_files.CONFIG), encoding='utf-8'
  ) as file:
    found = run_folder.parameters(file.read())
  batch = found['deeplab_contrast.training.trainer.Trainer', 'batch_size']
  return batch / max(line['images_per_second'] for line in lines[1:])
