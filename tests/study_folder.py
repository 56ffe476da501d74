"""A small study made by hand: the folders of a finished recipe."""

import json
import os

import numpy as np
from PIL import Image

from deeplab_contrast.studies import ledger
from deeplab_contrast.utils import files, results, run_files

ARMS = ('softmax', 'contrastive', 'softmax_pseudo', 'contrastive_pseudo')
CLASSES = {
  'road': (128, 64, 128),
  'sky': (70, 130, 180),
  'car & <van>': (0, 0, 142),
  'pole': (153, 153, 153),
}
STEPS = 100

_GAIN = {
  'softmax': 0.0,
  'contrastive': 0.05,
  'softmax_pseudo': 0.03,
  'contrastive_pseudo': 0.09,
}


def make(folder, arms=ARMS[:2], budgets=(4, 40), seeds=(0, 1), classes=None):
  """Writes a finished study; equal arguments give equal files.

  Args:
    folder: where to write; made if missing.
    arms: names of arms.
    budgets: numbers of labelled images.
    seeds: of every arm at every budget.
    classes: {name: colour}; None takes four, the last of which never occurs.

  Returns:
    The path of the folder, a str.
  """
  folder, classes = str(folder), classes or CLASSES
  entries = []
  for labels in budgets:
    for seed in seeds:
      for arm in arms:
        entries.append(_entry(folder, arm, labels, seed, classes))
  study = {
    'dataset': 'toys',
    'commit': 'abc123',
    'equal_steps': True,
    'command': 'python -m deeplab_contrast.recipe --model_dir=x',
    'entries': entries,
  }
  files.write_json(os.path.join(folder, 'study.json'), study)
  files.write_text(os.path.join(folder, 'results.csv'), ledger.table(entries))
  return folder


def change(path, **values):
  """Sets keys of a JSON file; None removes one."""
  with open(path, encoding='utf-8') as file:
    stored = json.load(file)
  for key, value in values.items():
    stored[key] = value
    if value is None:
      del stored[key]
  files.write_json(str(path), stored)


def _entry(folder, arm, labels, seed, classes):
  name = f'{arm}_{labels}_seed{seed}'
  rng = np.random.default_rng([ARMS.index(arm), labels, seed])
  stages = []
  if arm.startswith('contrastive'):
    pretrain = f'pretrain_{labels}_seed{seed}'
    _write_run(os.path.join(folder, pretrain), 'contrastive', rng)
    stages.append(_stage(pretrain, 2 * STEPS, 3.0))
  if arm.endswith('pseudo'):
    made = f'pseudo_{arm}_{labels}_seed{seed}'
    _write_manifest(os.path.join(folder, made), classes)
    stages.append({**_stage(made, 0, 0.5), 'command': 'pseudo_label'})
  stages.append(_stage(name, STEPS, 1.25))
  run = os.path.join(folder, name)
  level = 0.35 + 0.05 * np.log(labels) + _GAIN[arm] + rng.normal(0, 0.012)
  _write_run(run, 'softmax', rng, level)
  _write_result(run, classes, level, rng)
  if seed == 0:
    _write_pictures(run, classes, rng)
    write_features(run, len(classes), _GAIN[arm], rng)
  return {
    'arm': arm,
    'labels': labels,
    'seed': seed,
    'model_dir': name,
    'stages': stages,
    'steps': sum(stage['steps'] for stage in stages),
    'miou': results.read(run)['miou'],
    'minutes': sum(stage['minutes'] for stage in stages),
    'commit': 'abc123',
  }


def _stage(name, steps, minutes):
  return {
    'name': name,
    'command': 'train',
    'model_dir': name,
    'steps': steps,
    'minutes': minutes,
  }


def _write_run(run, kind, rng, level=None):
  os.makedirs(run, exist_ok=True)
  with open(os.path.join(run, 'config.gin'), 'w', encoding='utf-8') as file:
    file.write(f"# Macros:\n# ====\nSTEPS = {STEPS}\nNAME = '<{kind}>'\n\n")
    file.write('trainer.Trainer.steps = %STEPS\n')
  lines = []
  for step in range(10, STEPS + 1, 10):
    loss = 1 + np.exp(-step / 30) + rng.normal(0, 0.03)
    values = {kind: loss, 'loss': loss + 0.1, 'learning_rate': 0.1}
    lines.append({'step': step, 'split': 'train', **values})
    if level is not None and step % 20 == 0:
      miou = level * (1 - np.exp(-step / 40))
      knn = {'knn_miou': 0.9 * miou, 'within_similarity': 0.5 + miou / 2}
      lines.append({'step': step, 'split': 'val', 'miou': miou})
      lines.append({'step': step, 'split': 'embedding', **knn})
  with open(os.path.join(run, 'metrics.jsonl'), 'w', encoding='utf-8') as file:
    file.writelines(json.dumps(line) + '\n' for line in lines)
  results.write_done(run, STEPS)


def _write_result(run, classes, level, rng):
  """Class k is predicted worse as k grows; the last class is absent."""
  count = len(classes)
  matrix = np.zeros([count, count], np.int64)
  for k in range(count - 1):
    right = np.clip(1.3 * level - 0.4 * k / count + rng.normal(0, 0.03), 0, 1)
    pixels = 100_000 // (k + 1)
    wrong = rng.dirichlet(np.ones(count - 1)) * pixels * (1 - right)
    matrix[k, : count - 1] = wrong
    matrix[k, k] += int(pixels * right)
  diagonal = np.diag(matrix)
  union = matrix.sum(0) + matrix.sum(1) - diagonal
  iou = [
    float(d / u) if u else None for d, u in zip(diagonal, union, strict=True)
  ]
  result = {
    'dataset': 'toys',
    'step': STEPS,
    'miou': float(np.mean([v for v in iou if v is not None])),
    'pixel_accuracy': float(diagonal.sum() / matrix.sum()),
    'pixels': int(matrix.sum()),
    'iou': dict(zip(classes, iou, strict=True)),
    'colors': classes,
    'matrix': matrix.tolist(),
  }
  files.write_json(os.path.join(run, run_files.RESULTS), result)


def _write_pictures(run, classes, rng):
  folder = os.path.join(run, 'vis')
  os.makedirs(folder, exist_ok=True)
  colors = np.array(list(classes.values()), np.uint8)
  for name in ('a', 'b'):
    truth = np.arange(64) * len(colors) // 64
    truth = np.tile(truth, (48, 1))
    noisy = np.where(rng.random(truth.shape) < 0.1, 0, truth)
    pictures = {
      'image': rng.integers(0, 255, (48, 64, 3), np.uint8),
      'truth': colors[truth],
      'prediction': colors[noisy],
    }
    for kind, picture in pictures.items():
      Image.fromarray(picture).save(f'{folder}/{name}_{kind}.png')


def write_features(run, classes, apart, rng, per_class=20):
  """Writes what `python -m deeplab_contrast.features` writes."""
  labels = np.repeat(np.arange(classes - 1, dtype=np.int32), per_class)
  centers = rng.normal(0, 1 + 20 * apart, (classes, 8))
  features = centers[labels] + rng.normal(0, 1, (len(labels), 8))
  os.makedirs(os.path.join(run, 'features'), exist_ok=True)
  np.savez(
    os.path.join(run, 'features', 'penultimate.npz'),
    features=features.astype(np.float32),
    labels=labels,
    ids=np.array(['a'] * len(labels)),
    positions=np.zeros([len(labels), 2], np.int32),
    step=np.int64(STEPS),
  )


def _write_manifest(folder, classes):
  names = list(classes)
  manifest = {
    'thresholds': {name: 0.9 - 0.1 * i for i, name in enumerate(names)},
    'coverage': dict.fromkeys(names, 0.5),
    'share_kept': 0.5,
    'images': 12,
    'agreement': {
      'accuracy': 0.875,
      'precision': dict.fromkeys(names[:-1], 0.8),
    },
  }
  files.write_json(os.path.join(folder, 'manifest.json'), manifest)
