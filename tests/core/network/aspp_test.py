import numpy as np
import pytest
import tensorflow as tf

from deeplab_contrast.core.network import aspp


def features(height=7, width=9, seed=0):
  shape = [2, height, width, 6]
  return tf.random.stateless_normal(shape, seed=[seed, 1])


def weights(layer):
  """{last two names of the path: array}, which are unique in these tests."""
  return {'/'.join(v.path.split('/')[1:]): np.array(v) for v in layer.weights}


def windows(x, window, stride):
  """Means over windows, with loops."""
  rows = range(0, x.shape[1] - window[0] + 1, stride[0])
  columns = range(0, x.shape[2] - window[1] + 1, stride[1])
  return np.stack(
    [
      np.stack(
        [
          x[:, i : i + window[0], j : j + window[1]].mean((1, 2))
          for j in columns
        ],
        axis=1,
      )
      for i in rows
    ],
    axis=1,
  )


def test_branches_and_their_order():
  layer = aspp.ASPP(aspp_convs_filters=4)
  assert tuple(layer(features()).shape) == (2, 7, 9, 4)
  names = [branch.name for branch in layer.branches]
  assert names == ['aspp0', 'aspp1', 'aspp2', 'aspp3']
  assert [b.depthwise.rate for b in layer.branches[1:]] == [6, 12, 18]
  assert tuple(layer.concat_projection.conv.kernel.shape) == (1, 1, 20, 4)
  # Image pooling comes first: without its rows of the projection, the output no
  # longer depends on the mean of the features.
  kernel = layer.concat_projection.conv.kernel
  changed = kernel.numpy()
  changed[:, :, 4:] = 0
  kernel.assign(changed)
  x = features()
  shuffled = tf.gather(x, [3, 1, 2, 0, 6, 5, 4], axis=1)
  np.testing.assert_allclose(layer(x), layer(shuffled), atol=1e-6)


@pytest.mark.parametrize('output_stride', [8, 16, 32])
def test_rates_follow_the_output_stride(output_stride):
  layer = aspp.ASPP(output_stride=output_stride)
  rates = [branch.depthwise.rate for branch in layer.branches[1:]]
  assert rates == [96 // output_stride * k for k in (1, 2, 3)]


def test_plain_branches_without_pooling_and_projection():
  layer = aspp.ASPP(
    (2,),
    add_image_level_feature=False,
    aspp_convs_filters=4,
    aspp_with_separable_conv=False,
    aspp_with_concat_projection=False,
  )
  x = features()
  assert tuple(layer(x, training=True).shape) == (2, 7, 9, 8)
  assert set(weights(layer)) == {
    f'{name}/{part}'
    for name in ('aspp0', 'aspp1')
    for part in (
      'conv/kernel',
      'BatchNorm/gamma',
      'BatchNorm/beta',
      'BatchNorm/moving_mean',
      'BatchNorm/moving_variance',
    )
  }


@pytest.mark.parametrize('crop', [(65, 97), (33, 49), (513, 49)])
@pytest.mark.parametrize('known', [True, False])
def test_image_pooling_over_windows(crop, known):
  stride = (1, 2)
  layer = aspp.ASPP(
    (),
    aspp_convs_filters=4,
    image_pooling_crop_size=crop,
    image_pooling_stride=stride,
  )
  x = features()
  layer(x)
  pooled = []
  inner = layer.image_pooling.call
  layer.image_pooling.call = lambda y, **k: pooled.append(y) or inner(y, **k)
  if known:
    layer(x)
    (actual,) = pooled
  else:
    signature = [tf.TensorSpec([None, None, None, 6])]

    def run(y):
      layer(y)
      return pooled.pop()

    actual = tf.function(run, input_signature=signature)(x)
  window = [
    min((c - 1) // 16 + 1, s) for c, s in zip(crop, (7, 9), strict=True)
  ]
  expected = windows(x.numpy(), window, stride)
  np.testing.assert_allclose(actual, expected, atol=1e-5)


@pytest.mark.parametrize('qsigmoid', [True, False])
def test_squeeze_and_excitation_gates_the_output(qsigmoid):
  layer = aspp.ASPP(
    (),
    aspp_convs_filters=4,
    aspp_with_squeeze_and_excitation=True,
    image_se_uses_qsigmoid=qsigmoid,
  )
  x = features()
  gated = layer(x)
  w = weights(layer)
  assert 'image_pooling/conv/bias' in w
  assert not any('image_pooling/BatchNorm' in name for name in w)
  logit = x.numpy().mean((1, 2)) @ w['image_pooling/conv/kernel'][0, 0]
  gate = 1 / (1 + np.exp(-logit))
  if qsigmoid:
    gate = np.clip(logit + 3, 0, 6) * 0.16667
  plain = layer.concat_projection(layer.branches[0](x))
  np.testing.assert_allclose(gated, plain * gate[:, None, None], atol=1e-5)


def test_bounded_activations():
  layer = aspp.ASPP((), aspp_convs_filters=4, use_bounded_activation=True)
  x = 1000.0 * features()
  assert float(tf.reduce_max(layer(x))) <= 6.0
