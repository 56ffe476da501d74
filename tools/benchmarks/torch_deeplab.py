"""Our DeepLabV3+ on a beta ResNet at output stride 16, in PyTorch.

For the benchmark only: the same number of weights, shapes, strides and rates.
"""

import torch
from torch import nn
from torch.nn import functional

from tools.benchmarks import networks


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
  """A residual unit; the stride is on its last 3x3 convolution."""

  def __init__(self, inputs, unit, bottleneck):
    super().__init__()
    base, depth, self.stride, rate, project = unit
    self.shortcut = None
    if project:
      self.shortcut = _Conv(inputs, depth, stride=self.stride, relu=False)
    if bottleneck:
      self.residual = nn.Sequential(
        _Conv(inputs, base),
        _Conv(base, base, 3, self.stride, rate),
        _Conv(base, depth, relu=False),
      )
    else:
      self.residual = nn.Sequential(
        _Conv(inputs, base, 3, rate=rate),
        _Conv(base, depth, 3, self.stride, rate, relu=False),
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
  """uint8 or float [batch, 3, height, width] to labels [batch, height, width].

  Args:
    classes: number of classes.
    plan: a `networks.Plan`; None is ResNet-50.
  """

  def __init__(self, classes, plan=None):
    super().__init__()
    plan = plan or networks.plan()
    root = (3, *plan.root)
    self.root = nn.Sequential(
      *(_Conv(root[i], root[i + 1], 3, 1 if i else 2) for i in range(3))
    )
    depths = [plan.root[-1], *(unit.depth for unit in plan.units)]
    self.units = nn.ModuleList(
      _Unit(inputs, unit, plan.bottleneck)
      for inputs, unit in zip(depths, plan.units, strict=False)
    )
    self.low_unit = plan.low
    channels, low, filters = depths[-1], depths[plan.low + 1], plan.filters
    self.pooling = _Conv(channels, filters)
    self.branches = nn.ModuleList(
      [
        _Conv(channels, filters),
        *(_Separable(channels, filters, rate) for rate in networks.RATES),
      ]
    )
    self.joined = _Conv(5 * filters, filters)
    self.dropout = nn.Dropout(0.1)
    self.low = _Conv(low, 48)
    self.decoder = nn.Sequential(
      _Separable(filters + 48, filters), _Separable(filters, filters)
    )
    self.last = nn.Conv2d(filters, classes, 1)

  def logits(self, images):
    """float32 [batch, classes, height, width]."""
    net = self.root(images.float() * (2 / 255) - 1)
    net = functional.max_pool2d(net, 3, 2, 1)
    for i, unit in enumerate(self.units):
      net, residual = unit(net)
      if i == self.low_unit:
        low = residual
    pooled = self.pooling(net.mean((2, 3), keepdim=True))
    pooled = pooled.expand(-1, -1, *net.shape[2:])
    net = torch.cat([pooled, *(branch(net) for branch in self.branches)], 1)
    net = _resize(self.dropout(self.joined(net)), low.shape[2:])
    net = self.decoder(torch.cat([net, self.low(low)], 1))
    return _resize(self.last(net).float(), images.shape[2:])

  def forward(self, images):
    """Predicts."""
    return self.logits(images).softmax(1).argmax(1)


def _resize(net, size):
  return functional.interpolate(
    net, tuple(size), mode='bilinear', align_corners=True
  )
