"""The experiments of the paper have its numbers, network and splits."""

import numpy as np
import pytest

from deeplab_contrast.core.losses import pixel_contrast
from deeplab_contrast.core.network import heads
from deeplab_contrast.datasets import sources, transforms
from deeplab_contrast.inference.embedding_judge import EmbeddingJudge
from deeplab_contrast.tasks import contrastive, softmax
from tests.gin_configs import experiments

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


def test_no_experiment_is_forgotten():
  assert set(experiments.OF_PAPER) == set(_PAPER)


@pytest.mark.parametrize('name', experiments.OF_PAPER)
def test_the_numbers_are_those_of_the_paper(name):
  labels, rate, steps = _PAPER[name]
  experiment = experiments.plain(name).root
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
  assert experiments.macros(experiments.plain(name))['PRECISION'] == 'float32'


@pytest.mark.parametrize(
  'name', sorted(name for name in _PAPER if 'softmax' in name)
)
def test_softmax_training_lasts_as_the_paper_rules(name):
  steps = experiments.plain(name).root.trainer.steps
  short, long = (50, 300) if 'finetune' in name else (300, 600)
  labels = _PAPER[name][0]
  assert steps == 1000 * (long if _is_long(name, labels) else short)


def _loss_of(name):
  if 'cross_image' in name:
    return pixel_contrast.CrossImage(0.07)
  if 'batch' in name:
    return pixel_contrast.Batch(0.07, sample=10_000)
  return pixel_contrast.WithinImage(0.07)


@pytest.mark.parametrize('name', experiments.OF_PAPER)
def test_the_network_and_the_augmentation_are_those_of_the_paper(name):
  experiment = experiments.plain(name).root
  assert experiment.model.trunk.backbone.output_stride == 16
  macros = experiments.macros(experiments.plain(name))
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
  judge = EmbeddingJudge() if 'contrastive' in name else None
  assert experiment.embedding_judge == judge
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


@pytest.mark.parametrize('name', experiments.OF_PAPER)
def test_the_splits_are_those_of_the_paper(name):
  experiment = experiments.plain(name).root
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
