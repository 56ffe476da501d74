import keras
import numpy as np
import pytest
import tensorflow as tf

from deeplab_contrast.core.network import conv


def outcome(layer, pixels, size):
  """Output of a layer, and its gradients by pixels and kernel."""
  spec = tf.TensorSpec([None, *size, pixels.shape[-1]])

  @tf.function(input_signature=[spec])
  def run(pixels):
    with tf.GradientTape() as tape:
      tape.watch(pixels)
      output = layer(pixels)
      loss = tf.reduce_sum(tf.sin(output))
    sources = [pixels, layer.trainable_variables[0].value]
    return [output, *tape.gradient(loss, sources)]

  return run(pixels)


@pytest.mark.parametrize('name', ['Conv2D', 'DepthwiseConv2D'])
@pytest.mark.parametrize(
  ('size', 'rate'),
  [((9, 9), 2), ((9, 9), 8), ((9, 9), 9), ((5, 19), 6), ((None, None), 12)],
)
def test_atrous_rates_give_what_keras_gives(name, size, rate):
  filters = [6] if name == 'Conv2D' else []
  check(name, [*filters, 3], size, dilation_rate=rate, use_bias=False)


# oneDNN's gradient by 3x3 taps is fast, so larger kernels are made of such.
@pytest.mark.parametrize('kernel', [4, 5, 7])
@pytest.mark.parametrize(
  ('size', 'rates'),
  [((9, 9), (1, 1)), ((10, 7), (2, 1)), ((9, 10), (1, 2)), ((4, 5), (1, 3))],
)
def test_depthwise_kernels_of_any_size(kernel, size, rates):
  stride, rate = rates
  settings = {'strides': stride, 'dilation_rate': rate, 'use_bias': False}
  check('DepthwiseConv2D', [kernel], size, **settings)


def check(name, arguments, size, **settings):
  ours, theirs = (
    getattr(module, name)(*arguments, padding='same', **settings)
    for module in (conv, keras.layers)
  )
  shape = [2, *(side or 7 for side in size), 4]
  pixels = tf.random.stateless_normal(shape, (0, 1))
  ours.build(shape)
  theirs.build(shape)
  theirs.set_weights(ours.get_weights())
  found, wanted = (outcome(x, pixels, size) for x in (ours, theirs))
  for a, b in zip(found, wanted, strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
