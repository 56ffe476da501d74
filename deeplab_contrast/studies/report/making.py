"""Makes a report: draws what runs lack, builds the page, writes it."""

import os
import sys

from deeplab_contrast.studies import processes
from deeplab_contrast.studies.report import (
  feature_map,
  gather,
  page,
  pictures,
  style,
)
from deeplab_contrast.studies.report.study import Entry, Study
from deeplab_contrast.utils import errors, files

FOLDER = 'report'
PAGE = 'index.html'

# Exit codes from here on are signals: the user wants to stop.
_SIGNALS = 128


def make(
  model_dir: str,
  flags: processes.Flags,
  out: str | None = None,
  num_images: int = 4,
  tsne: bool = True,
) -> None:
  """Writes the page of a study and its figures.

  Args:
    model_dir: the folder of the study.
    flags: passed on to the processes that make what is missing.
    out: the folder to write to; None is FOLDER in the model_dir.
    num_images: how many pictures to draw of a run that has none.
    tsne: whether to show the features.

  Raises:
    DataError: nothing is finished there, or a file is damaged.
    SystemFault: scikit-learn is missing, or the page cannot be written.
  """
  if tsne:
    feature_map.check_installed()
  study = gather.read(model_dir)
  folder = out or os.path.join(model_dir, FOLDER)
  _make_folder(folder)
  notes = _draw_missing(study, num_images, flags)
  features = None
  if tsne:
    features, note = _features(study, flags)
    notes += [note] if note else []
  report = page.build(study, features, notes)
  _write(report, folder)
  print(
    f'{len(study.entries)} of {study.planned} runs, '
    f'{len(report.figures)} figures: {os.path.join(folder, PAGE)}'
  )


def _draw_missing(
  study: Study, num_images: int, flags: processes.Flags
) -> list[str]:
  """Draws predictions of runs without pictures; returns notes on failures."""
  notes = []
  for labels in study.extremes:
    for entry in pictures.first_entries(study, labels):
      if not num_images or pictures.names(entry.model_dir):
        continue
      if not _run('vis', entry, flags, f'--num_images={num_images}'):
        notes.append(
          f'No pictures of {style.arm_title(entry.arm)} with '
          f'{style.budget_title(labels)}: they could not be drawn.'
        )
  return notes


def _features(
  study: Study, flags: processes.Flags
) -> tuple[style.Figure | None, str | None]:
  """The figure of both arms' features, or else a note why there is none."""
  entries = [
    entry
    for entry in pictures.first_entries(study, study.budgets[0])
    if entry.arm in ('softmax', 'contrastive')
  ]
  if len(entries) < 2:
    return None, (
      'No t-SNE: it compares softmax with contrastive, and one of them has no '
      'run at the smallest budget.'
    )
  for entry in entries:
    if not feature_map.is_there(entry) and not _run('features', entry, flags):
      return None, f'No t-SNE: the features of {entry.arm} could not be made.'
  return feature_map.side_by_side(study, entries), None


def _run(
  name: str, entry: Entry, flags: processes.Flags, *arguments: str
) -> bool:
  """Runs a command on a run of the study; returns whether it succeeded."""
  command = flags.command(name, entry.model_dir, *arguments)
  try:
    processes.run(command, f'{name} of {entry.model_dir}')
  except processes.ChildFailed as error:
    if error.exit_code >= _SIGNALS:
      raise
    print(f'warning: {error}', file=sys.stderr)
    return False
  return True


def _make_folder(folder: str) -> None:
  """Finds out before any work whether the folder can be written."""
  try:
    os.makedirs(folder, exist_ok=True)
    is_writable = os.access(folder, os.W_OK)
  except OSError as error:
    raise errors.SystemFault(
      f'Cannot make the folder {folder} ({error.strerror}); give another --out.'
    ) from error
  if not is_writable:
    raise errors.SystemFault(
      f'Cannot write to {folder}; fix its permissions or give another --out.'
    )


def _write(report: page.Report, folder: str) -> None:
  path = folder
  try:
    for figure in report.figures:
      path = os.path.join(folder, f'{figure.name}.png')
      files.write_bytes(path, figure.png)
    path = os.path.join(folder, PAGE)
    files.write_text(path, report.html)
  except OSError as error:
    raise errors.SystemFault(
      f'Cannot write {path} ({error.strerror}); free some space or give '
      'another --out.'
    ) from error
