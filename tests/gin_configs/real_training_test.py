"""Experiments of gin_configs train, on mini datasets and shrunk."""

import contextlib
import io
import math

import pytest
import tensorflow as tf

from deeplab_contrast import launch
from deeplab_contrast.inference import crops
from deeplab_contrast.training import checkpoints
from deeplab_contrast.utils import metrics
from tests import fixtures
from tests.gin_configs import experiments

# What the mini datasets are too small for.
_FEW = ('LABELS = 2',)


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
  """Mini trees where they are found without a root."""
  folder = tmp_path_factory.mktemp('data')
  fixtures.make_voc(folder / 'downloads' / 'manual')
  fixtures.make_cityscapes(folder / 'downloads' / 'manual')
  fixtures.make_folder(folder / 'downloads' / 'manual' / 'camvid')
  return str(folder)


@pytest.fixture(scope='module')
def trained(data_dir, tmp_path_factory):
  """Maps an experiment to the (model_dir, scores, text) of its two steps.

  Those that differ in numbers of labels or steps alone are trained once.
  """
  done = {}

  def train(name, network=()):
    first = experiments.STARTS_FROM.get(name)
    init = train(first, network)[0] if first else None
    built = experiments.parse(
      name,
      experiments.TINY,
      init=init,
      bindings=(*_FEW, *network),
      data_dir=data_dir,
    )
    if built.config not in done:
      model_dir = str(tmp_path_factory.mktemp('run'))
      with contextlib.redirect_stdout(io.StringIO()) as printed:
        scores = built.root.fit(tf.distribute.get_strategy(), model_dir)
      done[built.config] = model_dir, scores, printed.getvalue()
    return done[built.config]

  return train


def _mark(name):
  is_slow = name not in experiments.QUICK
  return pytest.param(name, marks=[pytest.mark.slow] if is_slow else [])


@pytest.mark.parametrize('name', map(_mark, experiments.TRAINED))
def test_two_real_steps(name, trained):
  # The paper's network takes a minute; one experiment has it.
  is_deep = name == 'cityscapes/softmax_scratch_596.gin'
  network = () if is_deep else experiments.SHALLOW
  first = experiments.STARTS_FROM.get(name)
  init = trained(first, network)[0] if first else None
  model_dir, scores, printed = trained(name, network)
  assert ('Starting from' in printed) == (first is not None)
  start = init and f'Starting from {checkpoints.path_of(init, 2)}'
  assert init is None or start in printed
  lines = metrics.read(model_dir)
  losses = {x['step']: x['loss'] for x in lines if x['split'] == 'train'}
  assert list(losses) == [1, 2]
  assert all(map(math.isfinite, losses.values()))
  newest = checkpoints.list_checkpoints(f'{model_dir}/checkpoints')[0]
  assert checkpoints.step_of(newest) == 2
  if 'contrastive' in name:
    judged = [x for x in lines if x['split'] == 'embedding']
    assert [x['step'] for x in judged] == [0, 2]
    assert set(judged[0]) - {'step', 'split'} == {
      'within_similarity',
      'between_similarity',
      'knn_miou',
      'probe_miou',
    }
    assert -1 <= scores['within_similarity'] <= 1
    assert scores['fit_images'] == scores['judged_images'] == 1
  else:
    assert 0 <= scores['miou'] <= 1
    assert scores['pixels'] > 0


@pytest.mark.parametrize('name', map(_mark, experiments.TRAINED))
def test_its_crops_can_be_looked_at(name, data_dir):
  # INIT stays open: nothing is trained.
  files = [f'gin_configs/{name}', experiments.TINY]
  settings = {'data_dir': data_dir}
  experiment = launch.parse(
    files, _FEW, settings=settings, not_needed=('INIT',)
  ).root
  seen = crops.collect(experiment, 2)
  info = experiment.train.source.info
  of_both = 'contrastive' in name and 'one_view' not in name
  assert len(seen[0].views) == 1 + of_both
  small = ('camvid/', 'voc2012_small/')
  is_fine = 'stride4' in name or (
    name.startswith(small) and 'contrastive' in name
  )
  cells = 17 if is_fine else 9 if 'contrastive' in name else 65
  assert seen[0].loss_label.shape == (cells, cells)
  assert crops.draw(seen, info).width > 256
  assert 'padding' in crops.table(seen, info)
