import json
import os

import numpy as np
from PIL import Image

from deeplab_contrast.studies import comparison, stages
from deeplab_contrast.utils import files, run_files

Stage = stages.Stage

FINETUNE = Stage('finetune', ('f.gin',), ('B = 2',), 'pretrain', 'contrastive')
SCRATCH = Stage('scratch', ('s.gin',), arm='softmax')

RED, GREEN, BLUE, GRAY = (200, 0, 0), (0, 200, 0), (0, 0, 200), (99, 99, 99)


def finished(folder, stage, seed, miou, sky, prediction=None):
  """A job whose folder has the files of a finished run."""
  model_dir = os.path.join(folder, f'{stage.name}_seed{seed}')
  result = {
    'miou': miou,
    'iou': {'road': miou, 'sky': sky},
    'colors': {'road': GRAY, 'sky': BLUE},
  }
  files.write_json(os.path.join(model_dir, run_files.RESULTS), result)
  if prediction is not None:
    os.makedirs(f'{model_dir}/vis')
    pictures = {'image': RED, 'truth': GREEN, 'prediction': prediction}
    for kind, color in pictures.items():
      picture = Image.new('RGB', (8, 4), color)
      for name in ('a', 'b'):
        picture.save(f'{model_dir}/vis/{name}_{kind}.png')
    picture.save(f'{model_dir}/vis/panels.png')
  return stages.Job(stage, seed, model_dir, (), ())


def test_the_summary_is_of_means_and_leaves_out_absent_classes(tmp_path):
  jobs = [
    finished(tmp_path, FINETUNE, 0, 0.5, 0.25),
    finished(tmp_path, SCRATCH, 0, 0.4, None),
    finished(tmp_path, FINETUNE, 1, 0.75, None),
    finished(tmp_path, SCRATCH, 1, 0.3, None),
  ]
  first, second = comparison.summarize(jobs)
  assert first == {
    'arm': 'contrastive',
    'labels': None,
    'miou': 0.625,
    'iou': {'road': 0.625, 'sky': 0.25},
    'seeds': [
      {'seed': 0, 'model_dir': jobs[0].model_dir, 'miou': 0.5},
      {'seed': 1, 'model_dir': jobs[2].model_dir, 'miou': 0.75},
    ],
  }
  assert second['iou'] == {'road': 0.35, 'sky': None}
  assert comparison.table([first, second]).split('\n') == [
    'class                 contrastive     softmax',
    '--------------------  -----------  ----------',
    'road                         62.5        35.0',
    'sky                          25.0         n/a',
    'mean (mIoU)                  62.5        35.0',
    'lowest, highest seed   50.0, 75.0  30.0, 40.0',
  ]


def test_the_end_of_a_recipe(tmp_path, capsys):
  jobs = [
    finished(tmp_path, FINETUNE, 0, 0.5, 0.25, BLUE),
    finished(tmp_path, SCRATCH, 0, 0.4, 0.125, GRAY),
  ]
  comparison.write(jobs, jobs, str(tmp_path))
  printed = capsys.readouterr().out
  assert 'IoU in % (seed 0)\nclass' in printed
  assert 'mean (mIoU)         50.0     40.0\n' in printed
  assert 'lowest' not in printed
  written = json.loads((tmp_path / 'results.json').read_text())
  assert [(arm['arm'], arm['miou']) for arm in written['arms']] == [
    ('contrastive', 0.5),
    ('softmax', 0.4),
  ]
  rows = colors_of_rows(tmp_path / 'comparison.png')
  assert rows.count((RED, GREEN, BLUE, GRAY)) == 2


def colors_of_rows(path):
  """The colours that a picture shows from left to right, for each band."""
  known = (RED, GREEN, BLUE, GRAY)
  found = []
  for line in np.asarray(Image.open(path)):
    shown = [c for c in map(tuple, line.tolist()) if c in known]
    changes = tuple(
      c for i, c in enumerate(shown) if i == 0 or c != shown[i - 1]
    )
    found.append(changes)
  return [
    row
    for i, row in enumerate(found)
    if row and (i == 0 or row != found[i - 1])
  ]


def test_pictures_count_as_drawn_when_all_are_there(tmp_path):
  job = finished(tmp_path, SCRATCH, 0, 0.4, None, GRAY)
  assert comparison.is_drawn(job.model_dir, 2)
  assert not comparison.is_drawn(job.model_dir, 3)
  os.remove(f'{job.model_dir}/vis/panels.png')
  assert not comparison.is_drawn(job.model_dir, 2)
