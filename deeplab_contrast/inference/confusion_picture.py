"""The confusion matrix of an evaluation as a table and as a picture."""

import csv
import io
import os
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.figure
import numpy as np
from matplotlib.backends import backend_agg

from deeplab_contrast.imaging import panels
from deeplab_contrast.utils import files, run_files

_MOST_NUMBERED = 40  # With more classes, numbers would be too small to read.


def write(model_dir: str, result: Mapping[str, Any]) -> None:
  """Writes `eval/confusion_matrix.{csv,png}`, each atomically.

  Args:
    model_dir: the run's folder.
    result: the dict of `results.write`.
  """
  names, matrix = list(result['iou']), np.array(result['matrix'])
  files.write_text(
    os.path.join(model_dir, run_files.CONFUSION_CSV), as_csv(matrix, names)
  )
  title = f'{result["dataset"]}, step {result["step"]}'
  panels.save(
    draw(matrix, names, title), os.path.join(model_dir, run_files.CONFUSION_PNG)
  )


def as_csv(matrix: np.ndarray, names: Sequence[str]) -> str:
  """Pixels by true class (rows) and predicted class (columns), as text."""
  text = io.StringIO()
  writer = csv.writer(text, lineterminator='\n')
  writer.writerow(['truth \\ prediction', *names])
  for name, row in zip(names, matrix.tolist(), strict=True):
    writer.writerow([name, *row])
  return text.getvalue()


def draw(matrix: np.ndarray, names: Sequence[str], title: str) -> np.ndarray:
  """Shares of each true class, in %.

  Args:
    matrix: int array [classes, classes], rows are truth.
    names: names of the classes.
    title: names the data and the weights.

  Returns:
    uint8 [height, width, 3].
  """
  count = len(names)
  pixels = matrix.sum(1, keepdims=True)
  shares = 100.0 * matrix / np.maximum(pixels, 1)
  # A row without pixels has no shares: it stays white.
  shown = np.where(pixels > 0, shares, np.nan)
  side = max(4.0, 1.6 + 0.42 * min(count, 60))
  figure = matplotlib.figure.Figure((side + 1.2, side), layout='constrained')
  canvas = backend_agg.FigureCanvasAgg(figure)
  axes = figure.add_subplot()
  image = axes.imshow(shown, cmap='Blues', vmin=0, vmax=100)
  figure.colorbar(image, ax=axes, shrink=0.8, label='% of the true class')
  size = 8 if count <= _MOST_NUMBERED else 5
  axes.set_xticks(range(count), names, rotation=90, fontsize=size)
  axes.set_yticks(range(count), names, fontsize=size)
  axes.set(xlabel='predicted', ylabel='true', title=title)
  if count <= _MOST_NUMBERED:
    _number(axes, shown)
  canvas.draw()
  return np.asarray(canvas.buffer_rgba())[..., :3]


def _number(axes, shown):
  for (row, column), share in np.ndenumerate(shown):
    if share >= 0.5:  # And not nan.
      color = 'white' if share > 60 else 'black'
      axes.text(
        column,
        row,
        f'{share:.0f}',
        ha='center',
        va='center',
        fontsize=7,
        color=color,
      )
