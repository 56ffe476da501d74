import numpy as np
import pytest
import tensorflow as tf

from deeplab_contrast.core import resize
from deeplab_contrast.core.network import decoder


def random(*shape):
  return tf.random.stateless_normal(shape, seed=[len(shape), shape[1]])


def inputs():
  """Features of an image of 65x97 pixels: at stride 16, and low-level ones."""
  low = {
    4: random(1, 17, 25, 5),
    8: random(1, 9, 13, 6),
    16: random(1, 5, 7, 7),
  }
  return random(1, 5, 7, 3), low


def names(layer):
  return sorted(
    {v.path.partition('/')[2].rpartition('/')[0] for v in layer.weights}
  )


def run(layer):
  features, low = inputs()
  return layer(features, low, size=(65, 97))


def test_without_strides_there_is_no_decoder():
  for strides in (None, ()):
    layer = decoder.Decoder(strides)
    features, low = inputs()
    assert layer(features, low, size=(65, 97)) is features
    assert not layer.weights


def test_two_stages_have_the_names_of_the_original():
  layer = decoder.Decoder((8, 4), decoder_filters=4)
  assert tuple(run(layer).shape) == (1, 17, 25, 4)
  convs = {n.split('/')[0] for n in names(layer)}
  assert convs == {
    'feature_projection0',
    'feature_projection0_1',
    'decoder_conv0',
    'decoder_conv1',
    'decoder_conv0_1',
    'decoder_conv1_1',
  }


def test_plain_convolutions():
  layer = decoder.Decoder((4,), 4, decoder_use_separable_conv=False)
  assert tuple(run(layer).shape) == (1, 17, 25, 4)
  assert 'decoder_conv0.decoder_conv0_2/conv' in names(layer)
  (kernel,) = (
    v for v in layer.weights if v.path.endswith('decoder_conv0_1/conv/kernel')
  )
  assert tuple(kernel.shape) == (3, 3, 3 + 48, 4)


@pytest.mark.parametrize('separable', [True, False])
def test_sum_merge(separable):
  layer = decoder.Decoder(
    (4,), 4, decoder_use_separable_conv=separable, decoder_use_sum_merge=True
  )
  actual = run(layer)
  features, low = inputs()
  (conv,) = layer.stages[0]
  expected = conv(resize.bilinear(features, (17, 25)))
  expected += layer.projections[0](low[4])
  np.testing.assert_allclose(actual, expected, atol=1e-6)
  name = 'decoder_split_sep_conv0' if separable else 'decoder_conv0'
  assert any(n.startswith(name) for n in names(layer))


def test_logits_are_from_plain_1x1_convolutions():
  layer = decoder.Decoder(
    (4,), 4, decoder_use_sum_merge=True, decoder_output_is_logits=True
  )
  assert float(tf.reduce_min(run(layer))) < 0
  shapes = {v.path.partition('/')[2]: tuple(v.shape) for v in layer.weights}
  assert shapes == {
    'feature_projection0/conv/kernel': (1, 1, 5, 4),
    'feature_projection0/conv/bias': (4,),
    'decoder_conv0/conv/kernel': (1, 1, 3, 4),
    'decoder_conv0/conv/bias': (4,),
  }


@pytest.mark.parametrize(
  ('strides', 'message'), [((4, 8), 'coarse to fine'), ((2,), '16, 8 and 4')]
)
def test_bad_strides_are_named(strides, message):
  with pytest.raises(ValueError, match=message):
    decoder.Decoder(strides)
