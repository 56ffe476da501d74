import csv

import numpy as np
import pytest
import tensorflow as tf

from deeplab_contrast import model, predictor
from deeplab_contrast.core import heads, resize, resnet_v1
from tests import original

needs_golden = pytest.mark.skipif(
  not original.GOLDEN.is_dir(), reason='shared/golden is absent'
)

CASES = {
  'r50b_os16_129': ('resnet_v1_50_beta', 16, None),
  'r50b_os16_129_mg124': ('resnet_v1_50_beta', 16, (1, 2, 4)),
  'r50b_os8_129': ('resnet_v1_50_beta', 8, None),
  'r50b_os16_97x161': ('resnet_v1_50_beta', 16, None),
  'r50b_os16_100x134': ('resnet_v1_50_beta', 16, None),
  'r101b_os16_97': ('resnet_v1_101_beta', 16, None),
  'r50_os16_97': ('resnet_v1_50', 16, None),
  'r18b_os16_97': ('resnet_v1_18_beta', 16, None),
}

QUICK = ('r50b_os16_100x134', 'r18b_os16_97')


def make(variant, output_stride=16, multi_grid=None, dropout_rate=0.1):
  backbone = resnet_v1.ResNetV1(variant, output_stride, multi_grid)
  trunk = model.Trunk(backbone, dropout_rate=dropout_rate)
  network = model.DeepLab(trunk, heads.Classifier(21))
  network.build_variables()
  original.set_rule_weights(network)
  return network


@needs_golden
@pytest.mark.parametrize(
  'variant',
  [
    'resnet_v1_50_beta',
    pytest.param('resnet_v1_18_beta', marks=pytest.mark.slow),
    pytest.param('resnet_v1_50', marks=pytest.mark.slow),
  ],
)
def test_golden_variables(variant):
  with open(original.GOLDEN / f'variables_{variant}.csv') as f:
    rows = list(csv.DictReader(f))
  expected = {
    r['name']: (tuple(map(int, r['shape'].split('x'))), r['trainable'] == '1')
    for r in rows
  }
  ours = {
    name: (tuple(v.shape), v.trainable)
    for name, v in original.weights_of(make(variant)).items()
  }
  assert ours == expected


@needs_golden
@pytest.mark.parametrize(
  'case',
  [c if c in QUICK else pytest.param(c, marks=pytest.mark.slow) for c in CASES],
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
  network = make('resnet_v1_50_beta', dropout_rate=0.0)
  for layer in network._flatten_layers():
    if 'BatchNorm' in layer.name:
      layer.trainable = False
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
  by_name = original.weights_of(network)
  variables = network.trainable_variables
  names = {id(v): n for n, v in by_name.items()}
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
  """Batch statistics over 4 images move as the original's do."""
  stored = np.load(original.GOLDEN / 'train_r50b_os16_65_batch4.npz')
  network = make('resnet_v1_50_beta', dropout_rate=0.0)
  network(tf.constant(stored['image']), training=True)
  ours = original.weights_of(network)
  for i, name in enumerate(stored['bn_names']):
    name = str(name)
    for kind in ('moving_mean', 'moving_variance'):
      expected = stored[f'bn{i}_{kind}_after']
      actual = np.array(ours[f'{name}/{kind}'])
      # The update, not what was there before, is compared.
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
