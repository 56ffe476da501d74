"""How trunk, head and scales work together."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from deeplab_contrast import common
from deeplab_contrast.core import resize
from deeplab_contrast.core.network import aspp, decoder, heads, model, resnet_v1
from deeplab_contrast.tasks import softmax
from tests import tiny


def make(head=None, make_decoder=None, deeplab=None, **trunk_arguments):
  backbone = resnet_v1.ResNetV1('resnet_v1_18_beta', width=0.125)
  make_aspp, plain_decoder = tiny.small_parts(8, dropout_rate=0.0)
  trunk = model.Trunk(
    backbone, make_aspp, make_decoder or plain_decoder, **trunk_arguments
  )
  network = model.DeepLab(trunk, head or heads.Classifier(3), **(deeplab or {}))
  network.build_variables()
  return network


def images(batch=2, size=(65, 49)):
  return tf.random.stateless_uniform([batch, *size, 3], [1, 2], 0, 255)


@pytest.mark.parametrize('strides', [None, (4,), (8,), (8, 4)])
def test_logits_have_the_stride_of_the_decoder(strides):
  network = make(make_decoder=functools.partial(decoder.Decoder, strides, 8))
  stride = strides[-1] if strides else 16
  assert network.logits_stride == stride
  grid = tuple((s - 1) // stride + 1 for s in (65, 49))
  assert tuple(network(images()).shape) == (2, *grid, 3)


def test_branches_of_the_logits_without_aspp():
  head = heads.Classifier(3, logits_kernel_size=3, atrous_rates=(2, 4))
  network = make(head, aspp_with_batch_norm=False)
  assert network.trunk.aspp is None
  x = images()
  features = network.trunk(x)
  expected = sum(branch(features) for branch in head.branches)
  np.testing.assert_allclose(network(x), expected, atol=1e-6)
  paths = [v.path for v in network.head.weights]
  assert [p.split('/', 1)[1] for p in paths] == [
    'logits/semantic/kernel',
    'logits/semantic/bias',
    'logits/semantic_1/kernel',
    'logits/semantic_1/bias',
  ]


def test_large_kernels_need_rates():
  with pytest.raises(ValueError, match='must be 1'):
    heads.Classifier(3, logits_kernel_size=3)


def test_a_decoder_whose_output_is_logits():
  logits = functools.partial(
    decoder.Decoder,
    decoder_filters=3,
    decoder_use_sum_merge=True,
    decoder_output_is_logits=True,
  )
  network = make(make_decoder=logits)
  assert not network.head.weights
  x = images()
  np.testing.assert_array_equal(network(x), network.trunk(x))
  with pytest.raises(ValueError, match='and 5 classes'):
    make(heads.Classifier(5), logits)


@pytest.mark.parametrize('method', ['max', 'avg'])
def test_logits_of_a_pyramid_are_merged(method):
  network = make(
    deeplab={'image_pyramid': (0.5, 1.0, 1.25), 'merge_method': method}
  )
  plain = functools.partial(network._at_one_scale, training=False)
  x = images()
  grid = [(s - 1) * 5 // 16 + 1 for s in (65, 49)]
  each = [
    resize.bilinear(plain(resize.bilinear(x, size)), grid)
    for size in ((33, 25), (65, 49), (81, 61))
  ]
  merged = np.max(each, 0) if method == 'max' else np.mean(each, 0)
  np.testing.assert_allclose(network(x), merged, atol=1e-5)
  named = network.logits_of_scales(x)
  assert list(named) == [
    'logits_0.50',
    'logits_1.00',
    'logits_1.25',
    'merged_logits',
  ]
  batch = {common.IMAGE: x, common.LABEL: tf.ones([2, 65, 49], tf.int32)}
  losses = softmax.Softmax().losses(network, batch, training=True, step=0)
  assert set(losses) == {f'softmax_{name}' for name in named}


def test_an_embedding_has_no_pyramid():
  with pytest.raises(ValueError, match='image_pyramid'):
    make(heads.Projection(4), deeplab={'image_pyramid': (0.5, 1.0)})
  with pytest.raises(ValueError, match='merge_method'):
    make(deeplab={'merge_method': 'mean'})


def test_frozen_statistics_while_scale_and_offset_learn():
  network = make(fine_tune_batch_norm=False)
  before = tiny.weights(network)
  x = images()
  with tf.GradientTape() as tape:
    outputs = network(x, training=True)
    loss = tf.reduce_sum(outputs**2)
  np.testing.assert_allclose(outputs, network(x), atol=1e-6)
  after = tiny.weights(network)
  for path, value in before.items():
    if 'moving_' in path:
      np.testing.assert_array_equal(after[path], value)
  variables = network.trainable_variables
  assert any(v.name == 'gamma' for v in variables)
  gradients = tape.gradient(loss, [v.value for v in variables])
  assert all(g is not None for g in gradients)


def test_atrous_branches_are_those_asked_for():
  network = make()
  assert isinstance(network.trunk.aspp, aspp.ASPP)
  assert len(network.trunk.aspp.branches) == 4
