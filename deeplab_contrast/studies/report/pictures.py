"""The same val images side by side: image, truth, prediction of every arm."""

import glob
import io
import os

import numpy as np
from PIL import Image

from deeplab_contrast.imaging import panels
from deeplab_contrast.studies.report import style, summary
from deeplab_contrast.studies.report.study import Entry, Study
from deeplab_contrast.utils import errors, run_files, tables

_KINDS = ('image', 'truth', 'prediction')
# More rows make a longer page and show nothing new.
_MOST = 6
# Width of the page's text in pixels: pictures are not scaled again.
_PAGE = 1088
_WIDEST = 256


def first_entries(study: Study, labels: int | None) -> list[Entry]:
  """The entries that are pictured: those of the first seed of a budget."""
  found = [study.of(arm, labels) for arm in study.arms]
  seeds = {entry.seed for entries in found for entry in entries}
  return [
    entry for entries in found for entry in entries if entry.seed == min(seeds)
  ]


def names(model_dir: str) -> list[str]:
  """Ids of the images that a run's `vis/` shows completely, sorted."""
  folder = os.path.join(model_dir, run_files.VIS)
  sets = []
  for kind in _KINDS:
    ending = f'_{kind}.png'
    paths = glob.glob(os.path.join(glob.escape(folder), f'*{ending}'))
    sets.append({os.path.basename(p).removesuffix(ending) for p in paths})
  return sorted(set.intersection(*sets))


def side_by_side(study: Study, labels: int | None) -> style.Figure | None:
  """Draws the images that all arms have pictures of.

  Args:
    study: what to draw.
    labels: the budget.

  Returns:
    The figure, or None where the arms have no image in common.

  Raises:
    DataError: a picture is damaged.
  """
  entries = [e for e in first_entries(study, labels) if names(e.model_dir)]
  if not entries:
    return None
  common = set.intersection(*(set(names(e.model_dir)) for e in entries))
  shown = sorted(common)[:_MOST]
  if not shown:
    return None
  rows = [
    [
      _read(entries[0], name, 'image'),
      _read(entries[0], name, 'truth'),
      *(_read(entry, name, 'prediction') for entry in entries),
    ]
    for name in shown
  ]
  headings = ['image', 'truth', *(_heading(entry) for entry in entries)]
  legend = panels.legend(summary.class_colors(study))
  width = min(_WIDEST, _PAGE // len(headings) - 7)
  picture = panels.grid(rows, headings, legend, width=width)
  buffer = io.BytesIO()
  picture.save(buffer, format='PNG')
  return style.Figure(
    f'predictions_{labels}',
    buffer.getvalue(),
    f'{len(shown)} val images with their truth and the prediction of '
    f'{", ".join(style.arm_title(e.arm) for e in entries)}, trained with '
    f'{style.budget_title(labels)}.',
    f'The same val images with {style.budget_title(labels)}, seed '
    f'{entries[0].seed}; mIoU of the run in brackets, white is void.',
    wide=True,
    scale=1,
  )


def _heading(entry):
  short = entry.arm.replace('_', ' + ')
  return f'{short} ({tables.percent(entry.result["miou"])})'


def _read(entry, name, kind):
  path = os.path.join(entry.model_dir, run_files.VIS, f'{name}_{kind}.png')
  try:
    with Image.open(path) as picture:
      return np.asarray(picture.convert('RGB'))
  except (OSError, SyntaxError) as error:
    raise errors.DataError(
      f'{path} is not a valid picture ({error}); delete its folder and draw it '
      'again with python -m deeplab_contrast.vis '
      f'--model_dir={entry.model_dir}.'
    ) from error
