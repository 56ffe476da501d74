"""`export`: from a run to a checkpoint with the original's names."""

import argparse
from collections.abc import Mapping

import numpy as np

from deeplab_contrast.config import run_folder
from deeplab_contrast.conversion import network, report, tf1
from deeplab_contrast.training import checkpoints
from deeplab_contrast.training import weights as weights_lib
from deeplab_contrast.utils import checks, errors


def add_command(commands: argparse._SubParsersAction) -> None:
  """Adds `export` to the subparsers of an argparse parser."""
  parser = commands.add_parser(
    'export', help='convert a run to a TensorFlow 1 checkpoint'
  )
  parser.add_argument('--model_dir', required=True, help='the run')
  parser.add_argument(
    '--checkpoint', required=True, help='the path to write, without .index'
  )
  parser.add_argument('--allow_import', action='append', default=[])
  parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
  """Converts; prints what becomes of every variable.

  Raises:
    UserError: before anything is written.
  """
  model_dir = arguments.model_dir
  checks.place(model_dir)
  checks.place(arguments.checkpoint, '--checkpoint')
  tf1.refuse_existing(arguments.checkpoint)
  config = run_folder.config_file(model_dir)
  ours = network.build([config], allow_imports=arguments.allow_import)
  path, weights, slots = weights_lib.read(model_dir, ours.model)
  mapped, left = _plan(ours, path, weights)
  step = checkpoints.step_of(path)
  tensors = {original: weights[name] for name, original in mapped.items()}
  # The original's training needs it.
  tensors['global_step'] = np.asarray(step, np.int64)
  tf1.write(arguments.checkpoint, tensors)
  shapes = {n: 'x'.join(map(str, weights[n].shape)) for n in mapped}
  report.show(
    report.section(
      f'Taken from {path}',
      {n: f'{shapes[n]} -> {original}' for n, original in mapped.items()},
    ),
    report.section('Left out', left),
    [f'Left out: {slots} optimizer variables.'] if slots else [],
  )
  print(
    f'Wrote {arguments.checkpoint}: {len(mapped)} variables and global_step '
    f'{step}.'
  )


def _plan(
  ours: network.Network, path: str, weights: Mapping[str, np.ndarray]
) -> tuple[dict[str, str], dict[str, str]]:
  """{our name: the original's} if it has one, {name: why not} of the rest.

  Raises:
    ConfigError: a part is incomplete, or two variables have the same name.
  """
  mapped: dict[str, str] = {}
  left: dict[str, str] = {}
  for part in network.PARTS:
    variables = [v for v in ours.variables if v.part == part]
    absent = [v.name for v in variables if v.name not in weights]
    if absent and len(absent) < len(variables):
      raise errors.ConfigError(
        f'{path} has only some of the {part} and lacks {absent[0]} '
        f'({len(absent)} in all); use the gin file it was trained with.'
      )
    for variable in variables:
      if absent:
        left[variable.name] = f'the run has no {part}'
      elif variable.original is None:
        left[variable.name] = 'no counterpart in the original'
      else:
        mapped[variable.name] = variable.original
  if len(set(mapped.values())) < len(mapped):
    raise errors.ConfigError(
      f'Several variables of {path} have the same name in the original.'
    )
  return mapped, left
