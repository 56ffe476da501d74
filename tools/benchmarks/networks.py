"""The plan of our ResNets, for the same networks in stock Keras and PyTorch.

Imports neither framework.
"""

from typing import NamedTuple

from deeplab_contrast.core.network import atrous

# Root channels, units per block, whether they are bottlenecks, and the unit of
# block 1 whose residual is the low-level feature.
_VARIANTS = {
  'resnet_v1_18_beta': ((16, 16, 32), (2, 2, 2, 2), False, 0),
  'resnet_v1_50_beta': ((64, 64, 128), (3, 4, 6, 3), True, 1),
  'resnet_v1_101_beta': ((64, 64, 128), (3, 4, 23, 3), True, 1),
}
NAMES = tuple(_VARIANTS)
RATES = (6, 12, 18)


class Unit(NamedTuple):
  """One residual unit."""

  base: int
  depth: int
  stride: int
  rate: int
  project: bool


class Plan(NamedTuple):
  """What a network is built from.

  Attributes:
    root: channels of the three 3x3 convolutions.
    units: `Unit`s.
    bottleneck: whether a unit is 1x1, 3x3, 1x1 or two 3x3.
    low: index of the unit whose residual is the low-level feature.
    filters: channels of ASPP and decoder.
  """

  root: tuple[int, ...]
  units: tuple[Unit, ...]
  bottleneck: bool
  low: int
  filters: int


def plan(name='resnet_v1_50_beta', width=1.0):
  """The plan of a network at output stride 16."""
  root, blocks, bottleneck, low = _VARIANTS[name]
  places = [(b, u) for b, count in enumerate(blocks) for u in range(count)]
  strides = [2 if b < 3 and u == blocks[b] - 1 else 1 for b, u in places]
  units = []
  for (block, unit), (stride, rate) in zip(
    places, atrous.plan(strides, 4), strict=True
  ):
    base = atrous.scale_channels(64 * 2**block, width)
    depth = base * (4 if bottleneck else 1)
    units.append(Unit(base, depth, stride, rate, unit == 0))
  return Plan(
    tuple(atrous.scale_channels(c, width) for c in root),
    tuple(units),
    bottleneck,
    low,
    filters(width),
  )


def filters(width):
  """Channels of ASPP and decoder for a width: 256 for 1."""
  return atrous.scale_channels(256, width)
