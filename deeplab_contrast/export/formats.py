"""A trained network as a SavedModel, a TFLite or an ONNX file."""

import contextlib
import dataclasses
import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from deeplab_contrast.core.network import folding
from deeplab_contrast.export import exported, serving
from deeplab_contrast.utils import errors, quiet

TFLITE_FILE = 'model.tflite'
ONNX_FILE = 'model.onnx'
ONNX_OPSET = 17


def write(
  experiment: Any,
  folder: str,
  format: str,
  crop_size: tuple[int, int],
  input_size: Sequence[int] | None,
  fold: bool,
  poll: Callable[[], object],
) -> dict[str, Any]:
  """Folds, freezes and writes.

  Args:
    experiment: a restored `Experiment`.
    folder: where to.
    format: 'saved_model', 'tflite' or 'onnx'.
    crop_size: (height, width) that smaller images are padded to.
    input_size: (height, width) of all images, one at a time; None for any size,
      which TFLite does not support.
    fold: whether batch norm is folded into convolutions; without it, a
      SavedModel keeps its weights as variables and runs the same operations as
      `eval`.
    poll: called between long steps, e.g. to stop on a signal.

  Returns:
    Arguments of `model_card.Export`.
  """
  model, predictor = experiment.model, experiment.evaluator.predictor
  parameters = sum(w.shape.num_elements() for w in model.weights)
  facts = {
    'format': format,
    'precision': model.dtype_policy.compute_dtype,
    'scales': list(predictor.scales),
    'flip': predictor.flip,
    'tile_size': predictor.tile_size,
    'crop_size': list(crop_size),
    'input_size': list(input_size) if input_size else None,
  }
  size = (1, *input_size) if input_size else (None, None, None)
  pixel = experiment.pad_pixel
  serve = serving.Serving(model, predictor, crop_size, pixel)
  with folding.folded(model) if fold else contextlib.nullcontext(0) as folded:
    keeps_variables = format == 'saved_model' and not fold
    make = serve.concrete if keeps_variables else serve.frozen
    function = make(size)
  poll()
  described = {**describe(experiment.train.source.info), **facts}
  _WRITERS[format](function, described, folder)
  poll()
  return {
    **facts,
    'averaged': experiment.trainer.average_decay is not None,
    'parameters': parameters,
    'folded': folded,
  }


def describe(info: Any) -> dict[str, Any]:
  """The classes of a `DatasetInfo`, for labels.json."""
  classes = zip(info.class_names, info.colors, strict=True)
  convert = (
    {'convert': dataclasses.asdict(info.convert)} if info.convert else {}
  )
  return {
    **convert,
    'dataset': info.name,
    'ignore_label': info.ignore_label,
    'classes': [
      {'id': i, 'name': name, 'color': list(color)}
      for i, (name, color) in enumerate(classes)
    ],
  }


def write_saved_model(
  function: Any, description: Mapping[str, Any], folder: str
) -> None:
  """Writes a SavedModel.

  Args:
    function: result of `Serving.frozen` or `Serving.concrete`.
    description: as JSON; becomes `assets/labels.json`.
    folder: where to.
  """
  with tempfile.TemporaryDirectory() as place:
    path = os.path.join(place, exported.DESCRIPTION)
    _write_description(description, path)
    module, signatures = serving.module(function, path)
    _save(module, signatures, folder)


def _save(module, signatures, folder):
  # For prediction: gradients that we define ourselves are left out.
  options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
  with quiet.no_stderr():
    tf.saved_model.save(module, folder, signatures, options)


def write_tflite(
  frozen: Any, description: Mapping[str, Any], folder: str
) -> None:
  """Writes `model.tflite`, for images of one size, and labels.json beside it.

  Args:
    frozen: result of `Serving.frozen`, with a fixed size.
    description: see `write_saved_model`.
    folder: where to.
  """
  module, signatures = serving.module(frozen)
  key = 'serving_default'
  with tempfile.TemporaryDirectory() as place:
    _save(module, {key: signatures[key]}, place)
    with quiet.no_stderr():
      converter = tf.lite.TFLiteConverter.from_saved_model(place)
      data = converter.convert()
  with open(os.path.join(folder, TFLITE_FILE), 'wb') as file:
    file.write(data)
  _write_description(description, os.path.join(folder, exported.DESCRIPTION))


def write_onnx(
  frozen: Any, description: Mapping[str, Any], folder: str
) -> None:
  """Writes `model.onnx` and labels.json beside it.

  Args:
    frozen: result of `Serving.frozen`.
    description: see `write_saved_model`.
    folder: where to.
  """
  from tf2onnx import optimizer, tfonnx

  names = {
    frozen.inputs[0].name: exported.INPUT,
    frozen.outputs[0].name: exported.LABELS,
    frozen.outputs[1].name: exported.PROBABILITIES,
  }
  ends = list(names)
  with quiet.no_stderr(), tf.Graph().as_default() as graph:
    tf.import_graph_def(frozen.graph.as_graph_def(), name='')
    converted = tfonnx.process_tf_graph(
      graph,
      opset=ONNX_OPSET,
      input_names=ends[:1],
      output_names=ends[1:],
      tensors_to_rename=names,
    )
    converted = optimizer.optimize_graph(converted)
    result = converted.make_model('deeplab')
  for end in (*result.graph.input, *result.graph.output):
    sides = end.type.tensor_type.shape.dim
    for side, name in zip(sides, ('batch', 'height', 'width'), strict=False):
      if side.dim_param:
        side.dim_param = name
  with open(os.path.join(folder, ONNX_FILE), 'wb') as file:
    file.write(result.SerializeToString())
  _write_description(description, os.path.join(folder, exported.DESCRIPTION))


def check_possible(format: str, precision: str) -> None:
  """Refuses exports that cannot be written, before long work.

  Args:
    format: 'saved_model', 'tflite' or 'onnx'.
    precision: the dtype the network computes in, such as 'float32'.

  Raises:
    ConfigError: the format cannot hold this precision.
    SystemFault: a package is missing.
  """
  if format != 'saved_model' and precision != 'float32':
    raise errors.ConfigError(
      f'--format={format} is for float32, but the network computes in '
      f'{precision}; give --precision=float32.'
    )
  if format == 'onnx':
    try:
      import tf2onnx  # noqa: F401
    except ImportError as error:
      raise errors.SystemFault(
        '--format=onnx needs tf2onnx: pip install "deeplab-contrast[onnx]".'
      ) from error


def _write_description(description, path):
  with open(path, 'w', encoding='utf-8') as file:
    file.write(json.dumps(description, indent=1) + '\n')


_WRITERS = {
  'saved_model': write_saved_model,
  'tflite': write_tflite,
  'onnx': write_onnx,
}
