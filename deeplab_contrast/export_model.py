"""Exports a trained run for programs that do not have this package.

python -m deeplab_contrast.export_model --model_dir=runs/a
python -m deeplab_contrast.export_model --model_dir=runs/a --precision=bfloat16

Writes `runs/a/export/saved_model`: a SavedModel that takes `ImageTensor`,
uint8 [batch, height, width, 3] of any size, and gives `SemanticPredictions` and
`SemanticProbabilities`; with names and colours of the classes in
`assets/labels.json`, and `model_card.md`. Labels are those of `eval`: its
predictor, and its padding.
`--format=tflite` writes a file for images of one `--input_size`, and
`--format=onnx` one for any (extra `onnx`).
"""

import os
from collections.abc import Sequence
from typing import Any

from deeplab_contrast import launch

FORMATS = ('saved_model', 'tflite', 'onnx')
PRECISIONS = {'float32': 'float32', 'bfloat16': 'mixed_bfloat16'}


def main(
  launched: launch.Launch,
  out: str | None = None,
  format: str = 'saved_model',
  crop_size: tuple[Any, ...] | None = None,
  input_size: Sequence[Any] | None = None,
  fold: bool = True,
  licence: str = 'not stated',
  overwrite: bool = False,
) -> None:
  """Exports the newest checkpoint; see `run_export.write`.

  Args:
    launched: the `launch.Launch` of this process.
    out: the folder to write; by default `<model_dir>/export/<format>`.
    format: one of FORMATS.
    crop_size: see `run_export.Settings`, as all below.
    input_size: (height, width).
    fold: whether batch norm is folded into convolutions.
    licence: licence of the weights.
    overwrite: whether an existing export is replaced.

  Raises:
    ConfigError: there is no run, or a size is not valid.
  """
  from deeplab_contrast.export import run_export
  from deeplab_contrast.utils import errors, signals

  model_dir = launched.model_dir
  if model_dir is None:
    raise errors.ConfigError('Give --model_dir, the run to export.')
  settings = run_export.Settings(
    format, crop_size, input_size, fold, licence, overwrite
  )
  out = out or os.path.join(model_dir, 'export', format)
  with signals.stop_request() as stop:
    step = run_export.write(
      launched.experiment,
      launched.strategy,
      model_dir,
      out,
      settings,
      stop.poll,
    )
  print(f'Step {step} of {model_dir}: {out}')


if __name__ == '__main__':
  from absl import flags

  flags.DEFINE_string(
    'out', None, 'Folder to write. Default: <model_dir>/export/<format>.'
  )
  flags.DEFINE_enum('format', 'saved_model', FORMATS, 'What to write.')
  flags.DEFINE_enum(
    'precision',
    None,
    list(PRECISIONS),
    "Precision of the computation. Default: the run's.",
  )
  flags.DEFINE_list(
    'crop_size',
    None,
    'HEIGHT,WIDTH that smaller images are padded to; 1,1 for no more than the'
    " network needs. Default: the evaluation's, so that labels are equal.",
  )
  flags.DEFINE_list('input_size', None, 'HEIGHT,WIDTH of all images.')
  flags.DEFINE_boolean(
    'fold_batch_norm',
    True,
    'Fold batch norm into convolutions. Without it, a SavedModel is slower, and'
    ' its labels equal those of eval even where two classes are nearly equal.',
  )
  flags.DEFINE_string('licence', 'not stated', 'Licence of the weights.')
  flags.DEFINE_boolean('overwrite', False, 'Replace an existing export.')

  def settings():
    """The precision that the experiment is built with."""
    name = flags.FLAGS.precision
    return {} if name is None else {'precision': PRECISIONS[name]}

  def size(name):
    """A flag of HEIGHT,WIDTH as ints; what is not an int stays a str."""
    value = flags.FLAGS[name].value
    return value and tuple(int(v) if v.isdecimal() else v for v in value)

  launch.run(
    lambda launched: main(
      launched,
      flags.FLAGS.out,
      flags.FLAGS.format,
      size('crop_size'),
      size('input_size'),
      flags.FLAGS.fold_batch_norm,
      flags.FLAGS.licence,
      flags.FLAGS.overwrite,
    ),
    settings=settings,
  )
