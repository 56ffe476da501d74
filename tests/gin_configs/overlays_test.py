"""Overlays and bindings that any experiment takes."""

import numpy as np
import pytest
import tensorflow as tf

from deeplab_contrast import launch
from deeplab_contrast.config import run_folder
from deeplab_contrast.core.network import norm
from deeplab_contrast.inference import whole_images
from deeplab_contrast.training import adamw, checkpoints
from deeplab_contrast.utils import errors
from tests.datasets import in_memory
from tests.gin_configs import experiments

_NARROW = ('WIDTH = 0.125', 'FILTERS = 16')
_PSEUDO = "PSEUDO_LABELS = 'labels'"


def _shallow(name, *overlays, bindings=()):
  bindings = (*bindings, *experiments.SHALLOW)
  return experiments.parse(name, *overlays, bindings=bindings)


def test_the_judge_of_pretraining_can_be_exchanged_and_switched_off(tmp_path):
  name = 'scenes/contrastive_pretrain.gin'
  no_judge = 'experiment.Experiment.embedding_judge = None'
  off = experiments.parse(name, bindings=(no_judge,)).root
  assert off.embedding_judge is None
  kind = 'embedding_judge.EmbeddingJudge'
  held_out = (
    f'{kind}.images = 32',
    f'{kind}.source = @sources.Complement()',
    'sources.Complement.budget = @train/sources.LabelBudget()',
  )
  judging = experiments.parse(name, bindings=held_out)
  root = judging.root
  assert root.embedding_judge.images == 32
  assert root.embedding_judge.source.budget == root.train.source
  # None of it changes what is learned: a run may resume with another one.
  settings = (no_judge, f'{kind}.images = 32')
  stored = experiments.plain(name).config
  # What a run has stored can be overlaid like the files it came from.
  path = tmp_path / 'config.gin'
  path.write_text(stored)
  again = launch.parse([str(path)], held_out).root
  assert again.embedding_judge == root.embedding_judge
  for binding in settings:
    given = experiments.parse(name, bindings=(binding,)).config
    assert not run_folder.differences(stored, given)
    assert not run_folder.differences(given, stored)


@pytest.mark.parametrize('name', experiments.TRAINED)
def test_the_tiny_overlay_shrinks_any_experiment(name):
  built = _shallow(name, experiments.TINY)
  experiment, trainer = built.root, built.root.trainer
  assert (trainer.steps, trainer.batch_size) == (2, 2)
  sizes = {
    step.size for step in experiment.train.transforms if hasattr(step, 'size')
  }
  assert sizes == {(65, 65)}
  assert experiment.evaluator.limit == 2
  macros = experiments.macros(built)
  assert (macros['WIDTH'], macros['FILTERS']) == (0.125, 16)


@pytest.mark.parametrize(
  'name', ['voc2012/softmax_scratch.gin', 'voc2012/contrastive_pretrain.gin']
)
def test_any_experiment_may_start_from_an_imagenet_backbone(name):
  overlay = 'gin_configs/tasks/imagenet_backbone.gin'
  bindings = ["INIT = 'runs/imagenet'"]
  experiment = _shallow(name, overlay, bindings=bindings).root
  start = checkpoints.WarmStart('runs/imagenet', ('backbone',))
  assert experiment.trainer.warm_start == start
  with pytest.raises(errors.ConfigError, match='INIT'):
    experiments.parse(name, overlay)


# Those with weights, here or for others to convert.
@pytest.mark.parametrize(
  'overlay',
  [
    *('resnet_v1_50', 'xception_65', 'mobilenet_v2', 'efficientnet_lite0'),
    *('keras_cv_efficientnet_v2', 'keras_cv_mobilenet_v3'),
  ],
)
def test_images_are_padded_with_what_the_network_normalizes_to_0(overlay):
  file = f'gin_configs/models/{overlay}.gin'
  for name in ('scenes/softmax_scratch.gin', 'original/voc2012_train_aug.gin'):
    built = experiments.parse(name, file, bindings=_NARROW)
    pixel = np.broadcast_to(np.float32(built.root.pad_pixel), [1, 1, 1, 3])
    zero = built.root.model.trunk.backbone.normalize(tf.constant(pixel))
    np.testing.assert_allclose(zero, np.zeros_like(pixel), atol=1e-5)


def test_adamw_warms_up_and_trains_the_backbone_slowly():
  overlay = 'gin_configs/tasks/adamw.gin'
  trainer = _shallow('voc2012/softmax_scratch.gin', overlay).root.trainer
  assert isinstance(trainer.optimizer, adamw.AdamW)
  assert trainer.weight_decay == 0.0
  assert float(trainer.optimizer.weight_decay) == 0.01
  assert trainer.last_layer_gradient_multiplier == 10.0
  rates = [trainer.learning_rate_at(step) for step in (0, 50, 100)]
  np.testing.assert_allclose(rates, [0.0, 3e-5, 6e-5], rtol=1e-5)


def test_a_pretrained_backbone_learns_slowly_and_keeps_its_statistics():
  overlays = [
    f'gin_configs/tasks/{name}.gin'
    for name in ('lower_backbone_rate', 'frozen_backbone_norm')
  ]
  root = _shallow('scenes/softmax_scratch.gin', *overlays).root
  assert root.trainer.last_layer_gradient_multiplier == 10.0
  assert root.trainer.learning_rate_at(0) == pytest.approx(0.01)
  trunk = root.model.trunk
  for part, frozen in ((trunk.backbone, True), (trunk.aspp, False)):
    norms = [x for x in part._flatten_layers() if isinstance(x, norm.BatchNorm)]
    assert norms and {x.is_frozen for x in norms} == {frozen}


def test_a_network_keeps_the_width_of_the_experiment():
  overlay = 'gin_configs/models/xception_65.gin'
  built = experiments.parse('scenes/softmax_scratch.gin', overlay)
  macros = experiments.macros(built)
  assert (macros['WIDTH'], macros['FILTERS']) == (0.25, 64)
  assert macros['BACKBONE'] == 'xception_65'


def test_evaluated_images_are_padded_as_in_training():
  overlay = 'gin_configs/models/resnet_v1_50.gin'
  bindings = (*_NARROW, 'EVAL_CROP = (17, 33)')
  root = experiments.parse(
    'voc2012/softmax_scratch.gin', overlay, bindings=bindings
  ).root
  labels = [np.zeros(size, np.uint8) for size in ((9, 9), (17, 33))]
  examples = in_memory.Painted('ab', labels)
  batch = next(iter(whole_images.of(root, examples, 2).batches(2)))
  image = batch['image'][0].numpy()
  assert image.shape == (17, 33, 3)
  assert np.all(image[9:] == np.float32((123.15, 115.9, 103.06)))
  assert np.all(image[:, 9:] == np.float32((123.15, 115.9, 103.06)))


@pytest.mark.parametrize(
  ('bindings', 'attributes'),
  [
    (['LABELS = 2118'], {'count': 2118, 'seed': 0, 'balanced': False}),
    (['LABELS = 0.2', 'BALANCED = True'], {'count': 0.2, 'balanced': True}),
    (
      ['LABELS = None', "LABEL_LIST = 'a.txt'"],
      {'count': None, 'ids_file': 'a.txt'},
    ),
  ],
)
def test_macros_choose_the_labelled_images(bindings, attributes):
  built = _shallow('voc2012/softmax_scratch.gin', bindings=bindings)
  budget = built.root.train.source
  assert {name: getattr(budget, name) for name in attributes} == attributes


@pytest.mark.parametrize('kind', ['pseudo_labelled', 'mixture'])
@pytest.mark.parametrize(
  'name',
  ['voc2012/contrastive_pretrain_2118.gin', 'scenes/softmax_scratch.gin'],
)
def test_pseudo_labels_lie_over_any_experiment(kind, name, tmp_path):
  overlay = f'gin_configs/sources/{kind}.gin'
  built = experiments.parse(name, overlay, bindings=(_PSEUDO,))
  source = built.root.train.source
  labelled, pseudo = source.sources
  assert pseudo.source.budget == labelled
  assert labelled == experiments.plain(name).root.train.source
  assert pseudo.folder == 'labels'
  if kind == 'mixture':
    assert source.proportions == (1, 1)
  # What a run stores is read back as the same.
  path = tmp_path / 'config.gin'
  path.write_text(built.config)
  assert launch.parse([str(path)]).root.train.source == source


def test_own_data_lie_over_the_experiments_of_camvid(tmp_path):
  own = experiments.describe_own_data(tmp_path)
  for name in [n for n in experiments.EXPERIMENTS if n.startswith('camvid/')]:
    built = experiments.parse(
      name, 'gin_configs/datasets/own.gin', bindings=own
    )
    assert built.root.train.source.info.class_names == ('a', 'b')
    assert built.root.eval_source.info.name == 'my'
    assert built.root.evaluator.crop_size is None


def test_own_images_without_labels_are_a_source(tmp_path):
  own = experiments.describe_own_data(tmp_path)
  built = experiments.parse(
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
    experiments.LABELER,
  ).root
  assert labeler.source == pseudo.source
