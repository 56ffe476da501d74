"""Lists and JSON: descriptions, the files of runs and studies, TF_CONFIG."""

import functools
import json
import os
import pathlib
import shutil
import tempfile
from typing import Any

import numpy as np
from hypothesis import strategies as st

from deeplab_contrast.config import run_folder
from deeplab_contrast.datasets import fingerprints
from deeplab_contrast.distributed import cluster
from deeplab_contrast.export import exported, model_card
from deeplab_contrast.imaging import image_list
from deeplab_contrast.inference import submission
from deeplab_contrast.studies import ledger
from deeplab_contrast.studies.report import gather
from deeplab_contrast.training import best
from deeplab_contrast.utils import files, metrics, run_files
from tests import study_folder
from tools.fuzzing import damage, folders, harness

_STUDY = 'study'
_TF_CONFIG = json.dumps(
  {
    'cluster': {'worker': ['localhost:1234', 'localhost:1235']},
    'task': {'type': 'worker', 'index': 0},
  }
)
_DATA = {
  'train': {
    'datasets': {'toy': 'abc'},
    'examples': 4,
    'ids': 'abc',
    'classes': ['a', 'b'],
  }
}


@functools.cache
def _study():
  """The folder of a finished study."""
  return study_folder.make(
    tempfile.mkdtemp(),
    arms=study_folder.ARMS[1:3],
    budgets=(4,),
    seeds=(0,),
  )


def _of_study(case, folder):
  """What `report` reads."""
  where, damages = case
  copy = folder / _STUDY
  shutil.copytree(_study(), copy)
  texts = [
    p
    for p in sorted(copy.rglob('*'))
    if p.suffix in ('.json', '.jsonl', '.csv', '.gin') or p.name == 'DONE'
  ]
  damage.do(damage.pick(texts, where), damages)
  harness.command(lambda: _gather(str(copy)))


def _gather(folder):
  study = gather.read(folder)
  for entry in study.entries:
    for stage in entry.stages:
      metrics.read(stage.model_dir)


def _of_run(case, folder):
  """What `train`, `eval` and `export_model` read of a run."""
  where, damages = case
  run = folder / 'run'
  (run / 'best').mkdir(parents=True)
  names = {
    run_files.DATA: _DATA,
    run_files.REPLICAS: {'replicas': 1},
    run_files.BEST_SCORE: {
      'step': 3,
      'metric': 'miou',
      'score': 0.5,
      'judged_by': {},
    },
    run_files.ORIGIN: {'weights': 'x', 'licence': 'y'},
    submission.MANIFEST: {'checkpoint': 'x'},
  }
  for name, value in names.items():
    path = run / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
  damage.do(run / damage.pick(sorted(names), where), damages)
  model_dir = str(run)
  for read in (
    lambda: fingerprints.check(model_dir, _DATA),
    lambda: fingerprints.check_classes(model_dir, ['a', 'b']),
    lambda: run_folder._other_replicas(model_dir, 1),
    lambda: best.read(model_dir),
    lambda: best.is_better(model_dir, {'miou': 0.6}, 4),
    lambda: model_card._data(os.path.join(model_dir, run_files.DATA)),
    lambda: submission._claim(model_dir, {'checkpoint': 'x'}),
    lambda: files.read_json(os.path.join(model_dir, run_files.ORIGIN)),
  ):
    harness.command(read)


def _of_labels(case, folder):
  """`assets/labels.json` of an exported model."""
  _, damages = case
  path = folder / 'assets' / exported.DESCRIPTION
  path.parent.mkdir()
  classes = [
    {'id': i, 'name': name, 'color': [i, 2, 3]}
    for i, name in enumerate(('a', 'b'))
  ]
  path.write_text(
    json.dumps({'dataset': 'toy', 'classes': classes, 'crop_size': [33, 33]})
  )
  damage.do(path, damages)

  def describe():
    found = exported.Exported(
      str(folder), '', exported._describe(str(folder), 2), None
    )
    return (
      found.class_names,
      np.asarray(found.colors, np.uint8),
      found.crop_size,
      found.convert,
    )

  harness.command(describe)


def _of_tf_config(case, folder):
  _, damages = case
  path = folder / 'a.json'
  path.write_text(_TF_CONFIG)
  damage.do(path, damages)
  if path.is_file() and not path.is_symlink():
    text = path.read_bytes().decode('utf-8', 'surrogateescape')
    harness.command(lambda: cluster.read(text))


def _of_images(case, folder):
  """The arguments of `predict`."""
  _, damages = case
  (folder / 'in').mkdir()
  (folder / 'in' / 'a.png').write_bytes(b'')
  names = [str(value) for _, _, value in damages]
  names = [name for name in names if '\0' not in name]
  place = os.getcwd()
  os.chdir(folder / 'in')
  try:
    harness.command(lambda: image_list.find([*names, 'a.png'], without='out'))
  finally:
    os.chdir(place)


def _of_times(case, folder):
  """A recipe's own record of times."""
  _, damages = case
  path = folder / 'times'
  path.write_text('["a", 1.5, "abc"]\n["b", 2.5, "abc"]\n')
  damage.do(path, damages)
  if path.is_file() and not path.is_symlink():
    lines = path.read_bytes().decode('utf-8', 'replace').splitlines()
    harness.command(lambda: list(map(ledger._line, lines)))


_WAYS = {
  'description': lambda case, folder: folders.run_list(case, folder),
  'study': _of_study,
  'run': _of_run,
  'labels': _of_labels,
  'TF_CONFIG': _of_tf_config,
  'images': _of_images,
  'times': _of_times,
}


def run(case: Any, folder: pathlib.Path) -> None:
  """Reads one list or JSON file as its command does."""
  way, of_way = case
  _WAYS[way](of_way, folder)


def kinds() -> tuple[harness.Kind, ...]:
  """Lists and JSON."""
  _study()
  where = st.integers(0, 99).map(lambda n: n / 100)
  damages = damage.several(
    damage.BYTES, damage.VALUES, damage.VALUES, damage.TEXTS, damage.FILES
  )
  others = st.tuples(
    st.sampled_from([way for way in _WAYS if way != 'description']),
    st.tuples(where, damages),
  )
  described = st.tuples(st.just('description'), folders.DESCRIPTIONS)
  return (
    harness.Kind(
      'lists',
      1000,
      st.one_of(described, others),
      run,
      'raw_check.check of prepare, gather.read of report, and what train, '
      'eval, export_model, submit and predict read first',
    ),
  )
