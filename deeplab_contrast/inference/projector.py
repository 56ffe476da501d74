"""Features of pixels for TensorBoard's embedding projector."""

import io
import math
import os
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from deeplab_contrast.utils import files, run_files

_FOLDER = 'projector'  # Within the run's `tensorboard`.
_SIDE = 12  # Of the square that shows a pixel, in the colour of its class.


def write(
  model_dir: str,
  arrays: Mapping[str, np.ndarray],
  class_names: Sequence[str],
  colors: Sequence[tuple[int, int, int]],
) -> str:
  """Writes the files that TensorBoard's projector shows of a run.

  Args:
    model_dir: the run's folder.
    arrays: result of `pixel_features.collect`.
    class_names: one name per class.
    colors: one (red, green, blue) per class.

  Returns:
    The path of the configuration; it names the other files and is written last.

  Raises:
    OSError: the folder cannot be written.
  """
  folder = os.path.join(model_dir, run_files.TENSORBOARD)
  features, labels = arrays['features'], arrays['labels']
  contents = {
    'features.bytes': np.ascontiguousarray(features, '<f4').tobytes(),
    'metadata.tsv': _metadata(arrays, class_names).encode(),
    'sprite.png': _sprite(labels, colors),
  }
  for name, content in contents.items():
    files.write_bytes(os.path.join(folder, _FOLDER, name), content)
  path = os.path.join(folder, 'projector_config.pbtxt')
  files.write_text(path, _config(*features.shape))
  return path


def _metadata(arrays, class_names):
  """One line for each pixel: its class, and where it is."""
  columns = (arrays['labels'], arrays['ids'], arrays['positions'])
  lines = ['class\timage\trow\tcolumn']
  for label, name, (row, column) in zip(*columns, strict=True):
    cells = (class_names[label], name, row, column)
    lines.append('\t'.join(' '.join(str(cell).split()) for cell in cells))
  return '\n'.join(lines) + '\n'


def _sprite(labels, colors):
  """A PNG of all squares, row by row."""
  per_row = math.ceil(math.sqrt(len(labels)))
  cells = np.zeros((per_row * per_row, 3), np.uint8)
  cells[: len(labels)] = np.array(colors, np.uint8)[labels]
  grid = cells.reshape(per_row, per_row, 3)
  picture = grid.repeat(_SIDE, axis=0).repeat(_SIDE, axis=1)
  buffer = io.BytesIO()
  Image.fromarray(picture).save(buffer, 'PNG')
  return buffer.getvalue()


def _config(pixels, channels):
  return f"""embeddings {{
  tensor_name: "pixel features"
  tensor_path: "{_FOLDER}/features.bytes"
  tensor_shape: {pixels}
  tensor_shape: {channels}
  metadata_path: "{_FOLDER}/metadata.tsv"
  sprite {{
    image_path: "{_FOLDER}/sprite.png"
    single_image_dim: {_SIDE}
    single_image_dim: {_SIDE}
  }}
}}
"""
