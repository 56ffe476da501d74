"""One training step of our Trainer against stock Keras and PyTorch.

All train the same network on one batch. Each runs in a process of its own, a
few steps at a time in turn, so that a machine's changing speed meets all alike:

- ours: the step that `Trainer` runs.
- keras: the network of stock Keras 3 layers under `Model.fit`.
- torch: the network in PyTorch, with channels last.

The convolutions of our network (forward and both gradients), each measured
alone with the faster of TensorFlow and PyTorch, are the limit: `conv_share` is
their time over that of our step.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
from importlib import util

from deeplab_contrast.utils.arguments import positive
from tools.benchmarks import networks

SCRIPT = pathlib.Path(__file__).resolve().parents[1] / 'benchmark.py'
CANDIDATES = ('ours', 'keras', 'torch', 'convs_tf', 'convs_torch')
# Of the three times of a convolution, the input's gradient.
_BY_INPUT = 1


def add_command(commands):
  """Adds `step` to the subparsers of an argparse parser."""
  parser = commands.add_parser('step', help='one training step')
  parser.add_argument(
    '--network', choices=networks.NAMES, default='resnet_v1_50_beta'
  )
  parser.add_argument(
    '--width', type=float, default=1.0, help="factor on all channels' number"
  )
  parser.add_argument('--crop', type=positive, default=129, help='image side')
  parser.add_argument('--batch', type=positive, default=4, help='images')
  parser.add_argument(
    '--precision', choices=['float32', 'bfloat16'], default='float32'
  )
  parser.add_argument(
    '--task',
    choices=['softmax', 'contrastive'],
    default='softmax',
    help='contrastive is compared with our softmax step only',
  )
  parser.add_argument(
    '--scale', type=float, default=0.5, help='Projection.scale (contrastive)'
  )
  parser.add_argument(
    '--pixels', type=positive, help='PixelSelection.per_image (contrastive)'
  )
  for name, value, text in (
    ('rounds', 5, 'turns of each'),
    ('steps', 3, 'steps in a turn'),
  ):
    parser.add_argument(f'--{name}', type=positive, default=value, help=text)
  parser.add_argument(
    '--only', nargs='+', choices=CANDIDATES, help='measure only these'
  )
  parser.add_argument('--json', action='store_true', help='print JSON only')
  # Passed to the processes of this benchmark.
  parser.add_argument('--candidate', help=argparse.SUPPRESS)
  parser.add_argument('--convolutions', type=json.loads, help=argparse.SUPPRESS)
  parser.set_defaults(run=run)


def run(arguments):
  """Measures all candidates, or (in their processes) one."""
  if arguments.candidate:
    return _serve(arguments)
  names = _names(arguments)
  processes = {}
  try:
    for name in names:
      processes[name] = _Process(name, processes, arguments)
    for _ in range(arguments.rounds):
      for process in processes.values():
        process.measure()
  finally:
    for process in processes.values():
      process.close()
  report = _report(processes, arguments)
  print(json.dumps(report, indent=2) if arguments.json else _text(report))
  return 0


def _names(arguments):
  """The candidates to run."""
  names = list(arguments.only or CANDIDATES)
  if arguments.task == 'contrastive':
    return ['ours', 'softmax']
  if util.find_spec('torch') is None:
    print('torch is not installed: pip install -e ".[bench]"', file=sys.stderr)
    names = [name for name in names if 'torch' not in name]
  return names


class _Process:
  """A candidate in its own process, which measures on demand."""

  def __init__(self, name, others, arguments):
    self.name = name
    self.peak_mb = 0.0
    self.seconds = []
    command = [sys.executable, str(SCRIPT), 'step', f'--candidate={name}']
    if name == 'softmax':
      command[-1] = '--candidate=ours'
    for key in ('network', 'width', 'crop', 'batch', 'precision', 'scale'):
      command.append(f'--{key}={getattr(arguments, key)}')
    command.append(f'--steps={arguments.steps}')
    if name == 'ours':
      command.append(f'--task={arguments.task}')
    if arguments.pixels:
      command.append(f'--pixels={arguments.pixels}')
    if name == 'convs_torch':
      found = json.dumps(others['convs_tf'].convolutions)
      command.append(f'--convolutions={found}')
    self._log = tempfile.TemporaryFile('w+')  # noqa: SIM115
    quiet = {'TF_CPP_MIN_LOG_LEVEL': '3', 'CUDA_VISIBLE_DEVICES': ''}
    self._process = subprocess.Popen(
      command,
      env={**os.environ, **quiet},
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      stderr=self._log,
      text=True,
    )
    self.convolutions = self._answer()['convolutions']

  def measure(self):
    """Runs a turn."""
    print('', file=self._process.stdin, flush=True)
    answer = self._answer()
    self.seconds.append(answer['seconds'])
    self.peak_mb = answer['peak_mb']

  def close(self):
    """Ends the process."""
    self._process.stdin.close()
    self._process.wait()

  def _answer(self):
    line = self._process.stdout.readline()
    if not line:
      code = self._process.wait()
      self._log.seek(0)
      last = self._log.read().strip().splitlines()[-1:] or [f'code {code}']
      sys.exit(f'error: {self.name} failed: {last[0]}')
    return json.loads(line)


def _serve(arguments):
  """Inside a process: a turn of steps for every line of the input."""
  from tools.benchmarks import convolutions, step_candidates

  module = step_candidates
  if arguments.candidate.startswith('convs'):
    module = convolutions
  measure = getattr(module, arguments.candidate)(arguments)
  measure(2)  # Compiles.
  found = None
  if arguments.candidate == 'convs_tf':
    found = convolutions.of_network(arguments)
  print(json.dumps({'convolutions': found}), flush=True)
  for _ in sys.stdin:
    answer = {'seconds': measure(arguments.steps), 'peak_mb': _peak()}
    print(json.dumps(answer), flush=True)
  return 0


def _peak():
  """The peak memory of this process in megabytes."""
  for line in pathlib.Path('/proc/self/status').read_text().splitlines():
    if line.startswith('VmHWM:'):
      return int(line.split()[1]) * 1024 / 1e6
  raise KeyError('VmHWM')


def _report(processes, arguments):
  """All figures by name; None where something was not measured."""
  report = {
    key: getattr(arguments, key)
    for key in ('network', 'width', 'crop', 'batch', 'precision', 'task')
  }
  for name in ('ours', 'softmax', 'keras', 'torch'):
    process = processes.get(name)
    turns = process and [x for turn in process.seconds for x in turn]
    report[f'{name}_s'] = turns and min(turns)
    report[f'{name}_median_s'] = turns and statistics.median(turns)
    peak = 'peak_mb' if name == 'ours' else f'{name}_peak_mb'
    report[peak] = process and process.peak_mb
  for name in ('softmax', 'keras', 'torch'):
    report[f'{name}_to_ours'] = _ratio(report[f'{name}_s'], report['ours_s'])
  report['convs_s'] = _limit(processes)
  report['conv_share'] = _ratio(report['convs_s'], report['ours_s'])
  return {**report, 'cpus': len(os.sched_getaffinity(0))}


def _ratio(a, b):
  return a / b if a and b else None


def _limit(processes):
  """Seconds of all convolutions of a step, each by the fastest kernel."""
  timed = [p for name, p in processes.items() if name.startswith('convs')]
  if 'convs_tf' not in processes:
    return None
  total = 0.0
  for i, conv in enumerate(processes['convs_tf'].convolutions):
    *_, count = conv
    for part in range(3):
      if conv[0][-1] == 3 and part == _BY_INPUT:
        continue  # Images need no gradient.
      found = [
        turn[3 * i + part] for process in timed for turn in process.seconds
      ]
      total += count * min(found)
  return total


def _text(report):
  lines = []
  for key, value in report.items():
    shown = f'{value:.4g}' if isinstance(value, float) else value
    lines.append(f'{key:20}{"-" if value is None else shown}')
  return '\n'.join(lines)
