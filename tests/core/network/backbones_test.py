"""The interface of all backbones: sizes, names, training, graphs, XLA."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from deeplab_contrast.core import resize
from deeplab_contrast.core.losses import softmax_loss
from deeplab_contrast.core.network import (
  heads,
  mobilenet_v2,
  model,
  original_names,
  resnet_v1,
  xception,
)
from tests import tiny

WIDTH = 0.125
# The deeper ones repeat the units of these.
QUICK = ('resnet_v1_18', 'mobilenet_v2')
TRAINED = (*QUICK, 'resnet_v1_50_beta', 'resnet_v1_101', 'xception_65')


def make(variant, output_stride=16):
  if variant == 'mobilenet_v2':
    return mobilenet_v2.MobileNetV2(output_stride, depth_multiplier=WIDTH)
  family = xception.Xception if 'x' in variant else resnet_v1.ResNetV1
  return family(variant, output_stride, width=WIDTH)


def network_of(variant, output_stride=16):
  trunk = model.Trunk(make(variant, output_stride), *tiny.small_parts(8))
  network = model.DeepLab(trunk, heads.Classifier(tiny.CLASSES))
  network.build_variables()
  return network


def slow_unless_quick(names):
  return [
    n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in names
  ]


@pytest.mark.parametrize(
  ('variant', 'output_stride'),
  [('resnet_v1_18', 8), ('xception_41', 32), ('mobilenet_v2', 8)],
)
def test_sizes_and_names(variant, output_stride):
  # Built as a network, which is faster than what Keras does by itself.
  backbone = network_of(variant, output_stride).trunk.backbone
  for size in ((64, 80), (50, 33)):
    features, low = backbone(tf.zeros([1, *size, 3]))
    expected = tuple(-(-s // output_stride) for s in size)
    assert tuple(features.shape[1:3]) == expected
    assert sorted(low) == [4, 8, 16]
    for stride, feature in low.items():
      stride = min(stride, output_stride)
      assert tuple(feature.shape[1:3]) == tuple(-(-s // stride) for s in size)
  paths = [v.path for v in backbone.weights]
  assert len({original_names.original_name(p) for p in paths}) == len(paths)


@pytest.mark.parametrize(
  ('variant', 'units', 'stride4', 'stride8'),
  [
    ('xception_41', 3 + 8 + 2, 'block2', 'block3'),
    ('xception_65', 3 + 16 + 2, 'block2', 'block3'),
    ('xception_71', 5 + 16 + 2, 'block3', 'block5'),
  ],
)
def test_modules_of_xception(variant, units, stride4, stride8):
  backbone = make(variant)
  names = [m.name.removesuffix('.xception_module') for m in backbone.modules]
  assert len(names) == units
  middle = [n for n in names if n.startswith('middle_flow.block1.unit_')]
  assert len(middle) == (8 if variant == 'xception_41' else 16)
  low = {s: n.split('.')[1] for n, s in backbone._low.items()}
  assert (low[4], low[8], low[16]) == (stride4, stride8, 'block1')
  strides = [m.convs[2].depthwise.conv.strides[0] for m in backbone.modules]
  assert np.prod(strides) == 8


@pytest.mark.parametrize(
  ('variant', 'units'),
  [
    ('resnet_v1_18', (2, 2, 2, 2)),
    ('resnet_v1_50_beta', (3, 4, 6, 3)),
    ('resnet_v1_101', (3, 4, 23, 3)),
  ],
)
def test_units_of_resnet(variant, units):
  backbone = make(variant)
  for block, count in enumerate(units, start=1):
    pattern = rf'block{block}\.unit_\d+\.(lite_)?bottleneck_v1'
    found = [u for u in backbone.units if re.fullmatch(pattern, u.name)]
    assert len(found) == count
  low = {stride: name.split('.')[1] for name, stride in backbone._low.items()}
  last = [f'unit_{n - 1}' for n in units[:3]]
  assert [low[4], low[8], low[16]] == last


@pytest.mark.parametrize(
  ('multiplier', 'divisible_by', 'channels'),
  [
    (1.0, None, (32, 16, 24, 320)),
    (0.5, None, (16, 8, 12, 160)),
    (0.5, 8, (16, 8, 16, 160)),
    (1.4, None, (45, 22, 34, 448)),
  ],
)
def test_channels_of_mobilenet(multiplier, divisible_by, channels):
  backbone = mobilenet_v2.MobileNetV2(16, multiplier, divisible_by)
  counts = [
    layer.conv.filters
    for layer in (
      backbone.root,
      backbone.blocks[0].project,
      backbone.blocks[1].project,
      backbone.blocks[-1].project,
    )
  ]
  assert tuple(counts) == channels


@pytest.mark.parametrize('variant', slow_unless_quick(TRAINED))
def test_a_step_and_a_graph_of_any_size(variant):
  network = network_of(variant)
  x = tf.random.stateless_uniform([2, 65, 65, 3], [0, 1], 0, 255)
  labels = tf.tile(tf.range(65)[:, None] // 22, [1, 65])
  variables = network.trainable_variables
  with tf.GradientTape() as tape:
    logits = resize.bilinear(network(x, training=True), (65, 65))
    total, count = softmax_loss.pixel_cross_entropy(
      logits, tf.stack([labels, labels])
    )
    loss = total / count
  gradients = tape.gradient(loss, [v.value for v in variables])
  assert np.isfinite(loss)
  assert all(np.isfinite(g).all() and np.any(g) for g in gradients)
  keras.optimizers.SGD(0.1).apply(gradients, variables)
  # serving_test saves and loads such a graph.
  any_size = tf.function(
    network, input_signature=[tf.TensorSpec([None, None, None, 3])]
  )
  expected = network(x)
  # Kernels for sizes that are not known round differently.
  np.testing.assert_allclose(
    any_size(x), expected, rtol=0, atol=1e-5 * np.abs(expected).max()
  )


@pytest.mark.slow
def test_a_training_pass_compiles_under_xla():
  """Of the softmax task; ResNet's with the contrastive one: trainer_test.

  Xception has the same layers: separable and atrous convolutions.
  """
  network = network_of('mobilenet_v2')
  network.trunk.aspp.dropout.rate = 0.0
  variables = [v.value for v in network.trainable_variables]
  x = tf.random.stateless_uniform([2, 65, 65, 3], [0, 1], 0, 255)
  labels = tf.random.stateless_uniform([2, 65, 65], [2, 3], 0, 3, tf.int32)

  def gradients(images):
    with tf.GradientTape() as tape:
      logits = resize.bilinear(network(images, training=False), (65, 65))
      loss = softmax_loss.pixel_cross_entropy(logits, labels).total
    return tape.gradient(loss, variables)

  expected = tf.linalg.global_norm(tf.function(gradients)(x))
  compiled = tf.function(gradients, jit_compile=True)(x)
  np.testing.assert_allclose(
    tf.linalg.global_norm(compiled), expected, rtol=1e-3
  )
