"""What the summary says, against numbers by hand and published ones."""

import json

import keras
import pytest
import tensorflow as tf

from deeplab_contrast import launch
from deeplab_contrast.core import resize
from deeplab_contrast.core.network import (
  costs,
  graph_costs,
  heads,
  model,
  resnet_v1,
)
from deeplab_contrast.inference import network_summary
from tests import processes, tiny
from tests.gin_configs import experiments

SCRATCH = 'gin_configs/voc2012/softmax_scratch.gin'


def summarize(*files, bindings=()):
  built = launch.parse(files, bindings)
  return network_summary.summarize(built.root, tf.distribute.get_strategy())


def test_operations_by_hand():
  layers = [
    keras.layers.Conv2D(8, 3, dilation_rate=2, padding='same'),
    keras.layers.DepthwiseConv2D(3, dilation_rate=6, padding='same'),
    keras.layers.DepthwiseConv2D(3, strides=2, padding='same'),
    keras.layers.Dense(5),
  ]

  def run(x):
    for layer in layers:
      x = layer(x)
    return x

  graph, outputs = graph_costs.trace(run, (1, 33, 33, 3))
  full, half = 33 * 33, 17 * 17
  dense = full * 9 * 3 * 8
  depthwise = (full + half) * 9 * 8
  assert graph_costs.flops(graph) == 2 * (dense + depthwise + half * 8 * 5)
  assert graph_costs.atrous_rates(graph) == [2, 6]
  view = graph_costs.receptive_field(outputs, graph.inputs[0])
  assert (view.size, view.step) == (1 + 2 * 2 + 2 * 6 + 2, 2)


def test_a_small_network_by_hand():
  backbone = resnet_v1.ResNetV1('resnet_v1_18', width=0.125)
  trunk = model.Trunk(backbone, *tiny.small_parts(8))
  network = model.DeepLab(trunk, heads.Classifier(3))
  network.build_variables()
  seen = costs.one_pass(network, (65, 97))
  maps = {x.name: (x.stride, *x.size) for x in seen.feature_maps}
  assert maps == {
    'root': (2, 33, 49, 8),
    'low-level 4': (4, 17, 25, 8),
    'low-level 8': (8, 9, 13, 16),
    'low-level 16': (16, 5, 7, 32),
    'backbone': (16, 5, 7, 64),
    'aspp': (16, 5, 7, 8),
    'decoder': (4, 17, 25, 8),
    'logits': (4, 17, 25, 3),
  }
  coarse, fine = 5 * 7, 17 * 25
  # Pooling and 1x1; three depthwise with 1x1; the 1x1 of all. Of the depthwise
  # 3x3 kernels, rate 6 has a row of taps on the map, 12 and 18 only the middle.
  aspp = 64 * 8 + coarse * (64 * 8 + (3 + 1 + 1) * 64 + 3 * 64 * 8 + 5 * 8 * 8)
  # The 1x1 of the low-level feature, two depthwise 3x3 with 1x1.
  decoder = fine * (8 * 48 + 9 * 56 + 56 * 8 + 9 * 8 + 8 * 8)
  assert seen.flops['aspp'] == 2 * aspp
  assert seen.flops['decoder'] == 2 * decoder
  assert seen.flops['head'] == 2 * fine * 8 * 3
  assert seen.atrous_rates == {'backbone': [2], 'aspp': [6]}
  assert costs.weights(network)['head'] == {
    'trainable': 27,
    'fixed': 0,
    'bytes': 108,
  }


def test_published_numbers_of_mobilenet_v2():
  summary = summarize(SCRATCH, 'gin_configs/models/mobilenet_v2.gin')
  # MobileNetV2 (Sandler et al.), table 7: 2.11M weights, 2.75B multiply-adds.
  assert summary['parameters']['total']['trainable'] == pytest.approx(
    2.11e6, rel=0.005
  )
  flops = summary['passes']['training']['flops']['total']
  assert flops / 2 == pytest.approx(2.75e9, rel=0.01)


@pytest.mark.slow
def test_published_numbers_of_xception_65():
  summary = summarize(SCRATCH, 'gin_configs/models/xception_65.gin')
  # The original's model zoo: 54.17B multiply-adds.
  flops = summary['passes']['training']['flops']['total']
  assert flops / 2 == pytest.approx(54.17e9, rel=0.01)


@pytest.mark.slow
def test_the_networks_of_the_paper():
  summary = summarize(SCRATCH)
  one = summary['passes']['evaluation']
  assert one['size'] == (513, 513)
  # ResNet-50 has 23.5M weights without its classifier, and sees 483 pixels
  # (Araujo et al. 2019); three 3x3 convolutions for the 7x7 add 4.
  trainable = summary['parameters']['backbone']['trainable']
  assert trainable == pytest.approx(23.5e6, rel=0.01)
  assert one['receptive_field'] == 487
  assert 80e9 < one['flops']['total'] < 100e9


def test_an_evaluation_has_the_sizes_of_its_scales():
  files = ('gin_configs/camvid/softmax_scratch.gin', experiments.TINY)
  size = ['EVAL_CROP = (129, 161)', 'EVAL_SCALES = (0.5, 1.0)']
  passes = summarize(*files, bindings=size)['passes']
  half, whole = passes['evaluation at scale 0.5'], passes['evaluation']
  assert (half['size'], whole['size']) == ((65, 81), (129, 161))
  assert half['feature_maps'][-1]['size'] == (17, 21, 11)
  assert half['flops']['total'] < whole['flops']['total'] / 3


@pytest.mark.slow
@pytest.mark.parametrize(
  'name',
  [
    'voc2012/contrastive_stride4_2118.gin',
    'original/voc2012_trainval.gin',
  ],
)
def test_every_kind_of_experiment(name):
  built = experiments.parse(name, experiments.TINY)
  summary = network_summary.summarize(built.root, tf.distribute.get_strategy())
  assert summary['passes']['training']['flops']['total'] > 0
  assert 'GFLOPs' in network_summary.text(summary)


@pytest.mark.slow
@pytest.mark.parametrize(
  'name',
  [
    n
    for n in experiments.FILES
    if n.startswith('models/')
    # This one is a part of others, not a network by itself.
    and not n.endswith('/keras_cv.gin')
    # One of keras-cv's stands for all of them.
    and not n.endswith(('csp_darknet.gin', 'mobilenet_v3.gin', 'mit.gin'))
  ],
)
def test_every_network(name):
  summary = summarize(
    SCRATCH, f'gin_configs/{name}', experiments.TINY, bindings=['WIDTH = 0.25']
  )
  maps = summary['passes']['training']['feature_maps']
  assert maps[-1]['size'][2] == 21
  assert all(row['bytes'] for row in summary['parameters'].values())


@pytest.mark.slow
def test_the_command_prints_json():
  done = processes.run_module(
    'model_summary',
    f'--gin_file={SCRATCH}',
    f'--gin_file={experiments.TINY}',
    '--gin_bindings=CROP = (64, 65)',
    '--json',
    cwd=processes.ROOT,
  )
  assert done.returncode == 0, done.stderr
  summary = json.loads(done.stdout)
  assert summary['passes']['training']['size'] == [64, 65]
  assert summary['notes'][0] == 'Weights: random'
  assert any('height 49 or 65 would' in note for note in summary['notes'])


@pytest.mark.parametrize(
  ('size', 'stride', 'expected'),
  [
    (513, 16, (513, 513)),
    (512, 16, (497, 513)),
    (514, 16, (513, 529)),
    (65, 32, (65, 65)),
    (70, 32, (65, 97)),
    (1, 16, (1, 1)),
    (8, 16, (1, 17)),
  ],
)
def test_fitting_sizes(size, stride, expected):
  assert resize.fitting_sizes(size, stride) == expected


def test_the_note_names_what_fits():
  assert resize.misfit_note((513, 769), 16) is None
  note = resize.misfit_note((512, 769), 16)
  assert '(512, 769)' in note
  assert 'height 497 or 513 would' in note
  assert 'width' not in note
  assert 'width 17 would' in resize.misfit_note((65, 8), 16)


def test_train_points_out_a_crop_that_does_not_fit():
  built = launch.parse([SCRATCH, experiments.TINY], ['CROP = (64, 65)'])
  assert 'height 49 or 65' in built.root.crop_note
  assert launch.parse([SCRATCH, experiments.TINY]).root.crop_note is None
