"""The command that chooses settings for own data."""

import json
import pathlib
import shutil
from unittest import mock

import pytest
import tensorflow as tf

from deeplab_contrast import configure, launch
from deeplab_contrast.datasets import folder_segmentation
from deeplab_contrast.datasets.preparation import data_facts
from deeplab_contrast.planning import choices, configuring, plan, recipe_file
from deeplab_contrast.studies import stages
from deeplab_contrast.training import adamw
from tests import fixtures

_CLASSES = {'classes': ['a', 'b', 'c']}
_RECIPE = 'deeplab_contrast.studies.stages.Recipe'
_NARROW = ('WIDTH = 0.125', 'FILTERS = 8')


@pytest.fixture(scope='module')
def tree(tmp_path_factory):
  """Own data with a split of images without masks."""
  folder = tmp_path_factory.mktemp('own')
  root = pathlib.Path(
    fixtures.make_folder(folder / 'raw', train=3, val=1, ids=range(3))
  )
  (root / 'images' / 'extra').mkdir()
  for path in list(root.glob('images/train/*')):
    shutil.copy(path, root / 'images' / 'extra' / f'new_{path.name}')
  about = {'name': 'toy', **_CLASSES, 'unlabelled': ['extra']}
  about['allow_equal'] = True
  (root / 'dataset.json').write_text(json.dumps(about))
  return root


@pytest.fixture(scope='module')
def small():
  """Crops of 33, two a step."""
  smaller = {'PROBE_CROP': 33, 'BATCH': 2, 'MOST_BATCH': 2, 'MOST_SCALE': 1.0}
  with mock.patch.multiple(choices, **smaller):
    yield


def _data_dir(tree):
  return str(tree.parent / 'data')


@pytest.fixture(scope='module')
def out(tree, small, tmp_path_factory):
  """The recipe of one arm, as the command writes it without weights."""
  path = str(tmp_path_factory.mktemp('out') / 'mine.gin')
  request = configuring.Request(
    str(tree), path, 5.0, _data_dir(tree), arms=('softmax',)
  )
  configuring.run(request, has_weights=False)
  return path


def _jobs(path, model_dir):
  recipe = launch.parse([path], root=_RECIPE).root
  return stages.plan(recipe, str(model_dir), ())


def test_what_it_writes_trains(out, tree, tmp_path):
  (job,) = _jobs(out, tmp_path)
  short = ('STEPS = 1', 'EVAL_LIMIT = 1', *_NARROW)
  built = launch.parse(
    job.stage.gin_files,
    (*job.bindings, *short),
    settings={'data_dir': _data_dir(tree)},
  )
  experiment = built.root
  assert experiment.trainer.batch_size == 2
  assert experiment.task.class_balance == 0.0
  scores = experiment.fit(tf.distribute.get_strategy(), job.model_dir)
  assert 0 <= scores['miou'] <= 1


@pytest.mark.parametrize('has_weights', [True, False])
def test_every_stage_of_all_arms_builds(has_weights, tree, small, tmp_path):
  dataset = folder_segmentation.Folder(str(tree))
  facts = data_facts.read(dataset, _data_dir(tree))
  assert facts.unlabelled == {'extra': 3}
  cost = plan.Cost(2178, 0.1, 0.01, 5.0, 10**9, 10**8)
  costs = {kind: cost for kinds in choices.KINDS.values() for kind in kinds}
  machine = plan.Machine(1, 10**10, has_weights)
  seen = choices.view(facts, 33)
  judged = plan.Evaluating(1, 65, 0)
  planned = choices.stages(facts, seen, costs, 9, choices.ARMS, judged)
  data = recipe_file.Data(str(tree), str(tree / 'dataset.json'))
  path = tmp_path / 'mine.gin'
  path.write_text(
    recipe_file.text(data, facts, machine, seen, judged, planned, ['Head.'])
  )
  roots = {}
  for job in _jobs(str(path), tmp_path / 'run'):
    # Nothing is tolerated here: a binding without a use would be refused.
    built = launch.parse(job.stage.gin_files, job.bindings)
    roots[job.stage.name] = built.root
  assert list(roots) == ['softmax', 'pretrain', 'finetune', 'consistency']
  for root in roots.values():
    assert root.crop_size == seen.crop
    assert root.trainer.last_layer_gradient_multiplier == (
      choices.NEW_LAYERS if has_weights else 1.0
    )
    assert isinstance(root.trainer.optimizer, adamw.AdamW) == has_weights
    assert (root.trainer.pretrained.source == 'imagenet') == has_weights
  start = roots['finetune'].trainer.warm_start
  assert start.path == str(tmp_path / 'run' / 'pretrain')
  assert roots['consistency'].unlabelled.source.split == 'extra'
  assert roots['softmax'].evaluator.predictor.scales == (seen.scale,)
  assert roots['softmax'].evaluator.predictor.tile_size == 65


def _refusal(capsys, *arguments):
  code = configure.main([*map(str, arguments)])
  error = capsys.readouterr().err.splitlines()[-1]
  assert error.startswith('error: ') and 'Traceback' not in error
  return code, error


def test_files_are_not_overwritten(out, tree, capsys):
  code, error = _refusal(capsys, f'--raw_dir={tree}', f'--out={out}')
  assert code == 2 and 'is there already' in error
  code, error = _refusal(capsys, f'--raw_dir={tree}', '--out=mine.txt')
  assert code == 2 and 'must end in .gin' in error
  code, error = _refusal(capsys, f'--raw_dir={tree}', '--out=no/mine.gin')
  assert code == 5 and 'missing or read-only' in error


def test_a_missing_split_is_reported_before_anything_is_read(tmp_path, capsys):
  root = pathlib.Path(
    fixtures.make_folder(tmp_path / 'raw', train=3, val=1, ids=range(3))
  )
  (root / 'dataset.json').write_text(json.dumps({'name': 'toy', **_CLASSES}))
  for kind in ('images', 'masks'):
    (root / kind / 'val').rename(root / kind / 'holdout')
  code, error = _refusal(
    capsys,
    f'--raw_dir={root}',
    f'--data_dir={tmp_path}/data',
    f'--out={tmp_path}/mine.gin',
  )
  assert code == 3
  assert 'toy has no split val, only holdout, train: name one in' in error
  assert not (tmp_path / 'data').exists()


@pytest.mark.parametrize(
  ('free', 'use'),
  [(0, 'the prepared images need'), (10**6, 'checkpoints of the recipe need')],
)
def test_a_full_disk_is_reported(
  free, use, tree, small, tmp_path, monkeypatch, capsys
):
  usage = shutil.disk_usage(tmp_path)._replace(free=free)
  monkeypatch.setattr(shutil, 'disk_usage', lambda _: usage)
  code, error = _refusal(
    capsys,
    f'--raw_dir={tree}',
    f'--data_dir={tmp_path}/data',
    f'--out={tmp_path}/mine.gin',
    '--arms=softmax',
  )
  assert code == 5 and '0.00 GB free' in error and use in error
  assert not (tmp_path / 'mine.gin').exists()


@pytest.mark.parametrize('minutes', ['0', '-1', 'nan', 'ten'])
def test_minutes_are_a_number(minutes, capsys):
  with pytest.raises(SystemExit) as ended:
    configure.main(['--raw_dir=x', '--out=y.gin', f'--minutes={minutes}'])
  assert ended.value.code == 2
  capsys.readouterr()
