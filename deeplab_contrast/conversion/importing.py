"""`import`: from the original's checkpoints, or Keras' weights, to a run."""

import argparse
import os
import shutil
import tempfile

from deeplab_contrast.conversion import (
  encoders,
  hdf5_file,
  keras_applications,
  keras_resnet,
  network,
  plan,
  report,
  tf1,
)
from deeplab_contrast.training import contents
from deeplab_contrast.training import weights as weights_lib
from deeplab_contrast.utils import checks, errors, run_files


def add_command(commands: argparse._SubParsersAction) -> None:
  """Adds `import` to the subparsers of an argparse parser."""
  parser = commands.add_parser(
    'import', help="make a run from the original's checkpoint or Keras' weights"
  )
  parser.add_argument(
    '--checkpoint',
    required=True,
    help='of TensorFlow 1: its path without .index, or its folder; or an .h5 '
    'file of weights of Keras Applications, or a .pth file of '
    'EfficientNet-Lite (see the command list)',
  )
  parser.add_argument('--model_dir', required=True, help='the run to make')
  parser.add_argument(
    '--gin_file',
    action='append',
    required=True,
    help='the experiment with the same network; may be repeated',
  )
  parser.add_argument('--gin_bindings', action='append', default=[])
  parser.add_argument('--allow_import', action='append', default=[])
  parser.add_argument(
    '--use_averages',
    action='store_true',
    help='take the moving average of each variable that has one',
  )
  parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
  """Converts; prints what becomes of every variable.

  Raises:
    UserError: before anything is written.
  """
  model_dir = arguments.model_dir.rstrip('/') or '/'
  _refuse_existing(model_dir)
  path = arguments.checkpoint
  model, config = network.load(
    arguments.gin_file, arguments.gin_bindings, arguments.allow_import
  )
  if encoders.takes(path, model.trunk.backbone):
    _import_encoder(path, model, config, model_dir)
    return
  ours = network.of(model, config)
  source = open_source(path, ours.backbone)
  made = plan.make(ours, source, arguments.use_averages)
  weights = {v.name: v.value for v in ours.variables if v.part in made.parts}
  weights |= {name: source.read(their) for name, their in made.mapped.items()}
  contents.check_finite(
    source.path, {their: weights[name] for name, their in made.mapped.items()}
  )
  _report(made, source, weights)
  _write(model_dir, ours.config, weights)
  _report_end(made, ours, source, model_dir)


def _import_encoder(path, model, config, model_dir):
  """From a file of PyTorch or Keras to an encoder the original lacks."""
  backbone = model.trunk.backbone
  converted = encoders.read(path, backbone)
  variables = contents.by_path(backbone.variables)
  weights = {name: variable.numpy() for name, variable in variables.items()}
  weights |= converted.arrays
  _write(model_dir, config, weights)
  alone = [name for name in variables if name not in converted.arrays]
  rest = len(model.variables) - len(variables)
  report.show(
    _taken(path, converted.names, weights),
    report.section(f'Not needed from {path}', converted.unneeded),
    report.section(
      'Without a counterpart', dict.fromkeys(alone, 'keeps its initial value')
    ),
  )
  print(
    f'{len(converted.arrays)} variables are converted, '
    f'{len(converted.unneeded)} are not needed, {rest} of ours are newly '
    'initialized.'
  )
  print(f'Wrote {model_dir}: backbone.')
  _advise('backbone', 'imagenet_backbone', model_dir)


def open_source(path: str, backbone: str = '') -> tf1.Source:
  """Opens a checkpoint of TensorFlow 1, or a file of Keras' weights.

  Args:
    path: of it.
    backbone: the name of ours, which says what a file of Keras must be.

  Returns:
    A `tf1.Source`.

  Raises:
    UserError: it is neither, or cannot be read.
  """
  if hdf5_file.is_hdf5(path):
    if backbone == 'MobilenetV2':
      return keras_applications.open_mobilenet_v2(path)
    return keras_resnet.open_weights(path)
  if path.endswith(('.h5', '.hdf5', '.keras')) and os.path.isfile(path):
    raise errors.DataError(
      f'{path} is not an HDF5 file of weights; it is damaged, or a saved model.'
    )
  return tf1.open_checkpoint(path)


def _refuse_existing(model_dir):
  checks.place(model_dir)
  if os.path.exists(model_dir) and not (
    os.path.isdir(model_dir) and not os.listdir(model_dir)
  ):
    raise errors.ConfigError(
      f'{model_dir} already exists; give another --model_dir.'
    )


def _write(model_dir, config, weights):
  """Writes the run to a temporary folder, then moves it into place."""
  parent, base = os.path.split(os.path.abspath(model_dir))
  try:
    os.makedirs(parent, exist_ok=True)
    draft = tempfile.mkdtemp(prefix=f'.{base}.', dir=parent)
  except OSError as error:
    raise _cannot_write(model_dir, error) from error
  try:
    weights_lib.write(draft, weights)
    with open(
      os.path.join(draft, run_files.CONFIG), 'w', encoding='utf-8'
    ) as file:
      file.write(config)
    os.chmod(draft, 0o777 & ~_umask())  # mkdtemp keeps others out.
    os.rename(draft, model_dir)
  except OSError as error:
    raise _cannot_write(model_dir, error) from error
  finally:
    shutil.rmtree(draft, ignore_errors=True)


def _umask():
  mask = os.umask(0)
  os.umask(mask)
  return mask


def _cannot_write(model_dir, error):
  return errors.SystemFault(f'Cannot write {model_dir} ({error.strerror}).')


def _report(made, source, weights):
  report.show(
    _taken(source.path, made.mapped, weights),
    report.section(f'Not needed from {source.path}', made.unneeded),
    report.section('Without a counterpart', made.ours_alone),
    report.section('Not in the converted run', made.fresh),
  )


def _taken(path, mapped, weights):
  return report.section(
    f'Taken from {path}',
    {
      their: f'{"x".join(map(str, weights[name].shape))} -> {name}'
      for name, their in mapped.items()
    },
  )


def _report_end(made, ours, source, model_dir):
  for note in source.notes:
    print(f'Note: {note}')
  if plan.NOT_AVERAGED in made.unneeded.values():
    print('Note: It has moving averages too; --use_averages takes them.')
  print(
    f'{len(made.mapped)} variables are converted, {len(made.unneeded)} are '
    f'not needed, {len(made.fresh)} are newly initialized.'
  )
  print(f'Wrote {model_dir}: {", ".join(made.parts)}.')
  if not made.fresh:
    print(
      f'Evaluate it: python -m deeplab_contrast.eval --model_dir={model_dir}'
    )
    return
  if (head := [v.name for v in ours.variables if v.part == 'head']) and (
    head[0] in made.fresh
  ):
    print(f'The head is not converted: {made.fresh[head[0]]}.')
  whole = set(made.parts) >= {
    v.part for v in ours.variables if v.part != 'head'
  }
  part = 'trunk' if whole else 'backbone'
  overlay = 'warm_start' if whole else 'imagenet_backbone'
  _advise(part, overlay, model_dir)


def _advise(part, overlay, model_dir):
  print(
    f'Start training from its {part}: --gin_file=gin_configs/tasks/{overlay}'
    f'.gin --gin_bindings="INIT = \'{model_dir}\'"'
  )
