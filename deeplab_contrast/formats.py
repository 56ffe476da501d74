"""A frozen function as a SavedModel, a TFLite or an ONNX file."""

import json
import os
import tempfile

import tensorflow as tf

from deeplab_contrast import serving
from deeplab_contrast.utils import errors, exported, quiet

TFLITE_FILE = 'model.tflite'
ONNX_FILE = 'model.onnx'
ONNX_OPSET = 17


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
