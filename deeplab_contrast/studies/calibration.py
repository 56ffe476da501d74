"""What a step of each kind of training costs on this machine.

Each kind is trained for some steps with its real input, in its own process, one
kind after the other, several times; its fastest logged interval counts.
"""

import os
import tempfile
from collections.abc import Sequence

from deeplab_contrast.config import run_folder
from deeplab_contrast.studies import processes, schedule, stages
from deeplab_contrast.utils import errors, files, metrics, run_files

# Of a training that is timed, and how often each is.
STEPS, ROUNDS = 36, 2
_LINES = 6  # Of its log; the first one has the compilation.
_INIT = 'INIT ='


def read(model_dir: str) -> dict[str, float]:
  """The costs measured when a study began; empty if they were not.

  Args:
    model_dir: of the study.

  Raises:
    DataError: their file is damaged.
  """
  path = os.path.join(model_dir, run_files.STEP_COSTS)
  stored = files.read_json(path, dict)
  with files.as_expected(path):
    return {} if stored is None else stored['costs']


def measure(
  jobs: Sequence[stages.Job], flags: processes.Flags, model_dir: str
) -> dict[str, float]:
  """Measures the costs that are not known yet, and stores them.

  Those once measured stay, so that what is finished stays comparable.

  Args:
    jobs: of the study.
    flags: passed on to the trainings.
    model_dir: of the study.

  Returns:
    {kind: what such a step costs, in steps of softmax training}.

  Raises:
    ConfigError: no job is a softmax training, which is the unit.
    UserError: a training failed, with its exit code.
  """
  known, found = read(model_dir), _first(jobs)
  if not found.keys() - known.keys():
    return known
  if schedule.SOFTMAX not in found:
    raise errors.ConfigError(
      'Schedule.equal_time counts in steps of softmax training, and no arm of '
      'this study has such steps: add the arm softmax.'
    )
  seconds: dict[str, float] = {}
  with tempfile.TemporaryDirectory() as folder:
    for number in range(ROUNDS):
      for kind, job in found.items():
        one = _seconds(job, flags, folder, f'{kind}{number}')
        seconds[kind] = min(seconds.get(kind, one), one)
  unit = seconds[schedule.SOFTMAX]
  costs = {kind: round(x / unit, 2) for kind, x in seconds.items()} | known
  files.write_json(
    os.path.join(model_dir, run_files.STEP_COSTS),
    {'seconds': seconds, 'costs': costs},
  )
  shown = ', '.join(f'{kind} {cost}' for kind, cost in costs.items())
  print(f'What a step costs, in steps of softmax training: {shown}', flush=True)
  return costs


def _first(jobs):
  """{kind: a job of it}; first those that others may start from."""
  known: dict[str, stages.Job] = {}
  for needs_start in (False, True):
    for job in jobs:
      stage = job.stage
      if stage.work is None or stage.labels_from is not None:
        continue
      if (stage.starts_from is not None) == needs_start:
        known.setdefault(stage.work.kind, job)
  return known


def _seconds(job, flags, folder, name):
  """Seconds of a step, from the log of a short training."""
  model_dir = os.path.join(folder, name)
  bindings = [b for b in job.bindings if not b.startswith(_INIT)]
  bindings += [
    *job.given,
    f'STEPS = {STEPS}',
    f'LOG_EVERY = {max(1, STEPS // _LINES)}',
    f'SAVE_EVERY = {STEPS}',
    'EVAL_LIMIT = 1',
    'experiment.Experiment.embedding_judge = None',
  ]
  if job.stage.starts_from is not None:
    # The weights make no difference to the time.
    start = os.path.join(folder, f'{schedule.COSTS[0]}0')
    bindings.append(f'{_INIT} {start!r}')
  arguments = [
    *(f'--gin_file={path}' for path in job.stage.gin_files),
    *(f'--gin_bindings={binding}' for binding in bindings),
    f'--seed={job.seed}',
  ]
  log = f'{model_dir}.log'
  command = flags.command('train', model_dir, *arguments)
  try:
    title = f'Timing steps: {job.stage.work.kind}'
    processes.run_all([processes.Task(name, command, title, log=log)])
  except processes.ChildFailed as failure:
    with open(log, encoding='utf-8') as file:
      said = (file.read().splitlines() or [''])[-1].removeprefix('error: ')
    raise processes.ChildFailed(
      f'Stage {job.stage.name!r} cannot be timed: {said}', failure.exit_code
    ) from failure
  lines = [x for x in metrics.read(model_dir) if 'images_per_second' in x]
  with open(
    os.path.join(model_dir, run_files.CONFIG), encoding='utf-8'
  ) as file:
    found = run_folder.parameters(file.read())
  batch = found['deeplab_contrast.training.trainer.Trainer', 'batch_size']
  return batch / max(line['images_per_second'] for line in lines[1:])
