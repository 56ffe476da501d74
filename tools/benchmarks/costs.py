"""What a step of each kind of training of a study costs, in softmax steps.

Each kind is trained for some steps with its real input, in its own process, one
kind after the other, several times; its fastest logged interval counts.
Prints the binding that gives all arms of the study the same cost.
"""

import json
import os
import subprocess
import sys
import tempfile

from deeplab_contrast.studies import schedule
from deeplab_contrast.utils.arguments import positive

_UNIT = 'scratch'
# A kind is a stage whose name begins so.
_KINDS = (_UNIT, *schedule.COSTS)
_LINES = 6


def add_command(commands):
  """Adds `costs` to the subparsers of an argparse parser."""
  parser = commands.add_parser('costs', help='steps of the arms of a study')
  parser.add_argument('--gin_file', required=True, help='of a study')
  parser.add_argument('--gin_bindings', action='append', default=[])
  parser.add_argument('--data_dir', help="prepared datasets; default: TFDS's")
  parser.add_argument('--steps', type=positive, default=36)
  parser.add_argument('--rounds', type=positive, default=2)
  parser.add_argument('--json', action='store_true', help='print JSON only')
  parser.set_defaults(run=run)


def run(arguments):
  """Measures, and prints the costs."""
  stages = _stages(arguments)
  seconds: dict[str, float] = {}
  for _ in range(arguments.rounds):
    for kind, (stage, given) in stages.items():
      found = _seconds(stage, given, arguments)
      seconds[kind] = min(seconds.get(kind, found), found)
  costs = {k: round(s / seconds[_UNIT], 2) for k, s in seconds.items()}
  del costs[_UNIT]
  if arguments.json:
    print(json.dumps({'seconds': seconds, 'costs': costs}, indent=2))
    return 0
  for kind, value in seconds.items():
    print(f'{kind:12}{value:.4f} s a step')
  print(f'--gin_bindings="schedule.Schedule.step_costs = {costs}"')
  return 0


def _stages(arguments):
  """{kind: (its first stage, the given bindings that it uses)}."""
  from deeplab_contrast import launch
  from deeplab_contrast.studies import processes, runner

  root = 'deeplab_contrast.studies.stages.Recipe'
  built = launch.parse(
    [arguments.gin_file],
    arguments.gin_bindings,
    root,
    tolerate_unused_bindings=True,
  )
  given = [
    binding
    for binding in arguments.gin_bindings
    if binding.partition('=')[0].strip() in built.unused
  ]
  with tempfile.TemporaryDirectory() as folder:
    flags = processes.Flags('one', arguments.data_dir)
    jobs = runner.Runner(built.root, folder, flags, given, built.unused).check()
  found = {}
  for kind in _KINDS:
    for job in jobs:
      if job.stage.name.startswith(f'{kind}_') and kind not in found:
        found[kind] = job.stage, (*job.bindings, *job.given)
  if _UNIT not in found:
    sys.exit('The study has no arm softmax, which is the unit of all costs.')
  return found


def _seconds(stage, given, arguments):
  """Seconds of a step, from the log of a short training."""
  from deeplab_contrast.utils import metrics

  bindings = [
    *given,
    f'STEPS = {arguments.steps}',
    f'LOG_EVERY = {max(1, arguments.steps // _LINES)}',
    f'SAVE_EVERY = {arguments.steps}',
    'experiment.Experiment.embedding_judge = None',
    'EVAL_LIMIT = 1',
  ]
  with tempfile.TemporaryDirectory() as folder:
    command = [sys.executable, '-m', 'deeplab_contrast.train']
    command += [f'--gin_file={path}' for path in stage.gin_files]
    command += [f'--gin_bindings={binding}' for binding in bindings]
    command += [f'--model_dir={folder}']
    if arguments.data_dir:
      command.append(f'--data_dir={arguments.data_dir}')
    environment = {'TF_CPP_MIN_LOG_LEVEL': '3', **os.environ}
    done = subprocess.run(
      command, capture_output=True, text=True, env=environment, check=False
    )
    if done.returncode:
      sys.exit(f'{stage.name}: {done.stderr.strip().splitlines()[-1]}')
    lines = [x for x in metrics.read(folder) if 'images_per_second' in x]
    with open(os.path.join(folder, 'config.gin'), encoding='utf-8') as file:
      batch = _batch_size(file.read())
  return batch / max(line['images_per_second'] for line in lines[1:])


def _batch_size(config):
  """The batch size of a stored configuration."""
  from deeplab_contrast.config import run_folder

  found = run_folder.parameters(config)
  return found['deeplab_contrast.training.trainer.Trainer', 'batch_size']
