"""The network against outputs of the original, computed with its own code."""

import csv
import functools
import zlib

import numpy as np
import pytest
import tensorflow as tf

from deeplab_contrast.core import resize
from deeplab_contrast.core.network import (
  aspp,
  decoder,
  heads,
  mobilenet_v2,
  model,
  original_names,
  resnet_v1,
  xception,
)
from deeplab_contrast.inference import predictor
from tests import original

needs_golden = pytest.mark.skipif(
  not original.GOLDEN.is_dir(), reason='shared/golden is absent'
)

# case: (variant, output stride, multi-grid)
CASES = {
  'r50b_os16_129': ('resnet_v1_50_beta', 16, None),
  'r50b_os16_129_mg124': ('resnet_v1_50_beta', 16, (1, 2, 4)),
  'r50b_os8_129': ('resnet_v1_50_beta', 8, None),
  'r50b_os16_97x161': ('resnet_v1_50_beta', 16, None),
  'r50b_os16_100x134': ('resnet_v1_50_beta', 16, None),
  'r101b_os16_97': ('resnet_v1_101_beta', 16, None),
  'r50_os16_97': ('resnet_v1_50', 16, None),
  'r18b_os16_97': ('resnet_v1_18_beta', 16, None),
  'x65_os16_97': ('xception_65', 16, None),
  'mnv2_os16_97': ('mobilenet_v2', 16, None),
}

QUICK = ('r50b_os16_100x134', 'r18b_os16_97', 'mnv2_os16_97')
QUICK_VARIANTS = ('resnet_v1_50_beta', 'mobilenet_v2')


def make(
  variant,
  output_stride=16,
  multi_grid=None,
  dropout_rate=0.1,
  fine_tune_batch_norm=True,
):
  if variant == 'mobilenet_v2':
    backbone = mobilenet_v2.MobileNetV2(output_stride)
  elif 'xception' in variant:
    backbone = xception.Xception(variant, output_stride, multi_grid)
  else:
    backbone = resnet_v1.ResNetV1(variant, output_stride, multi_grid)
  plain = variant == 'mobilenet_v2'  # Neither atrous branches nor decoder.
  trunk = model.Trunk(
    backbone,
    functools.partial(
      aspp.ASPP, () if plain else None, dropout_rate=dropout_rate
    ),
    functools.partial(decoder.Decoder, None if plain else (4,)),
    fine_tune_batch_norm=fine_tune_batch_norm,
  )
  network = model.DeepLab(trunk, heads.Classifier(21))
  network.build_variables()
  original.set_rule_weights(network)
  return network


def by_name(network):
  return original_names.by_original_name(network.weights)


def slow_unless(quick, names):
  return [
    n if n in quick else pytest.param(n, marks=pytest.mark.slow) for n in names
  ]


@needs_golden
@pytest.mark.parametrize(
  'variant',
  slow_unless(
    QUICK_VARIANTS,
    (
      'resnet_v1_50_beta',
      'resnet_v1_50',
      'resnet_v1_18_beta',
      'resnet_v1_101_beta',
      'xception_65',
      'mobilenet_v2',
    ),
  ),
)
def test_golden_variables(variant):
  with open(original.GOLDEN / f'variables_{variant}.csv') as f:
    rows = list(csv.DictReader(f))
  expected = {
    r['name']: (tuple(map(int, r['shape'].split('x'))), r['trainable'] == '1')
    for r in rows
  }
  actual = {
    name: (tuple(v.shape), v.trainable)
    for name, v in by_name(make(variant)).items()
  }
  assert actual == expected


@needs_golden
def test_golden_weight_rule():
  """Our rule gives the weights with which the golden values were computed."""
  with open(original.GOLDEN / 'weights_check.csv') as f:
    for row in csv.DictReader(f):
      shape = tuple(map(int, row['shape'].split('x')))
      weights = original.rule_weights(row['name'], shape)
      crc = zlib.crc32(np.ascontiguousarray(weights).tobytes())
      assert crc == int(row['crc32_of_float32_bytes']), row['name']


@needs_golden
@pytest.mark.parametrize(
  'case',
  slow_unless(QUICK, CASES),
)
def test_golden_logits(case):
  stored = np.load(original.GOLDEN / f'{case}.npz')
  network = make(*CASES[case])
  image = stored['image']
  np.testing.assert_array_equal(image, original.rule_image(*image.shape[:3]))
  logits = network(tf.constant(image), training=False)
  limit = 2e-5 * np.abs(stored['logits']).max()
  assert np.abs(logits - stored['logits']).max() < limit
  full = resize.bilinear(logits, image.shape[1:3])
  same = np.argmax(full, -1) == stored['labels_full_size']
  assert same.mean() > 0.9999


@pytest.mark.slow
@needs_golden
def test_golden_frozen_norm_gradients():
  stored = np.load(original.GOLDEN / 'train_r50b_os16_65_frozen_bn.npz')
  network = make(
    'resnet_v1_50_beta', dropout_rate=0.0, fine_tune_batch_norm=False
  )
  with open(
    original.GOLDEN / 'gradients_train_r50b_os16_65_frozen_bn.csv'
  ) as f:
    rows = {r['name']: r for r in csv.DictReader(f)}
  labels = tf.constant(stored['labels'].squeeze(-1), tf.int32)
  kernels = network.decayed_kernels()
  with tf.GradientTape() as tape:
    logits = network(tf.constant(stored['image']), training=True)
    valid = labels < 21
    entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(
      tf.where(valid, labels, 0), resize.bilinear(logits, labels.shape[1:3])
    )
    loss = tf.reduce_mean(entropy[valid])
    decay = 1e-4 * sum(tf.nn.l2_loss(k.value) for k in kernels)
    total = loss + decay
  np.testing.assert_allclose(loss, stored['cross_entropy_loss'], rtol=1e-5)
  np.testing.assert_allclose(decay, stored['regularization_loss'], rtol=1e-5)
  variables = network.trainable_variables
  names = {id(v): n for n, v in by_name(network).items()}
  assert {names[id(v)] for v in variables} == set(rows)
  gradients = tape.gradient(total, [v.value for v in variables])
  regularized = {names[id(k)] for k in kernels}
  norm_column = next(c for c in next(iter(rows.values())) if 'norm' in c)
  for variable, gradient in zip(variables, gradients, strict=True):
    name = names[id(variable)]
    row = rows[name]
    expected = float(row[norm_column])
    np.testing.assert_allclose(
      np.linalg.norm(gradient), expected, rtol=1e-3, err_msg=name
    )
    assert (name in regularized) == (row['regularized'] in ('1', 'True')), name


@pytest.mark.slow
@needs_golden
def test_golden_moving_statistics():
  """Batch statistics of 4 images change as in the original."""
  stored = np.load(original.GOLDEN / 'train_r50b_os16_65_batch4.npz')
  network = make('resnet_v1_50_beta', dropout_rate=0.0)
  network(tf.constant(stored['image']), training=True)
  ours = by_name(network)
  for i, name in enumerate(stored['bn_names']):
    name = str(name)
    for kind in ('moving_mean', 'moving_variance'):
      expected = stored[f'bn{i}_{kind}_after']
      actual = np.array(ours[f'{name}/{kind}'])
      # Compares the update, not the previous value.
      before = original.rule_weights(f'{name}/{kind}', expected.shape)
      scale = np.abs(expected - before).max()
      assert np.abs(actual - expected).max() < 2e-3 * scale + 1e-6, name


@pytest.mark.slow
@needs_golden
def test_golden_multi_scale_probabilities():
  stored = np.load(original.GOLDEN / 'multiscale_r50b_129.npz')
  network = make('resnet_v1_50_beta')
  image = original.rule_image(1, 129, 129)
  mean = predictor.Predictor((0.75, 1.0, 1.25), flip=True).probabilities(
    network, tf.constant(image)
  )
  corner = stored['mean_probability_corner']
  np.testing.assert_allclose(mean[:, :6, :6], corner, atol=2e-6)
  np.testing.assert_allclose(
    mean[:, ::8, ::8], stored['mean_probability_stride8'], atol=2e-6
  )
