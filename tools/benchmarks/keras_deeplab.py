"""Our DeepLabV3+ on a beta ResNet at output stride 16, of stock Keras layers.

For the benchmark only: the same number of weights, shapes, strides and rates.
Keras resizes with half-pixel centres, which costs the same.
"""

from keras import Input, Model, layers, regularizers

from tools.benchmarks import networks

_DECAY = regularizers.L2(2e-5)


def deep_lab(classes, size, plan=None):
  """A Keras model: [batch, height, width, 3], 0..255, to logits of its size.

  Args:
    classes: number of classes.
    size: side of the images.
    plan: a `networks.Plan`; None is ResNet-50.
  """
  plan = plan or networks.plan()
  images = Input((size, size, 3))
  net = layers.Rescaling(2 / 255, -1)(images)
  for i, channels in enumerate(plan.root):
    net = _conv(net, channels, 3, 1 if i else 2)
  net = layers.MaxPooling2D(3, 2, 'same')(net)
  for i, unit in enumerate(plan.units):
    net, residual = _unit(net, unit, plan.bottleneck)
    if i == plan.low:
      low = residual
  net = _aspp(net, plan.filters)
  net = layers.Resizing(*low.shape[1:3])(net)
  net = layers.Concatenate()([net, _conv(low, 48)])
  for _ in range(2):
    net = _separable(net, plan.filters)
  net = layers.Conv2D(classes, 1, kernel_regularizer=_DECAY, dtype='float32')(
    net
  )
  return Model(images, layers.Resizing(size, size, dtype='float32')(net))


def _conv(net, filters, size=1, stride=1, rate=1, relu=True):
  net = layers.Conv2D(
    filters,
    size,
    stride,
    'same',
    dilation_rate=rate,
    use_bias=False,
    kernel_regularizer=_DECAY,
  )(net)
  return _norm(net, relu)


def _norm(net, relu=True):
  net = layers.BatchNormalization()(net)
  return layers.ReLU()(net) if relu else net


def _separable(net, filters, rate=1):
  net = layers.DepthwiseConv2D(
    3, padding='same', dilation_rate=rate, use_bias=False
  )(net)
  return _conv(_norm(net), filters)


def _unit(net, unit, bottleneck):
  shortcut = net
  if unit.project:
    shortcut = _conv(net, unit.depth, 1, unit.stride, relu=False)
  elif unit.stride > 1:
    shortcut = layers.MaxPooling2D(1, unit.stride)(net)
  if bottleneck:
    net = _conv(net, unit.base)
    net = _conv(net, unit.base, 3, unit.stride, unit.rate)
    residual = _conv(net, unit.depth, relu=False)
  else:
    net = _conv(net, unit.base, 3, rate=unit.rate)
    residual = _conv(net, unit.depth, 3, unit.stride, unit.rate, relu=False)
  return layers.ReLU()(layers.Add()([shortcut, residual])), residual


def _aspp(net, filters):
  pooled = layers.GlobalAveragePooling2D(keepdims=True)(net)
  pooled = layers.UpSampling2D(net.shape[1:3])(_conv(pooled, filters))
  branches = [pooled, _conv(net, filters)]
  branches += [_separable(net, filters, rate) for rate in networks.RATES]
  net = _conv(layers.Concatenate()(branches), filters)
  return layers.Dropout(0.1)(net)
