"""Every file of gin_configs parses, says what the paper says, and trains."""

import contextlib
import functools
import io
import math
import pathlib
import re

import numpy as np
import pytest
import tensorflow as tf

from deeplab_contrast import launch
from deeplab_contrast.config import gin_text, run_folder
from deeplab_contrast.core.losses import pixel_contrast
from deeplab_contrast.core.network import heads
from deeplab_contrast.datasets import sources, transforms
from deeplab_contrast.inference import crops, whole_images
from deeplab_contrast.inference.embedding_judge import EmbeddingJudge
from deeplab_contrast.studies import stages
from deeplab_contrast.tasks import contrastive, softmax
from deeplab_contrast.training import checkpoints, writers
from deeplab_contrast.utils import errors
from tests import fixtures
from tests.datasets import in_memory

FOLDER = pathlib.Path(gin_text.OURS, 'gin_configs')
RECIPE = 'deeplab_contrast.studies.stages.Recipe'
TINY = 'gin_configs/tiny.gin'

FILES = sorted(p.relative_to(FOLDER).as_posix() for p in FOLDER.rglob('*.gin'))
RECIPES = [
  n for n in FILES if n.startswith(('recipes/', 'studies/', 'quickstart'))
]
LABELER = 'deeplab_contrast.inference.pseudo_labeler.PseudoLabeler'


def _is_experiment(name):
  """Whether the comment of a file says how to train with it."""
  command = f'deeplab_contrast.train --gin_file=gin_configs/{name} '
  return command in (FOLDER / name).read_text()


EXPERIMENTS = [name for name in FILES if _is_experiment(name)]

# One of each kind; the others take the same path.
_QUICK = (
  'voc2012/contrastive_pretrain.gin',
  'voc2012/softmax_scratch.gin',
)

# Those that are trained: every task, start, kind of crop and data set once. The
# others differ from one of these in numbers alone, which their own tests read,
# or are the commands' usual experiment (scenes).
_TRAINED = (
  *_QUICK,
  'camvid/softmax_finetune.gin',
  'cityscapes/contrastive_cross_image_596.gin',
  'cityscapes/softmax_scratch_596.gin',
  'original/voc2012_trainval.gin',
  'voc2012/contrastive_batch_2118.gin',
  'voc2012/contrastive_one_view_2118.gin',
  'voc2012/contrastive_stride4_2118.gin',
  'voc2012_small/contrastive_pretrain.gin',
)

_NARROW = ('WIDTH = 0.125', 'FILTERS = 16')

# What the mini datasets are too small for.
_FEW = ('LABELS = 2',)
_FEW_SCENES = ('scenes.Scenes.train = 4', 'scenes.Scenes.val = 2')

# What the paper says: labels, learning rate, steps. Pretraining always takes
# 300K; the others depend on the number of labels, see `_is_long`.
_PAPER = {
  'voc2012/contrastive_pretrain.gin': (10582, 0.1, 300_000),
  'voc2012/contrastive_pretrain_2118.gin': (2118, 0.1, 300_000),
  'voc2012/contrastive_batch_2118.gin': (2118, 0.1, 300_000),
  'voc2012/contrastive_cross_image_2118.gin': (2118, 0.1, 300_000),
  'voc2012/contrastive_one_view_2118.gin': (2118, 0.1, 300_000),
  'voc2012/contrastive_stride4_2118.gin': (2118, 0.1, 300_000),
  'voc2012/softmax_finetune.gin': (10582, 0.007, 300_000),
  'voc2012/softmax_finetune_2118.gin': (2118, 0.007, 50_000),
  'voc2012/softmax_scratch.gin': (10582, 0.03, 600_000),
  'voc2012/softmax_scratch_2118.gin': (2118, 0.03, 300_000),
  'cityscapes/contrastive_pretrain.gin': (2975, 0.1, 300_000),
  'cityscapes/contrastive_pretrain_596.gin': (596, 0.1, 300_000),
  'cityscapes/contrastive_batch_596.gin': (596, 0.1, 300_000),
  'cityscapes/contrastive_cross_image_596.gin': (596, 0.1, 300_000),
  'cityscapes/contrastive_one_view_596.gin': (596, 0.1, 300_000),
  'cityscapes/softmax_finetune.gin': (2975, 0.007, 300_000),
  'cityscapes/softmax_finetune_596.gin': (596, 0.007, 50_000),
  'cityscapes/softmax_scratch.gin': (2975, 0.03, 600_000),
  'cityscapes/softmax_scratch_596.gin': (596, 0.03, 300_000),
}
_ALL_LABELS = {'voc2012': 10582, 'cityscapes': 2975}


def _is_long(name, labels):
  """The paper's rule for how long softmax training lasts."""
  return labels > {'voc2012': 2500, 'cityscapes': 1000}[name.partition('/')[0]]


# Experiments that start from a run: which one's tiny double will do.
_STARTS_FROM = {
  'original/voc2012_train_aug.gin': 'voc2012/contrastive_pretrain.gin',
  'original/voc2012_trainval.gin': 'original/voc2012_train_aug.gin',
} | {
  name: f'{name.partition("/")[0]}/contrastive_pretrain.gin'
  for name in EXPERIMENTS
  if 'finetune' in name
}


def _parse(name, *overlays, init='INIT', bindings=(), **settings):
  """Builds an experiment; INIT is given to those that start from a run."""
  text = [f'INIT = {str(init)!r}'] if name in _STARTS_FROM else []
  files = [f'gin_configs/{name}', *overlays]
  return launch.parse(files, (*bindings, *text), settings=settings)


@functools.cache
def _paper(name):
  """An experiment of the paper as it stands."""
  return _parse(name)


def _macros(built):
  """{name: value} of the macros that a configuration uses."""
  operative = gin_text.read_text(built.config, 'config.gin', allowed=None)
  return {b.parameter: b.value for b in operative.bindings if not b.selector}


def test_no_experiment_is_forgotten():
  of_paper = {n for n in FILES if n.startswith(('voc2012/', 'cityscapes/'))}
  of_paper.remove('voc2012/pseudo_label.gin')
  assert of_paper == set(_PAPER)
  assert of_paper <= set(EXPERIMENTS)
  assert set(_QUICK) <= of_paper
  assert set(_TRAINED) <= set(EXPERIMENTS)
  assert 'quickstart.gin' in RECIPES


@pytest.mark.parametrize('name', FILES)
def test_comments_name_files_that_are_there(name):
  text = (FOLDER / name).read_text()
  for mentioned in re.findall(r'gin_configs/[\w/]+\.gin', text):
    assert (FOLDER.parent / mentioned).is_file()
  for neighbor in re.findall(r'Feeds (\S+\.gin)', text):
    assert (FOLDER / name).with_name(neighbor).is_file()


@pytest.mark.parametrize('name', sorted(_PAPER))
def test_the_numbers_are_those_of_the_paper(name):
  labels, rate, steps = _PAPER[name]
  experiment = _paper(name).root
  trainer = experiment.trainer
  assert (trainer.steps, trainer.batch_size) == (steps, 16)
  assert trainer.weight_decay == 4e-5
  optimizer = trainer.optimizer
  assert (type(optimizer).__name__, optimizer.momentum) == ('SGD', 0.9)
  assert not optimizer.nesterov
  # Cosine decay from `rate` to 0 over all steps.
  fractions = np.array([0, 0.25, 1])
  rates = [trainer.learning_rate_at(step) for step in fractions * steps]
  expected = rate * (1 + np.cos(np.pi * fractions)) / 2
  np.testing.assert_allclose(rates, expected, atol=1e-7)
  budget = experiment.train.source
  count = budget.count or _ALL_LABELS[name.partition('/')[0]]
  assert count == labels
  assert _macros(_paper(name))['PRECISION'] == 'float32'


@pytest.mark.parametrize(
  'name', sorted(name for name in _PAPER if 'softmax' in name)
)
def test_softmax_training_lasts_as_the_paper_rules(name):
  steps = _paper(name).root.trainer.steps
  short, long = (50, 300) if 'finetune' in name else (300, 600)
  labels = _PAPER[name][0]
  assert steps == 1000 * (long if _is_long(name, labels) else short)


def _loss_of(name):
  if 'cross_image' in name:
    return pixel_contrast.CrossImage(0.07)
  if 'batch' in name:
    return pixel_contrast.Batch(0.07, sample=10_000)
  return pixel_contrast.WithinImage(0.07)


@pytest.mark.parametrize('name', sorted(_PAPER))
def test_the_network_and_the_augmentation_are_those_of_the_paper(name):
  experiment = _paper(name).root
  assert experiment.model.trunk.backbone.output_stride == 16
  macros = _macros(_paper(name))
  assert macros['BACKBONE'] == 'resnet_v1_50_beta'
  assert (macros['WIDTH'], macros['FILTERS']) == (1.0, 256)
  assert macros['BATCH_NORM_DECAY'] == 0.9997
  steps = {type(step): step for step in experiment.train.transforms}
  order = [transforms.Decode, transforms.RandomScale, transforms.Pad]
  order += [transforms.RandomCrop, transforms.RandomFlip]
  assert list(steps)[:5] == order
  assert steps[transforms.RandomScale] == transforms.RandomScale(0.5, 2.0, 0.25)
  assert steps[transforms.Pad].size == (513, 513)
  assert steps[transforms.RandomCrop].size == (513, 513)
  assert steps[transforms.RandomFlip].probability == 0.5
  if 'contrastive' in name:
    assert isinstance(experiment.task, contrastive.Contrastive)
    assert experiment.task.loss == _loss_of(name)
    assert isinstance(experiment.model.head, heads.Projection)
    scale = 1.0 if 'stride4' in name else 0.5
    assert experiment.model.head.scale == scale
    if 'one_view' in name:
      assert experiment.task.views == 1
      assert transforms.TwoViews not in steps
      return
    twins = steps[transforms.TwoViews]
    assert twins.distortion.strength == 1.0
    assert not twins.distort_first
  else:
    assert isinstance(experiment.task, softmax.Softmax)
    assert transforms.BrightnessContrast in steps
  start = experiment.trainer.warm_start
  assert (start is not None) == ('finetune' in name)
  assert start is None or start.parts == ('trunk',)


@pytest.mark.parametrize('name', sorted(_PAPER))
def test_the_splits_are_those_of_the_paper(name):
  experiment = _paper(name).root
  folder = name.partition('/')[0]
  split, size, classes = {
    'voc2012': ('train_aug', (513, 513), 21),
    'cityscapes': ('train', (1025, 2049), 19),
  }[folder]
  assert experiment.train.source.source.split == split
  assert isinstance(experiment.train.source, sources.LabelBudget)
  assert experiment.eval_source.split == 'val'
  assert experiment.evaluator.crop_size == size
  assert experiment.evaluator.limit is None
  assert experiment.evaluator.predictor.scales == (1.0,)
  assert experiment.eval_source.info.num_classes == classes


@pytest.mark.parametrize('name', EXPERIMENTS)
def test_pretraining_is_judged_by_its_features(name):
  judge = _parse(name).root.embedding_judge
  assert judge == (EmbeddingJudge() if 'contrastive' in name else None)


def test_the_judge_of_pretraining_can_be_exchanged_and_switched_off(tmp_path):
  name = 'scenes/contrastive_pretrain.gin'
  no_judge = 'experiment.Experiment.embedding_judge = None'
  off = _parse(name, bindings=(no_judge,)).root
  assert off.embedding_judge is None
  kind = 'embedding_judge.EmbeddingJudge'
  held_out = (
    f'{kind}.images = 32',
    f'{kind}.source = @sources.Complement()',
    'sources.Complement.budget = @train/sources.LabelBudget()',
  )
  judging = _parse(name, bindings=held_out)
  root = judging.root
  assert root.embedding_judge.images == 32
  assert root.embedding_judge.source.budget == root.train.source
  # None of it changes what is learnt: a run may go on with another one.
  settings = (no_judge, f'{kind}.images = 32')
  stored = _parse(name).config
  # What a run has stored can be overlaid like the files it came from.
  path = tmp_path / 'config.gin'
  path.write_text(stored)
  again = launch.parse([str(path)], held_out).root
  assert again.embedding_judge == root.embedding_judge
  for binding in settings:
    given = _parse(name, bindings=(binding,)).config
    assert not run_folder.differences(stored, given)
    assert not run_folder.differences(given, stored)


@pytest.mark.parametrize('name', EXPERIMENTS)
def test_the_tiny_overlay_shrinks_any_experiment(name):
  built = _parse(name, TINY)
  experiment, trainer = built.root, built.root.trainer
  assert (trainer.steps, trainer.batch_size) == (2, 2)
  sizes = {
    step.size for step in experiment.train.transforms if hasattr(step, 'size')
  }
  assert sizes == {(65, 65)}
  assert experiment.evaluator.limit == 2
  macros = _macros(built)
  assert (macros['WIDTH'], macros['FILTERS']) == (0.125, 16)


@pytest.mark.parametrize(
  'name', ['voc2012/softmax_scratch.gin', 'voc2012/contrastive_pretrain.gin']
)
def test_any_experiment_may_start_from_an_imagenet_backbone(name):
  overlay = 'gin_configs/tasks/imagenet_backbone.gin'
  experiment = _parse(name, overlay, bindings=("INIT = 'runs/imagenet'",)).root
  start = checkpoints.WarmStart('runs/imagenet', ('backbone',))
  assert experiment.trainer.warm_start == start
  with pytest.raises(errors.ConfigError, match='INIT'):
    _parse(name, overlay)


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

  Those that differ in the number of labels or steps alone are one, so small.
  """
  done = {}

  def train(name, network=()):
    first = _STARTS_FROM.get(name)
    init = train(first, network)[0] if first else None
    few = _FEW + (_FEW_SCENES if name.startswith('scenes/') else ())
    built = _parse(
      name, TINY, init=init, bindings=(*few, *network), data_dir=data_dir
    )
    if built.config not in done:
      model_dir = str(tmp_path_factory.mktemp('run'))
      with contextlib.redirect_stdout(io.StringIO()) as printed:
        scores = built.root.fit(tf.distribute.get_strategy(), model_dir)
      done[built.config] = model_dir, scores, printed.getvalue()
    return done[built.config]

  return train


def _mark(name):
  is_slow = name not in _QUICK
  return pytest.param(name, marks=[pytest.mark.slow] if is_slow else [])


@pytest.mark.parametrize('name', map(_mark, _TRAINED))
def test_two_real_steps(name, trained):
  # The paper's network takes a minute; one experiment has it.
  is_deep = name == 'cityscapes/softmax_scratch_596.gin'
  shallow = ("BACKBONE = 'resnet_v1_18_beta'", 'MULTI_GRID = None')
  network = () if is_deep else shallow
  first = _STARTS_FROM.get(name)
  init = trained(first, network)[0] if first else None
  model_dir, scores, printed = trained(name, network)
  assert ('Starting from' in printed) == (first is not None)
  assert init is None or f'Starting from {init}/checkpoints/ckpt-2' in printed
  lines = writers.read_metrics(model_dir)
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


@pytest.mark.parametrize('name', map(_mark, _TRAINED))
def test_its_crops_can_be_looked_at(name, data_dir):
  few = _FEW + (_FEW_SCENES if name.startswith('scenes/') else ())
  # INIT stays open: nothing is trained.
  files = [f'gin_configs/{name}', TINY]
  settings = {'data_dir': data_dir}
  experiment = launch.parse(
    files, few, settings=settings, not_needed=('INIT',)
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


# Budgets and sources, laid over experiments.

OVERLAYS = [n for n in FILES if n.startswith('budgets/')]

_PSEUDO = "PSEUDO_LABELS = 'labels'"


def _experiment_of(overlay):
  """Some experiment of the dataset of a budget."""
  dataset = overlay.partition('/')[2].partition('_')[0]
  return f'{dataset}/softmax_scratch.gin'


@pytest.mark.parametrize(
  'name',
  # Those of keras-cv are not the original's, which pads with the value that its
  # normalization maps to 0; deeplab_v3_plus is only a part.
  [
    name
    for name in FILES
    if name.startswith('models/')
    and 'keras_cv' not in name
    and name != 'models/deeplab_v3_plus.gin'
  ],
)
def test_images_are_padded_with_what_the_network_takes_for_zero(name):
  overlay = f'gin_configs/{name}'
  for experiment in (
    'voc2012/softmax_scratch.gin',
    'original/voc2012_train_aug.gin',
  ):
    root = _parse(experiment, overlay, bindings=_NARROW).root
    pixel = np.broadcast_to(np.float32(root.pad_pixel), [1, 1, 1, 3])
    zero = root.model.trunk.backbone.normalize(tf.constant(pixel))
    np.testing.assert_allclose(zero, np.zeros_like(pixel), atol=1e-5)


def test_what_judges_is_padded_as_in_training():
  overlay = 'gin_configs/models/resnet_v1_50.gin'
  bindings = (*_NARROW, 'EVAL_CROP = (17, 33)')
  root = _parse('voc2012/softmax_scratch.gin', overlay, bindings=bindings).root
  labels = [np.zeros(size, np.uint8) for size in ((9, 9), (17, 33))]
  examples = in_memory.Painted('ab', labels)
  batch = next(iter(whole_images.of(root, examples).batches(1)))
  image = batch['image'][0].numpy()
  assert image.shape == (17, 33, 3)
  assert np.all(image[9:] == np.float32((123.15, 115.9, 103.06)))
  assert np.all(image[:, 9:] == np.float32((123.15, 115.9, 103.06)))


def test_the_budgets_of_the_paper_are_there():
  budgets = {n.removeprefix('budgets/').removesuffix('.gin') for n in OVERLAYS}
  voc = {f'voc2012_{n}' for n in (529, 1059, 2118, 5295, 10582)}
  assert voc | {'cityscapes_596', 'cityscapes_2975'} <= budgets


@pytest.mark.parametrize('overlay', OVERLAYS)
def test_a_budget_lies_over_its_dataset(overlay):
  built = _parse(_experiment_of(overlay), f'gin_configs/{overlay}')
  count = int(overlay.rpartition('_')[2].removesuffix('.gin'))
  budget = built.root.train.source
  assert (budget.count, budget.seed, budget.balanced) == (count, 0, False)
  assert f'{count:,} labelled images' in (FOLDER / overlay).read_text()


@pytest.mark.parametrize('dataset', ['voc2012', 'cityscapes', 'scenes'])
def test_other_ways_to_choose_labels(dataset):
  name = f'{dataset}/softmax_scratch.gin'
  fraction = _parse(name, bindings=('LABELS = 0.2', 'BALANCED = True'))
  budget = fraction.root.train.source
  assert (budget.count, budget.balanced) == (0.2, True)
  listed = _parse(name, bindings=('LABELS = None', "LABEL_LIST = 'a.txt'"))
  assert listed.root.train.source.ids_file == 'a.txt'


@pytest.mark.parametrize('kind', ['pseudo_labelled', 'mixture'])
@pytest.mark.parametrize(
  'name',
  ['voc2012/contrastive_pretrain_2118.gin', 'scenes/softmax_scratch.gin'],
)
def test_pseudo_labels_lie_over_any_experiment(kind, name, tmp_path):
  overlay = f'gin_configs/sources/{kind}.gin'
  built = _parse(name, overlay, bindings=(_PSEUDO,))
  source = built.root.train.source
  labelled, pseudo = source.sources
  assert pseudo.source.budget == labelled == _parse(name).root.train.source
  assert pseudo.folder == 'labels'
  if kind == 'mixture':
    assert source.proportions == (1, 1)
  # What a run stores is read back as the same.
  path = tmp_path / 'config.gin'
  path.write_text(built.config)
  assert launch.parse([str(path)]).root.train.source == source


def _imagenet(job):
  """Where a stage starts that starts from no other stage."""
  overlay = 'gin_configs/tasks/imagenet_backbone.gin'
  return 'runs/imagenet' if overlay in job.stage.gin_files else None


def _kinds(jobs):
  """Without those that differ from others in the number of labels alone."""
  return {(job.stage.gin_files, job.stage.arm): job for job in jobs}.values()


def _own_data(folder):
  """Bindings that name a description of own data, without files."""
  (folder / 'dataset.json').write_text('{"name": "my", "classes": ["a", "b"]}')
  return (f"OWN_DATA = '{folder}'",)


def test_own_data_lie_over_the_experiments_of_camvid(tmp_path):
  own = _own_data(tmp_path)
  for name in [n for n in EXPERIMENTS if n.startswith('camvid/')]:
    built = _parse(name, 'gin_configs/datasets/own.gin', bindings=own)
    assert built.root.train.source.info.class_names == ('a', 'b')
    assert built.root.eval_source.info.name == 'my'
    assert built.root.evaluator.crop_size is None


def test_own_images_without_labels_are_a_source(tmp_path):
  own = _own_data(tmp_path)
  built = _parse(
    'camvid/softmax_scratch.gin',
    'gin_configs/datasets/own.gin',
    'gin_configs/sources/own_pseudo_labelled.gin',
    bindings=(*own, _PSEUDO),
  )
  _, pseudo = built.root.train.source.sources
  assert pseudo.source.split == 'extra'
  labeler = launch.parse(
    ['gin_configs/tasks/own_pseudo_label.gin'],
    (*own, "INIT = 'runs/a'"),
    LABELER,
  ).root
  assert labeler.source == pseudo.source


@pytest.mark.parametrize('name', RECIPES)
def test_every_stage_of_a_recipe_builds(name, tmp_path):
  own = _own_data(tmp_path) if name == 'recipes/own.gin' else ()
  recipe = launch.parse([f'gin_configs/{name}'], root=RECIPE).root
  for job in _kinds(stages.plan(recipe, str(tmp_path), ())):
    link = job.stage.starts_from and f'{tmp_path}/{job.stage.starts_from}'
    # Nothing is tolerated here: a binding without a use would be refused.
    if job.stage.command == 'pseudo_label':
      built = launch.parse(job.stage.gin_files, job.bindings, LABELER)
      assert built.root.run == link
      continue
    built = launch.parse(job.stage.gin_files, (*job.bindings, *own))
    start = built.root.trainer.warm_start
    assert (start and start.path) == (link or _imagenet(job))
  assert any(stage.arm is not None for stage in recipe.stages)
