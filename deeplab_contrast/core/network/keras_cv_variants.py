"""The numbers of the keras-cv backbones, by variant.

Keras-cv's own presets need internet access even for the architecture alone, so
their values are listed here, from the papers. Tests compare the numbers of
weights with those that keras-cv states.
"""

from typing import Any

from deeplab_contrast.core.network import atrous

# EfficientNetV2 (Tan and Le, ICML 2021), table 4 and its B models.
_FUSED_THEN_NOT = ('fused',) * 3 + ('unfused',) * 4
_EFFICIENT = {
  # Repeats, input and output channels of the stacks.
  's': ((2, 4, 4, 6, 9, 15), 24, (24, 48, 64, 128, 160, 256)),
  'm': ((3, 5, 5, 7, 14, 18, 5), 24, (24, 48, 80, 160, 176, 304, 512)),
  'l': ((4, 7, 7, 10, 19, 25, 7), 32, (32, 64, 96, 192, 224, 384, 640)),
  'b': ((1, 2, 2, 3, 5, 8), 32, (16, 32, 48, 96, 112, 192)),
}
# Model: (row above, width, depth).
_EFFICIENT_SCALES = {
  **{size: (size, 1.0, 1.0) for size in 'sml'},
  **{'b0': ('b', 1.0, 1.0), 'b1': ('b', 1.0, 1.1)},
  **{'b2': ('b', 1.1, 1.2), 'b3': ('b', 1.2, 1.4)},
}

# EfficientNet-Lite (efficientnet/lite of github.com/tensorflow/tpu): width and
# depth of EfficientNet's scaling (Tan and Le, ICML 2019).
_LITE = {
  'lite0': (1.0, 1.0),
  'lite1': (1.0, 1.1),
  'lite2': (1.1, 1.2),
  'lite3': (1.2, 1.4),
  'lite4': (1.4, 1.8),
}

# MobileNetV3 (Howard et al., ICCV 2019), tables 1 and 2.
_MOBILE: dict[str, dict[str, Any]] = {
  'small': {
    'stackwise_expansion': (1, 72 / 16, 88 / 24, 4, 6, 6, 3, 3, 6, 6, 6),
    'stackwise_filters': (16, 24, 24, 40, 40, 40, 48, 48, 96, 96, 96),
    'stackwise_kernel_size': (3,) * 3 + (5,) * 8,
    'stackwise_stride': (2, 2, 1, 2, 1, 1, 1, 1, 2, 1, 1),
    'stackwise_se_ratio': (0.25, None, None) + (0.25,) * 8,
    'stackwise_activation': ('relu',) * 3 + ('hard_swish',) * 8,
  },
  'large': {
    'stackwise_expansion': (1, 4, 3, 3, 3, 3, 6, 2.5, 2.3, 2.3) + (6,) * 5,
    'stackwise_filters': (
      *(16, 24, 24, 40, 40, 40, 80, 80, 80, 80),
      *(112, 112, 160, 160, 160),
    ),
    'stackwise_kernel_size': (3,) * 3 + (5,) * 3 + (3,) * 6 + (5,) * 3,
    'stackwise_stride': (1, 2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1),
    'stackwise_se_ratio': (
      (None,) * 3 + (0.25,) * 3 + (None,) * 4 + (0.25,) * 5
    ),
    'stackwise_activation': ('relu',) * 6 + ('hard_swish',) * 9,
  },
}

# Channels and depths (YOLOX, Ge et al. 2021).
_DARK = {
  'tiny': ((48, 96, 192, 384), (1, 3, 3, 1)),
  's': ((64, 128, 256, 512), (1, 3, 3, 1)),
  'm': ((96, 192, 384, 768), (2, 6, 6, 2)),
  'l': ((128, 256, 512, 1024), (3, 9, 9, 3)),
  'xl': ((170, 340, 680, 1360), (4, 12, 12, 4)),
}

# Blocks of the stacks (He et al., ECCV 2016), and their kind.
_RESNET = {
  '18': ((2, 2, 2, 2), 'basic_block'),
  '34': ((3, 4, 6, 3), 'basic_block'),
  '50': ((3, 4, 6, 3), 'block'),
  '101': ((3, 4, 23, 3), 'block'),
  '152': ((3, 8, 36, 3), 'block'),
}

# Depths and channels of a head (SegFormer, Xie et al., NeurIPS 2021, table 6).
_MIT = {
  'b0': ((2, 2, 2, 2), 32),
  'b1': ((2, 2, 2, 2), 64),
  'b2': ((3, 4, 6, 3), 64),
  'b3': ((3, 4, 18, 3), 64),
  'b4': ((3, 8, 27, 3), 64),
  'b5': ((3, 6, 40, 3), 64),
}
_MIT_HEADS = (1, 2, 5, 8)  # Fixed by keras-cv.


def _efficient_net_v2(size: str, width: float) -> dict[str, Any]:
  kind, wide, deep = _EFFICIENT_SCALES[size]
  repeats, first, outputs = _EFFICIENT[kind]
  count = len(repeats)
  return {
    'stackwise_kernel_sizes': (3,) * count,
    'stackwise_num_repeats': repeats,
    'stackwise_input_filters': (first, *outputs[:-1]),
    'stackwise_output_filters': outputs,
    'stackwise_expansion_ratios': (1, 4, 4, 4, 6, 6, 6)[:count],
    'stackwise_squeeze_and_excite_ratios': ((0,) * 3 + (0.25,) * 4)[:count],
    'stackwise_strides': (1, 2, 2, 2, 1, 2, 1)[:count],
    'stackwise_conv_types': _FUSED_THEN_NOT[:count],
    'width_coefficient': wide * width,
    'depth_coefficient': deep,
  }


def _efficient_net_lite(size: str, width: float) -> dict[str, Any]:
  wide, deep = _LITE[size]
  wide *= width
  outputs = (16, 24, 40, 80, 112, 192, 320)
  return {
    'stackwise_kernel_sizes': (3, 3, 5, 3, 5, 5, 3),
    'stackwise_num_repeats': (1, 2, 2, 3, 3, 4, 1),
    # The first convolution gives 32 at any width.
    'stackwise_input_filters': (32 / wide, *outputs[:-1]),
    'stackwise_output_filters': outputs,
    'stackwise_expansion_ratios': (1, 6, 6, 6, 6, 6, 6),
    'stackwise_strides': (1, 2, 2, 2, 1, 2, 1),
    'width_coefficient': wide,
    'depth_coefficient': deep,
  }


def _mobile_net_v3(size: str, width: float) -> dict[str, Any]:
  return {**_MOBILE[size], 'alpha': width}


def _csp_dark_net(size: str, width: float) -> dict[str, Any]:
  channels, depths = _DARK[size]
  return {
    'stackwise_channels': [atrous.scale_channels(c, width) for c in channels],
    'stackwise_depth': depths,
  }


def _resnet_v2(size: str, width: float) -> dict[str, Any]:
  blocks, kind = _RESNET[size]
  filters = [atrous.scale_channels(c, width) for c in (64, 128, 256, 512)]
  if kind == 'basic_block':
    filters[0] = 64  # Its first shortcut is the root of 64 channels itself.
  return {
    'stackwise_filters': filters,
    'stackwise_blocks': blocks,
    'stackwise_strides': (1, 2, 2, 2),
    'block_type': kind,
  }


def _mit(size: str, width: float) -> dict[str, Any]:
  depths, channels = _MIT[size]
  channels = atrous.scale_channels(channels, width)
  return {
    'depths': depths,
    'embedding_dims': [channels * heads for heads in _MIT_HEADS],
    # Keras-cv builds it for one size only; see `KerasCvBackbone`.
    'input_shape': (64, 64, 3),
  }


# Family: (keras-cv class, function that returns its arguments, sizes, levels of
# its pyramid at strides 4, 8 and 16).
FAMILIES = {
  'efficientnet_v2': (
    'EfficientNetV2Backbone',
    _efficient_net_v2,
    tuple(_EFFICIENT_SCALES),
    ('P2', 'P3', 'P4'),
  ),
  'efficientnet': (
    'EfficientNetLiteBackbone',
    _efficient_net_lite,
    tuple(_LITE),
    ('P2', 'P3', 'P4'),
  ),
  'mobilenet_v3': (
    'MobileNetV3Backbone',
    _mobile_net_v3,
    tuple(_MOBILE),
    ('P2', 'P3', 'P4'),
  ),
  'csp_darknet': (
    'CSPDarkNetBackbone',
    _csp_dark_net,
    tuple(_DARK),
    ('P2', 'P3', 'P4'),
  ),
  'resnet_v2': (
    'ResNetV2Backbone',
    _resnet_v2,
    tuple(_RESNET),
    ('P2', 'P3', 'P4'),
  ),
  # Its pyramid has no level of stride 2.
  'mit': ('MiTBackbone', _mit, tuple(_MIT), ('P1', 'P2', 'P3')),
}

NAMES = tuple(
  f'{family}_{size}' for family, row in FAMILIES.items() for size in row[2]
)


def find(variant: str) -> tuple[str, str]:
  """Splits the name of a variant.

  Args:
    variant: one of `NAMES`.

  Returns:
    (family, size), such as ('mit', 'b0').

  Raises:
    ValueError: on an unknown variant.
  """
  if variant not in NAMES:
    raise ValueError(
      f'Unknown keras-cv backbone {variant!r}; known: {", ".join(NAMES)}.'
    )
  family, _, size = variant.rpartition('_')
  return family, size
