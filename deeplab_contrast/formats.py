"""A trained network as a SavedModel, a TFLite or an ONNX file."""

import json
import os
import tempfile

import tensorflow as tf

from deeplab_contrast import serving
from deeplab_contrast.core import folding
from deeplab_contrast.utils import exported, quiet

TFLITE_FILE = 'model.tflite'
ONNX_FILE = 'model.onnx'
ONNX_OPSET = 17


def write(experiment, folder, format, crop_size, input_size, fold, poll):
  """Folds, freezes and writes.

  Args:
    experiment: a restored `Experiment`.
    folder: where to.
    format: 'saved_model', 'tflite' or 'onnx'.
    crop_size: (height, width), the least size the network is given.
    input_size: (height, width) of all images; None for any, which only the
      SavedModel takes.
    fold: whether batch norm is folded into convolutions.
    poll: called between steps that take long, e.g. to stop on a signal.

  Returns:
    What `model_card.Export` is told, as a dict.
  """
  model, predictor = experiment.model, experiment.evaluator.predictor
  parameters = sum(w.shape.num_elements() for w in model.weights)
  folded = folding.fold(model) if fold else 0
  facts = {
    'format': format,
    'precision': model.dtype_policy.compute_dtype,
    'scales': list(predictor.scales),
    'flip': predictor.flip,
    'crop_size': list(crop_size),
    'input_size': list(input_size) if input_size else None,
  }
  size = (1, *input_size) if input_size else (None, None, None)
  frozen = serving.Serving(model, predictor, tuple(crop_size)).frozen(size)
  poll()
  described = {**describe(experiment.train.source.info), **facts}
  _WRITERS[format](frozen, described, folder)
  poll()
  return {
    **facts,
    'averaged': experiment.trainer.optimizer.use_ema,
    'parameters': parameters,
    'folded': folded,
  }


def describe(info):
  """What labels.json says of the classes of a `DatasetInfo`."""
  classes = zip(info.class_names, info.colors, strict=True)
  return {
    'dataset': info.name,
    'ignore_label': info.ignore_label,
    'classes': [
      {'id': i, 'name': name, 'color': list(color)}
      for i, (name, color) in enumerate(classes)
    ],
  }


def write_saved_model(frozen, description, folder):
  """Writes a SavedModel.

  Args:
    frozen: of `Serving.frozen`.
    description: what JSON can hold; becomes `assets/labels.json`.
    folder: where to.
  """
  with tempfile.TemporaryDirectory() as place:
    path = os.path.join(place, exported.DESCRIPTION)
    _write_description(description, path)
    module, signatures = serving.module(frozen, path)
    with quiet.no_stderr():
      tf.saved_model.save(module, folder, signatures=signatures)


def write_tflite(frozen, description, folder):
  """Writes `model.tflite`, for images of one size, and labels.json beside it.

  Args:
    frozen: of `Serving.frozen`, with a fixed size.
    description: see `write_saved_model`.
    folder: where to.
  """
  module, signatures = serving.module(frozen)
  signature = signatures['serving_default'].get_concrete_function()
  with quiet.no_stderr():
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
      [signature], module
    )
    data = converter.convert()
  with open(os.path.join(folder, TFLITE_FILE), 'wb') as file:
    file.write(data)
  _write_description(description, os.path.join(folder, exported.DESCRIPTION))


def _write_description(description, path):
  with open(path, 'w', encoding='utf-8') as file:
    file.write(json.dumps(description, indent=1) + '\n')


_WRITERS = {'saved_model': write_saved_model, 'tflite': write_tflite}
