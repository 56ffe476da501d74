"""Exports a trained run for programs that know nothing of this package.

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

from deeplab_contrast import launch

FORMATS = ('saved_model', 'tflite', 'onnx')
PRECISIONS = {'float32': 'float32', 'bfloat16': 'mixed_bfloat16'}


def main(
  launched,
  out=None,
  format='saved_model',
  crop_size=None,
  input_size=None,
  fold=True,
  licence='not stated',
  overwrite=False,
):
  """Restores the newest checkpoint and writes it as one folder.

  Args:
    launched: the `launch.Launch` of this process.
    out: the folder to write; by default `<model_dir>/export/<format>`.
    format: one of FORMATS.
    crop_size: (height, width) that smaller images are padded to; None is the
      size that the evaluation pads to.
    input_size: (height, width) of all images, one at a time; TFLite needs it,
      the others then take no other.
    fold: whether batch norm is folded into convolutions: faster, and equal but
      for rounding, so that labels may differ where two classes are level.
    licence: of the weights, for the model card.
    overwrite: whether an export at `out` is replaced.
  """
  from deeplab_contrast.export import folders, formats, model_card
  from deeplab_contrast.utils import errors, signals

  if launched.model_dir is None:
    raise errors.ConfigError('Give --model_dir, the run to export.')
  check_sizes(format, crop_size, input_size)
  experiment = launched.experiment
  if not experiment.classifies:
    raise errors.ConfigError(
      f'{launched.model_dir} is a contrastive run, which knows no classes: '
      'fine-tune it first, and export that run.'
    )
  formats.check_possible(format, experiment.model.compute_dtype)
  out = out or os.path.join(launched.model_dir, 'export', format)
  with signals.stop_request() as request:
    folders.check_free(out, model_card.FILE, overwrite)
    with folders.in_one_piece(out, model_card.FILE, overwrite) as folder:
      step = experiment.restore(launched.strategy, launched.model_dir)
      request.poll()
      crop_size = crop_size or evaluation_size(experiment)
      export = formats.write(
        experiment, folder, format, crop_size, input_size, fold, request.poll
      )
      write_card(launched, folder, step, licence, export)
      request.poll()
  print(f'Step {step} of {launched.model_dir}: {out}')


def write_card(launched, folder, step, licence, export):
  """Writes the model card; see `model_card.text`."""
  from deeplab_contrast.export import model_card

  text = model_card.text(
    launched.model_dir,
    launched.experiment.train.source.info,
    model_card.Export(step=step, licence=licence, **export),
  )
  path = os.path.join(folder, model_card.FILE)
  with open(path, 'w', encoding='utf-8') as file:
    file.write(text)


def check_sizes(format, crop_size, input_size):
  """Raises ConfigError where sizes and the format do not fit."""
  from deeplab_contrast.utils import errors

  if format == 'tflite' and input_size is None:
    raise errors.ConfigError('--format=tflite needs --input_size=HEIGHT,WIDTH.')
  for name, size in (('crop_size', crop_size), ('input_size', input_size)):
    if size is not None and not _is_size(size):
      raise errors.ConfigError(
        f'--{name} is {",".join(map(str, size))}; give HEIGHT,WIDTH in pixels.'
      )


def _is_size(value):
  return len(value) == 2 and all(type(x) is int and x > 0 for x in value)


def evaluation_size(experiment):
  """(height, width) that the evaluation pads all images to.

  Only where the largest image of the split decides, the split is opened.
  """
  if experiment.evaluator.crop_size is not None:
    return tuple(experiment.evaluator.crop_size)
  examples = experiment.eval_source.open(experiment.data_dir)
  return experiment.pad(examples).size


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
    "Of the computation. Default: the run's.",
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
    'Fold batch norm into convolutions. Without, a SavedModel is slower and its'
    ' labels equal those of eval also where classes are level up to rounding.',
  )
  flags.DEFINE_string('licence', 'not stated', 'Of the weights.')
  flags.DEFINE_boolean('overwrite', False, 'Replace an export that is there.')

  def settings():
    """The precision that the experiment is built with."""
    name = flags.FLAGS.precision
    return {} if name is None else {'precision': PRECISIONS[name]}

  def size(name):
    """A flag of HEIGHT,WIDTH as ints; what is none stays a text."""
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
