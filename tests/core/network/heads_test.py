import keras
import numpy as np
import pytest
import tensorflow as tf

from deeplab_contrast.core.network import heads, model, resnet_v1
from tests import tiny as parts


def tiny(head, variant='resnet_v1_18_beta', output_stride=16, **kwargs):
  keras.utils.set_random_seed(0)
  backbone = resnet_v1.ResNetV1(variant, output_stride, width=0.125, **kwargs)
  network = model.DeepLab(model.Trunk(backbone, *parts.small_parts(16)), head)
  network.build_variables()
  return network


@pytest.mark.parametrize('output_stride', [8, 16, 32])
@pytest.mark.parametrize('size', [(65, 97), (64, 80)])
def test_sizes_of_all_feature_maps(output_stride, size):
  network = tiny(heads.Classifier(5), output_stride=output_stride)
  images = tf.zeros([2, *size, 3])
  features, low = network.trunk.backbone(images)
  quarter = tuple((s - 1) // 4 + 1 for s in size)
  assert tuple(low[4].shape[1:3]) == quarter
  high = tuple((s - 1) // output_stride + 1 for s in size)
  assert tuple(features.shape[1:3]) == high
  assert tuple(network(images).shape) == (2, *quarter, 5)


def test_projection_is_unit_length_at_half_size():
  network = tiny(heads.Projection(32))
  images = tf.random.stateless_uniform([1, 65, 97, 3], [0, 1], 0, 255)
  embedding = network(images)
  assert tuple(embedding.shape) == (1, 9, 13, 32)
  np.testing.assert_allclose(np.linalg.norm(embedding, axis=-1), 1, atol=1e-5)


def test_projection_of_a_513_crop_is_65():
  head = heads.Projection(4)
  assert tuple(head(tf.zeros([1, 129, 129, 3])).shape) == (1, 65, 65, 4)


def test_unknown_batch_and_size_in_a_graph():
  network = tiny(heads.Projection(4))
  signature = [tf.TensorSpec([None, None, None, 3])]
  run = tf.function(lambda x: network(x), input_signature=signature)
  image = tf.random.stateless_uniform([2, 81, 65, 3], [0, 1], 0, 255)
  # Kernels of other shapes round otherwise: 2e-5 was seen, of unit vectors.
  np.testing.assert_allclose(run(image), network(image), rtol=0, atol=1e-4)


def test_dropout_only_in_training_and_repeatable():
  outputs = []
  for _ in range(2):
    network = tiny(heads.Classifier(3))
    image = tf.random.stateless_uniform([1, 33, 33, 3], [0, 1], 0, 255)
    outputs.append([network(image, training=True) for _ in range(2)])
    plain = network(image)
    np.testing.assert_array_equal(plain, network(image))
  np.testing.assert_array_equal(outputs[0], outputs[1])


def test_weight_decay_is_on_convolutions_only():
  network = tiny(heads.Classifier(3))
  kernels = {k.path for k in network.decayed_kernels()}
  for v in network.trainable_variables:
    is_kernel = v.name == 'kernel' and 'depthwise/' not in v.path
    assert (v.path in kernels) == is_kernel, v.path


@pytest.mark.parametrize(
  'kwargs, message',
  [
    ({'variant': 'resnet_50'}, 'Unknown ResNet variant'),
    ({'output_stride': 4}, 'use 8, 16 or 32'),
    ({'multi_grid': (1, 2)}, 'needs 3'),
    ({'width': 0}, 'width is 0; it must be greater than 0'),
    ({'width': -0.5}, 'width is -0.5'),
  ],
)
def test_bad_arguments_are_named(kwargs, message):
  with pytest.raises(ValueError, match=message):
    resnet_v1.ResNetV1(**kwargs)


def test_a_projection_of_no_size_is_refused():
  with pytest.raises(ValueError, match='scale is 0'):
    heads.Projection(scale=0)
