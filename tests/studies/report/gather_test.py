import json
import os
import pathlib

import pytest

from deeplab_contrast.studies.report import files, gather
from deeplab_contrast.utils import errors, results, run_files
from deeplab_contrast.utils import files as files_lib
from tests import study_folder


@pytest.fixture
def folder(tmp_path):
  return pathlib.Path(study_folder.make(tmp_path / 'study'))


def refuse(folder, *sentences):
  """Reading ends with one sentence that contains these parts."""
  with pytest.raises(errors.DataError) as caught:
    gather.read(str(folder))
  told = str(caught.value)
  assert '\n' not in told
  for sentence in sentences:
    assert sentence in told


def test_a_study_is_read(folder):
  study = gather.read(str(folder))
  assert (study.dataset, study.commit) == ('toys', 'abc123')
  assert study.arms == ['softmax', 'contrastive']
  assert (study.budgets, study.extremes) == ([4, 40], [4, 40])
  assert (study.seeds, study.planned) == ([0, 1], 8)
  assert study.equal_steps is True
  assert study.notes == ()
  first, second = study.of('contrastive', 4)
  assert (first.seed, second.seed) == (0, 1)
  assert [(s.name, s.steps) for s in first.stages] == [
    ('pretrain_4_seed0', 200),
    ('contrastive_4_seed0', 100),
  ]
  assert first.model_dir == str(folder / 'contrastive_4_seed0')
  assert first.result == results.read(first.model_dir)


def test_arms_have_a_fixed_order(tmp_path):
  arms = ('contrastive_pseudo', 'softmax')
  study = gather.read(study_folder.make(tmp_path, arms))
  assert study.arms == ['softmax', 'contrastive_pseudo']


def test_an_unfinished_study_says_so(folder):
  study_folder.change(folder / 'study.json', planned=12)
  (note,) = gather.read(str(folder)).notes
  assert note == 'The study is not finished: 8 of 12 runs are shown.'


def test_equal_steps_follow_from_the_entries(folder):
  study_folder.change(folder / 'study.json', equal_steps=None)
  assert gather.read(str(folder)).equal_steps is False
  entries = json.loads((folder / 'study.json').read_text())['entries']
  same = [{**entry, 'steps': 7} for entry in entries]
  study_folder.change(folder / 'study.json', entries=same)
  assert gather.read(str(folder)).equal_steps is True
  unknown = [{**entry, 'steps': None} for entry in entries]
  study_folder.change(folder / 'study.json', entries=unknown)
  assert gather.read(str(folder)).equal_steps is None


def test_another_table_is_noted(folder):
  table = folder / 'results.csv'
  lines = table.read_text().splitlines()
  cells = lines[1].split(',')
  cells[lines[0].split(',').index('miou')] = '0.987'
  table.write_text('\n'.join([lines[0], ','.join(cells), *lines[2:]]) + '\n')
  (note,) = gather.read(str(folder)).notes
  assert 'results.csv differs from the evaluations' in note
  assert 'softmax with 4 labels, seed 0' in note
  table.unlink()
  assert gather.read(str(folder)).notes == ()


def test_a_run_that_was_evaluated_differently_is_noted(folder):
  how = {'judged_by': {'scales': [0.5, 1.0]}}
  study_folder.change(folder / 'softmax_4_seed1' / run_files.RESULTS, **how)
  assert gather.read(str(folder)).notes == (
    'softmax with 4 labels, seed 1: evaluated differently from the rest '
    '(judged_by in eval/results.json), so their numbers are not comparable.',
  )


def test_folders_without_results_are_refused(tmp_path):
  refuse(tmp_path / 'nowhere', 'There is no folder', 'nowhere')
  refuse(tmp_path, 'neither study.json nor results.json', 'nothing is finished')
  path = tmp_path / 'study.json'
  study = {'dataset': 'toys', 'planned': 16, 'entries': []}
  files_lib.write_json(str(path), study)
  refuse(tmp_path, 'names no finished run yet (0 of 16)')


@pytest.mark.parametrize(
  ('text', 'sentence'),
  [
    ('{"dataset": "toys", "entr', 'study.json is damaged'),
    ('[1, 2]', 'it is a list, not a dict'),
    ('{"entries": []}', "'dataset' is missing"),
    ('{"dataset": "toys"}', "'entries' is missing"),
    ('{"dataset": "toys", "entries": 3}', "'entries' is 3"),
    ('{"dataset": "toys", "entries": [3]}', 'entry 1 is damaged'),
    ('{"dataset": "toys", "entries": [{}]}', "'model_dir' is missing"),
  ],
)
def test_a_damaged_study_is_refused(tmp_path, text, sentence):
  (tmp_path / 'study.json').write_text(text)
  refuse(tmp_path, sentence, 'study.json')


@pytest.mark.parametrize(
  ('key', 'value', 'sentence'),
  [
    ('arm', 7, "entry 1 is damaged ('arm' is 7)"),
    ('labels', '46', "'labels' is '46'"),
    ('seed', None, "'seed' is None"),
    ('seed', True, "'seed' is True"),
    ('stages', [{'name': 'a'}], "'command' is missing"),
    ('model_dir', 'elsewhere', 'has no eval/results.json'),
  ],
)
def test_a_damaged_entry_is_refused(folder, key, value, sentence):
  entries = json.loads((folder / 'study.json').read_text())['entries']
  entries[0][key] = value
  study_folder.change(folder / 'study.json', entries=entries)
  refuse(folder, 'study.json', sentence)


@pytest.mark.parametrize(
  ('values', 'sentence'),
  [
    ({'iou': None}, "'iou' is missing"),
    ({'matrix': [[1]]}, 'not of the same classes'),
    ({'colors': {'road': [0, 0, 0]}}, 'not of the same classes'),
    ({'miou': 'high'}, "'miou' is 'high'"),
  ],
)
def test_a_damaged_evaluation_is_refused(folder, values, sentence):
  path = folder / 'softmax_4_seed0' / 'eval' / 'results.json'
  study_folder.change(path, **values)
  refuse(folder, str(path), sentence)


def test_a_damaged_table_is_refused(folder):
  table = folder / 'results.csv'
  whole = table.read_text()
  cut = whole[: len(whole) - 30]
  for text in (cut, 'a,b\n1,2\n', whole.replace('softmax,4,', 'softmax,4x,')):
    table.write_text(text)
    refuse(folder, 'results.csv is damaged (line ')
  table.write_bytes(b'arm\xff\xfe\n')
  refuse(folder, 'results.csv is damaged')


def test_runs_of_different_classes_are_refused(folder, tmp_path):
  other = study_folder.make(
    tmp_path / 'other', classes={'x': (0,) * 3, 'y': (9,) * 3}
  )
  run = folder / 'softmax_4_seed1' / 'eval' / 'results.json'
  theirs = pathlib.Path(other) / 'softmax_4_seed1' / 'eval' / 'results.json'
  run.write_text(theirs.read_text())
  refuse(folder, 'were evaluated on different classes', 'softmax_4_seed1')


def as_recipe(folder, **arm):
  """Turns a study into a recipe that was written in another place."""
  (folder / 'study.json').unlink()
  (folder / 'results.csv').unlink()
  arms = [
    {
      'arm': name,
      'seeds': [{'seed': 0, 'model_dir': f'elsewhere/x/{name}_4_seed0'}],
      **arm,
    }
    for name in ('softmax', 'contrastive')
  ]
  files_lib.write_json(str(folder / 'results.json'), {'arms': arms})
  config = folder / 'contrastive_4_seed0' / 'config.gin'
  config.write_text("# Macros:\nINIT = 'elsewhere/x/pretrain_4_seed0'\n")
  os.remove(folder / 'softmax_4_seed0' / 'DONE')


def test_a_recipe_is_read(folder):
  as_recipe(folder)
  data = folder / 'contrastive_4_seed0' / 'data.json'
  data.write_text('{"train": {"examples": 4}}')
  study = gather.read(str(folder))
  softmax, contrastive = study.entries
  assert (study.dataset, study.commit, study.planned) == ('toys', 'unknown', 2)
  assert study.equal_steps is None
  assert (softmax.labels, contrastive.labels) == (None, 4)
  assert study.budgets == [4, None]
  # What it starts from counts; no DONE, no steps.
  names = [s.name for s in contrastive.stages]
  assert names == ['pretrain_4_seed0', 'contrastive_4_seed0']
  assert (softmax.steps, contrastive.steps) == (None, 200)
  assert contrastive.model_dir == str(folder / 'contrastive_4_seed0')
  assert contrastive.minutes is None


def test_a_recipe_may_tell_the_labels_itself(folder):
  as_recipe(folder, labels=4)
  assert gather.read(str(folder)).budgets == [4]


def test_a_damaged_recipe_is_refused(folder):
  as_recipe(folder)
  study_folder.change(folder / 'results.json', arms=[{'arm': 'softmax'}])
  refuse(folder, 'results.json', "'seeds' is missing")


def test_a_run_that_starts_from_itself_ends(folder):
  as_recipe(folder)
  config = folder / 'pretrain_4_seed0' / 'config.gin'
  config.write_text("INIT = 'x/contrastive_4_seed0'\n")
  _, contrastive = gather.read(str(folder)).entries
  assert len(contrastive.stages) == 2


def test_metrics_leave_out_what_is_no_line(tmp_path):
  path = tmp_path / 'metrics.jsonl'
  path.write_text('{"step": 1, "split": "val"}\n7\n{"split": "val"}\n{"st')
  assert files.metrics(str(tmp_path)) == [{'step': 1, 'split': 'val'}]
  path.write_bytes(b'\xff\xfe')
  assert files.metrics(str(tmp_path)) == []


@pytest.mark.parametrize(
  ('text', 'sentence'),
  [
    ('{', 'manifest.json is damaged'),
    ('{"thresholds": {}}', "'coverage' is not a dict"),
    (
      '{"thresholds": {}, "coverage": {}, "agreement": 3}',
      "'agreement' is 3",
    ),
  ],
)
def test_a_damaged_manifest_is_refused(tmp_path, text, sentence):
  (tmp_path / 'manifest.json').write_text(text)
  with pytest.raises(errors.DataError, match=sentence):
    files.manifest(gather.Stage('a', 'pseudo_label', str(tmp_path)))


def test_macros_are_those_of_the_configuration():
  text = "# Macros:\nSTEPS = 9\nNAME = 'a = b'\n\nx.Y.steps = %STEPS\n"
  assert files.macros(text) == {'STEPS': '9', 'NAME': "'a = b'"}
