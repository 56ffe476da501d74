"""A run exported: its newest weights, and the model card, as one folder."""

import dataclasses
import os
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from deeplab_contrast.export import folders, formats, model_card
from deeplab_contrast.inference import whole_images
from deeplab_contrast.utils import errors


@dataclasses.dataclass(frozen=True)
class Settings:
  """How to export.

  Attributes:
    format: 'saved_model', 'tflite' or 'onnx'.
    crop_size: (height, width) that smaller images are padded to; None is the
      size that the evaluation pads to.
    input_size: (height, width) of all images, one at a time. TFLite needs it;
      an export of another format then takes only this size.
    fold: whether batch norm is folded into convolutions: faster, and equal
      except for rounding, so that labels may differ where two classes are
      nearly equal.
    licence: licence of the weights, for the model card.
    overwrite: whether an existing export is replaced.

  Raises:
    ConfigError: a size is not valid, or TFLite has no `input_size`.
  """

  format: str = 'saved_model'
  crop_size: tuple[Any, ...] | None = None
  input_size: Sequence[Any] | None = None
  fold: bool = True
  licence: str = 'not stated'
  overwrite: bool = False

  def __post_init__(self):
    if self.format == 'tflite' and self.input_size is None:
      raise errors.ConfigError(
        '--format=tflite needs --input_size=HEIGHT,WIDTH.'
      )
    for name in ('crop_size', 'input_size'):
      size = getattr(self, name)
      if size is not None and not _is_size(size):
        raise errors.ConfigError(
          f'--{name} is {",".join(map(str, size))}; give HEIGHT,WIDTH in '
          'pixels.'
        )


def write(
  experiment: Any,
  strategy: tf.distribute.Strategy,
  model_dir: str,
  out: str,
  settings: Settings,
  poll: Callable[[], object] = lambda: None,
) -> int:
  """Restores the newest checkpoint and exports it; all or nothing.

  Args:
    experiment: the run's `Experiment`.
    strategy: the strategy it was built under.
    model_dir: the run's folder.
    out: the folder to write.
    settings: how to export.
    poll: called between long steps, e.g. to stop on a signal.

  Returns:
    The step of the weights.

  Raises:
    ConfigError: the run has no classes or no checkpoint, `out` exists, or the
      format cannot hold the precision.
    SystemFault: `out` cannot be written, or a package is missing.
  """
  if not experiment.classifies:
    raise errors.ConfigError(
      f'{model_dir} is a contrastive run, which has no classes: fine-tune it '
      'first, and export that run.'
    )
  formats.check_possible(settings.format, experiment.model.compute_dtype)
  folders.check_free(out, model_card.FILE, settings.overwrite)
  with folders.in_one_piece(out, model_card.FILE, settings.overwrite) as folder:
    step = experiment.restore(strategy, model_dir)
    poll()
    height, width = settings.crop_size or evaluation_size(experiment)
    facts = formats.write(
      experiment,
      folder,
      settings.format,
      (height, width),
      settings.input_size,
      settings.fold,
      poll,
    )
    card = model_card.Export(step=step, licence=settings.licence, **facts)
    text = model_card.text(model_dir, experiment.train.source.info, card)
    with open(
      os.path.join(folder, model_card.FILE), 'w', encoding='utf-8'
    ) as file:
      file.write(text)
    poll()
  return step


def _is_size(value):
  return len(value) == 2 and all(type(x) is int and x > 0 for x in value)


def evaluation_size(experiment: Any) -> tuple[int, int]:
  """(height, width) that the evaluation pads all images to.

  The split is opened only if its largest image decides.
  """
  if experiment.evaluator.crop_size is not None:
    return tuple(experiment.evaluator.crop_size)
  examples = experiment.eval_source.open(experiment.data_dir)
  return whole_images.evaluation_size(examples, experiment.evaluator)
