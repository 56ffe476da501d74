"""Writes one page about a finished study or recipe, with all its pictures.

python -m deeplab_contrast.report --model_dir=runs/study [--out=folder]

`report/index.html` in the study's folder holds everything (no file, script or
font from elsewhere); its figures lie beside it as PNGs. Pictures and features
that a run lacks are made first, each by its own process. The t-SNE figure
needs the extra: pip install -e '.[report]'. The same study gives the same page.
"""

import os
import sys

from deeplab_contrast import launch
from deeplab_contrast.utils import run_files

PAGE = 'index.html'

# Exit codes from here on are signals: the user wants to stop.
_SIGNALS = 128


def main(launched, out=None, num_images=4, tsne=True):
  """Gathers, draws and writes.

  Args:
    launched: the `launch.Launch` of this process.
    out: the folder to write into; None is `report` in the model_dir.
    num_images: how many pictures a run gets that has none.
    tsne: whether to show the features.

  Raises:
    ConfigError: no --model_dir.
    DataError: nothing is finished there, or a file is damaged.
    SystemFault: scikit-learn is missing, or the page cannot be written.
  """
  from deeplab_contrast.studies.report import feature_map, gather, page
  from deeplab_contrast.utils import errors

  if launched.model_dir is None:
    raise errors.ConfigError('Give --model_dir, the folder of a study.')
  if tsne:
    feature_map.check_installed()
  study = gather.read(launched.model_dir)
  folder = out or os.path.join(launched.model_dir, run_files.REPORT)
  _make_folder(folder)
  notes = _draw_missing(study, num_images, launched)
  features = None
  if tsne:
    features, note = _features(study, launched)
    notes += [note] if note else []
  report = page.build(study, features, notes)
  _write(report, folder)
  print(
    f'{len(study.entries)} of {study.planned} runs, '
    f'{len(report.figures)} figures: {os.path.join(folder, PAGE)}'
  )


def _draw_missing(study, num_images, launched):
  """Draws what runs predict where they have no pictures; returns notes."""
  from deeplab_contrast.studies.report import pictures, style

  notes = []
  for labels in study.extremes:
    for entry in pictures.first_entries(study, labels):
      if num_images and not pictures.names(entry.model_dir):
        arguments = ('vis', entry, launched, f'--num_images={num_images}')
        if not _run(*arguments):
          notes.append(
            f'No pictures of {style.arm_title(entry.arm)} with '
            f'{style.budget_title(labels)}: they could not be drawn.'
          )
  return notes


def _features(study, launched):
  """(the figure of both arms' features or None, a note or None)."""
  from deeplab_contrast.studies.report import feature_map, pictures

  labels = study.budgets[0]
  entries = [
    entry
    for entry in pictures.first_entries(study, labels)
    if entry.arm in ('softmax', 'contrastive')
  ]
  if len(entries) < 2:
    return None, (
      'No t-SNE: it compares softmax with contrastive, and one of them has no '
      'run at the smallest budget.'
    )
  for entry in entries:
    if not feature_map.is_there(entry) and not _run(
      'features', entry, launched
    ):
      return None, f'No t-SNE: the features of {entry.arm} could not be made.'
  return feature_map.side_by_side(study, entries), None


def _run(name, entry, launched, *arguments):
  """Runs a command on a run of the study; tells whether it went well."""
  from deeplab_contrast.studies import processes

  command = [sys.executable, '-m', f'deeplab_contrast.{name}', *arguments]
  command.append(f'--model_dir={entry.model_dir}')
  command.append(f'--strategy={launched.strategy_name}')
  if launched.data_dir is not None:
    command.append(f'--data_dir={launched.data_dir}')
  command += [f'--allow_import={name}' for name in launched.allow_imports]
  try:
    processes.run(command, f'{name} of {entry.model_dir}')
  except processes.ChildFailed as error:
    if error.exit_code >= _SIGNALS:
      raise
    print(f'warning: {error}', file=sys.stderr)
    return False
  return True


def _make_folder(folder):
  """Meets a folder that cannot be written before any work."""
  from deeplab_contrast.utils import errors

  try:
    os.makedirs(folder, exist_ok=True)
    is_writable = os.access(folder, os.W_OK)
  except OSError as error:
    raise errors.SystemFault(
      f'Cannot make the folder {folder} ({error.strerror}); give another --out.'
    ) from error
  if not is_writable:
    raise errors.SystemFault(
      f'Cannot write into {folder}; mend its rights or give another --out.'
    )


def _write(report, folder):
  from deeplab_contrast.utils import errors, files

  path = folder
  try:
    for figure in report.figures:
      path = os.path.join(folder, f'{figure.name}.png')
      files.write_bytes(path, figure.png)
    path = os.path.join(folder, PAGE)
    files.write_text(path, report.html)
  except OSError as error:
    raise errors.SystemFault(
      f'Cannot write {path} ({error.strerror}); make room or give another '
      '--out.'
    ) from error


if __name__ == '__main__':
  from absl import flags

  flags.DEFINE_string(
    'out', None, 'The folder of the page. Default: report in --model_dir.'
  )
  flags.DEFINE_integer(
    'num_images',
    4,
    'How many images to draw of runs without pictures; 0 draws none.',
    lower_bound=0,
  )
  flags.DEFINE_boolean('no_tsne', False, 'Leave out the t-SNE figure.')
  launch.run(
    lambda launched: main(
      launched,
      flags.FLAGS.out,
      flags.FLAGS.num_images,
      not flags.FLAGS.no_tsne,
    ),
    takes_experiment=False,
  )
