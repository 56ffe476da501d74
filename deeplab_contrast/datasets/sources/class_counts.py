"""How many pixels of each class each image shows."""

import concurrent.futures
import io
import os

import numpy as np
from absl import logging
from PIL import Image

from deeplab_contrast.common import LABEL
from deeplab_contrast.datasets.sources import examples as examples_lib
from deeplab_contrast.utils import files, progress


def of(examples: examples_lib.Examples) -> np.ndarray:
  """Counts the pixels of each class in each example.

  All labels are decoded once, a millisecond each for VOC images; the result is
  kept in `examples.class_file`, next to the prepared data, and read from there
  the next time.

  Args:
    examples: opened, with labels.

  Returns:
    int64 [examples, classes]; void is not counted.

  Raises:
    DataError: an example cannot be read.
  """
  kept = _read(examples)
  if kept is not None:
    return kept
  found = _examine(examples)
  _write(examples.class_file, found)
  return found


def _examine(examples):
  def classes_of(index):
    label = Image.open(io.BytesIO(examples[index][LABEL]))
    counts = np.bincount(np.asarray(label).ravel(), minlength=256)
    return counts[: examples.info.num_classes]

  with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    rows = pool.map(classes_of, range(len(examples)))
    rows = progress.over(rows, 'Classes', len(examples), 'labels')
    return np.array(list(rows), np.int64).reshape(
      len(examples), examples.info.num_classes
    )


def _read(examples):
  """What an earlier call has kept; None if that is unusable."""
  path = examples.class_file
  if path is None or not path.exists():
    return None
  try:
    with path.open('rb') as file:
      kept = np.load(file, allow_pickle=False)
  except (OSError, ValueError, EOFError):
    return None
  shape = (len(examples), examples.info.num_classes)
  return kept if kept.dtype == np.int64 and kept.shape == shape else None


def _write(path, found):
  """Keeps it; if that is impossible, the next call takes as long again."""
  if path is None:
    return
  try:
    with files.replacing(path) as temporary, temporary.open('wb') as file:
      np.save(file, found, allow_pickle=False)
  except OSError as error:
    logging.warning('%s cannot be kept: %s.', path, error)
