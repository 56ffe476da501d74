"""Our ResNet-50 DeepLabV3+ (beta root, output stride 16) in PyTorch.

For the benchmark only: the same number of weights, shapes, strides and rates.
"""

import torch
from torch import nn
from torch.nn import functional


class _Conv(nn.Sequential):
  """Convolution, batch norm and, on request, ReLU."""

  def __init__(self, inputs, outputs, size=1, stride=1, rate=1, **settings):
    relu = settings.pop('relu', True)
    padding = (size - 1) * rate // 2
    super().__init__(
      nn.Conv2d(
        *(inputs, outputs, size, stride, padding, rate),
        bias=False,
        **settings,
      ),
      nn.BatchNorm2d(outputs),
      *([nn.ReLU(inplace=True)] if relu else []),
    )


class _Separable(nn.Sequential):
  """3x3 depthwise, then 1x1, each with batch norm and ReLU."""

  def __init__(self, inputs, outputs, rate=1):
    super().__init__(
      _Conv(inputs, inputs, 3, rate=rate, groups=inputs),
      _Conv(inputs, outputs),
    )


class _Unit(nn.Module):
  """A bottleneck; the stride is on its 3x3 convolution."""

  def __init__(self, inputs, base, stride, rate):
    super().__init__()
    depth = 4 * base
    self.stride = stride
    self.shortcut = None
    if inputs != depth:
      self.shortcut = _Conv(inputs, depth, stride=stride, relu=False)
    self.residual = nn.Sequential(
      _Conv(inputs, base),
      _Conv(base, base, 3, stride, rate),
      _Conv(base, depth, relu=False),
    )

  def forward(self, net):
    """Returns the output and the residual."""
    residual = self.residual(net)
    if self.shortcut is not None:
      net = self.shortcut(net)
    else:
      net = net[:, :, :: self.stride, :: self.stride]
    return functional.relu(net + residual), residual


class DeepLab(nn.Module):
  """uint8 [batch, 3, height, width] to labels [batch, height, width].

  Args:
    classes: number of classes.
  """

  def __init__(self, classes):
    super().__init__()
    self.root = nn.Sequential(
      _Conv(3, 64, 3, 2), _Conv(64, 64, 3), _Conv(64, 128, 3)
    )
    self.units = nn.ModuleList()
    channels = 128
    for block, count in enumerate((3, 4, 6, 3)):
      for unit in range(count):
        # The third stride would exceed 16; block 4 has rate 2 instead.
        stride = 2 if block < 2 and unit == count - 1 else 1
        rate = 2 if block == 3 else 1
        self.units.append(_Unit(channels, 64 * 2**block, stride, rate))
        channels = 256 * 2**block
    self.low_unit = 1  # The second unit of block 1.
    self.pooling = _Conv(channels, 256)
    self.branches = nn.ModuleList(
      [
        _Conv(channels, 256),
        *(_Separable(channels, 256, rate) for rate in (6, 12, 18)),
      ]
    )
    self.joined = _Conv(5 * 256, 256)
    self.low = _Conv(256, 48)
    self.decoder = nn.Sequential(_Separable(304, 256), _Separable(256, 256))
    self.logits = nn.Conv2d(256, classes, 1)

  def forward(self, images):
    """Predicts."""
    net = self.root(images.float() * (2 / 255) - 1)
    net = functional.max_pool2d(net, 3, 2, 1)
    for i, unit in enumerate(self.units):
      net, residual = unit(net)
      if i == self.low_unit:
        low = residual
    pooled = self.pooling(net.mean((2, 3), keepdim=True))
    pooled = pooled.expand(-1, -1, *net.shape[2:])
    net = torch.cat([pooled, *(branch(net) for branch in self.branches)], 1)
    net = _resize(self.joined(net), low.shape[2:])
    net = self.decoder(torch.cat([net, self.low(low)], 1))
    logits = _resize(self.logits(net).float(), images.shape[2:])
    return logits.softmax(1).argmax(1)


def _resize(net, size):
  return functional.interpolate(
    net, tuple(size), mode='bilinear', align_corners=True
  )
