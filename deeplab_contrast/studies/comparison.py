"""The end of a recipe: arms compared as a table, as JSON and as a picture."""

import glob
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from deeplab_contrast.imaging import panels
from deeplab_contrast.studies import stages
from deeplab_contrast.utils import files, results, run_files, tables

# What `summarize` says of an arm.
Arm = dict[str, Any]


def write(
  jobs: Sequence[stages.Job], pictured: Sequence[stages.Job], model_dir: str
) -> None:
  """Writes `results.json` and `comparison.png`, and prints the table.

  Where arms have several label budgets, each has a table and a picture,
  `comparison_<labels>.png`.

  Args:
    jobs: finished jobs that belong to an arm; several of one arm differ in
      their seed.
    pictured: the jobs whose predictions are shown side by side.
    model_dir: the recipe's folder.
  """
  if not jobs:
    return
  budgets = list(dict.fromkeys(job.stage.labels for job in jobs))
  arms = {labels: summarize(_of(labels, jobs)) for labels in budgets}
  flat = [arm for members in arms.values() for arm in members]
  files.write_json(
    os.path.join(model_dir, run_files.STUDY_RESULTS), {'arms': flat}
  )
  seeds = sorted({job.seed for job in jobs})
  over = f'mean over seeds {seeds}' if len(seeds) > 1 else f'seed {seeds[0]}'
  for labels in budgets:
    of = '' if len(budgets) == 1 else f', {labels} labelled images'
    print(f'\nIoU in % ({over}{of})\n{table(arms[labels])}\n')
    chosen = _of(labels, pictured)
    if chosen:
      name = (
        run_files.COMPARISON
        if len(budgets) == 1
        else f'comparison_{labels}.png'
      )
      path = os.path.join(model_dir, name)
      draw(chosen, path)
      print(f'Pictures (seed {chosen[0].seed}): {path}')
  if len(budgets) > 1:
    print(f'\nmIoU in % ({over})\n{overview(arms)}\n')
  print(f'Numbers: {os.path.join(model_dir, run_files.STUDY_RESULTS)}')


def overview(arms: Mapping[int | None, Sequence[Arm]]) -> str:
  """The text table of a study: a line per label budget, a column per arm.

  Args:
    arms: {label budget: `summarize` of its jobs}.
  """
  names = list(
    dict.fromkeys(a['arm'] for found in arms.values() for a in found)
  )
  rows = []
  for labels, found in arms.items():
    scores = {arm['arm']: tables.percent(arm['miou']) for arm in found}
    rows.append([str(labels), *(scores.get(name, '') for name in names)])
  return tables.table(['labels', *names], rows)


def summarize(jobs: Sequence[stages.Job]) -> list[Arm]:
  """One dict per arm: arm, miou and iou (means), and the scores by seed."""
  arms: dict[str | None, list[stages.Job]] = {}
  for job in jobs:
    arms.setdefault(job.stage.arm, []).append(job)
  return [_arm(name, members) for name, members in arms.items()]


def table(arms: Sequence[Arm]) -> str:
  """The text table of `summarize`: a line per class, a column per arm."""
  columns = ['class', *(arm['arm'] for arm in arms)]
  rows = [
    [name, *(tables.percent(arm['iou'][name]) for arm in arms)]
    for name in arms[0]['iou']
  ]
  rows.append(['mean (mIoU)', *(tables.percent(a['miou']) for a in arms)])
  if len(arms[0]['seeds']) > 1:
    rows.append(['lowest, highest seed', *map(_spread, arms)])
  return tables.table(columns, rows)


def is_drawn(model_dir: str, count: int) -> bool:
  """Whether a finished run has all its pictures already."""
  found = glob.glob(
    os.path.join(glob.escape(model_dir), run_files.VIS, '*_truth.png')
  )
  panel = os.path.join(model_dir, run_files.PANELS)
  return os.path.exists(panel) and len(found) == count


def draw(jobs: Sequence[stages.Job], path: str) -> None:
  """Draws image | truth | one prediction per arm."""
  folders = [os.path.join(job.model_dir, run_files.VIS) for job in jobs]
  truths = glob.glob(os.path.join(glob.escape(folders[0]), '*_truth.png'))
  names = sorted(os.path.basename(p).removesuffix('_truth.png') for p in truths)
  rows = [
    [
      _read(folders[0], f'{name}_image.png'),
      _read(folders[0], f'{name}_truth.png'),
      *(_read(folder, f'{name}_prediction.png') for folder in folders),
    ]
    for name in names
  ]
  arms = [f'{j.stage.arm} ({tables.percent(_miou(j))})' for j in jobs]
  colors = results.read(jobs[0].model_dir)['colors']
  legend = panels.legend(colors)
  panels.save(panels.grid(rows, ['image', 'truth', *arms], legend), path)


def _of(labels, jobs):
  return [job for job in jobs if job.stage.labels == labels]


def _arm(name, jobs):
  found = [results.read(job.model_dir) for job in jobs]
  return {
    'arm': name,
    'labels': jobs[0].stage.labels,
    'miou': _mean([r['miou'] for r in found]),
    'iou': {c: _mean([r['iou'][c] for r in found]) for c in found[0]['iou']},
    'seeds': [
      {'seed': job.seed, 'model_dir': job.model_dir, 'miou': result['miou']}
      for job, result in zip(jobs, found, strict=True)
    ],
  }


def _mean(values):
  """The mean over seeds; None for a class that is absent from all."""
  known = [v for v in values if v is not None]
  return float(np.mean(known)) if known else None


def _spread(arm):
  values = [seed['miou'] for seed in arm['seeds']]
  return f'{tables.percent(min(values))}, {tables.percent(max(values))}'


def _miou(job):
  return results.read(job.model_dir)['miou']


def _read(folder, name):
  with Image.open(os.path.join(folder, name)) as picture:
    return np.asarray(picture.convert('RGB'))
