"""ImageNet weights of keras.applications.ResNet50 and ResNet101.

Only arrays are read, by h5py: neither a saved model nor any code.

Keras' network is equivalent to the original's resnet_v1:

- Keras has stride 2 in the first 1x1 convolution and the shortcut of a block,
  ours in the 3x3 convolution of the last unit of the previous block. A 1x1
  convolution with stride 2 takes every second pixel of its input and nothing
  else, so both compute the same with the same weights, and ours can be atrous.
- Its convolutions have biases, which move into the mean of the batch norm.
- Its epsilon is 1.001e-5: the difference moves into the variance.
- Its pixels are BGR minus a different mean: the first kernel is reversed, and
  the difference of the means moves into the mean of the batch norm. Keras pads
  with its mean and ours with ours, so features whose receptive field reaches
  the border differ, as from a change of the padding by less than a grey level.
- Its max pooling pads before the first row. Ours, like the original's, does so
  for sizes 4k + 1 only, such as all crops k * stride + 1. At other sizes all
  features differ from those of Keras.
"""

import re
from collections.abc import Mapping

import h5py
import numpy as np

from deeplab_contrast.conversion import hdf5_file, tf1
from deeplab_contrast.core.network import pixels
from deeplab_contrast.training import contents
from deeplab_contrast.utils import errors

_MEAN_RGB = (123.68, 116.779, 103.939)
_EXTRA_EPSILON = 1.001e-5 - 1e-5
_KINDS = {
  'conv': ('kernel', 'bias'),
  'bn': ('gamma', 'beta', 'moving_mean', 'moving_variance'),
}
_LAYER = re.compile(r'(conv\d_block\d+_\d|conv1)_(conv|bn)')
_UNIT = re.compile(r'conv(\d)_block(\d+)_(\d)')

NOTES = (
  'Keras has stride 2 at the start of a block and ours at the end of the '
  'previous one: the same function, as 1x1 convolutions with stride 2 only '
  'skip pixels.',
  'Biases, epsilon and mean pixel of Keras are folded into the batch norms; '
  'near the border the mean pixel makes a difference of less than one grey '
  'level of the input.',
  'Exact for sizes 4k + 1 (all crops k * stride + 1); at other sizes Keras '
  'pads its max pooling on the other side.',
)


def open_weights(path: str) -> tf1.Source:
  """Opens a weights file.

  Args:
    path: path of `.weights.h5`, or of the classic `.h5` with names of layers.

  Returns:
    Its tensors, with the original's names.

  Raises:
    ConfigError: the file is of a different kind.
    DataError: it cannot be read.
  """
  with hdf5_file.opened(path) as file:
    layers = _layers(file)
  _refuse_others(path, layers)
  try:
    tensors = _convert(layers)
  except (ValueError, IndexError) as error:
    raise errors.DataError(
      f'{path} has arrays whose shapes do not belong together '
      f'({contents.first_line(error)}); bring the file from its source again.'
    ) from error
  return tf1.Source(
    path,
    {name: value.shape for name, value in tensors.items()},
    {name: value.dtype for name, value in tensors.items()},
    tensors.__getitem__,
    NOTES,
  )


def _layers(file: h5py.File) -> dict[str, dict[str, np.ndarray]]:
  """{layer: {kind: array}} of all arrays of a file."""
  layers: dict[str, dict[str, np.ndarray]] = {}

  def visit(name, item):
    if not isinstance(item, h5py.Dataset):
      return
    parts = name.split('/')
    layer, kind = parts[0], parts[-1].partition(':')[0]
    if parts[-2:-1] == ['vars']:  # Keras 3 numbers them.
      layer = str(item.parent.attrs.get('name', '/'.join(parts[:-2])))
      kinds = _KINDS.get(layer.rpartition('_')[2], ('kernel', 'bias'))
      kind = kinds[int(kind)] if int(kind) < len(kinds) else kind
    layers.setdefault(layer, {})[kind] = np.asarray(item)

  file.visititems(visit)
  return layers


def _refuse_others(path, layers):
  if any('preact' in name or name == 'post_bn' for name in layers):
    raise errors.ConfigError(
      f'{path} is a ResNet V2, which normalizes before it convolves; only '
      'ResNet50 and ResNet101 (V1) can be converted.'
    )
  if 'conv1_conv' not in layers:
    raise errors.ConfigError(
      f'{path} has no layer conv1_conv, so it is not ResNet50 or ResNet101 of '
      f'keras.applications (it has {", ".join(sorted(layers)[:5])}).'
    )


def _convert(
  layers: Mapping[str, Mapping[str, np.ndarray]],
) -> dict[str, np.ndarray]:
  """{original name: array}; a layer with an unknown name keeps it."""
  depth = 50
  if 'conv4_block7_1_conv' in layers:
    depth = 152 if 'conv4_block24_1_conv' in layers else 101
  scope = f'resnet_v1_{depth}'
  result: dict[str, np.ndarray] = {}
  for layer, arrays in layers.items():
    match = _LAYER.fullmatch(layer)
    if layer == 'predictions':
      kinds = {'kernel': 'weights', 'bias': 'biases'}
      result |= {
        f'{scope}/logits/{kinds.get(k, k)}': v for k, v in arrays.items()
      }
    elif match is None:
      result |= {f'{layer}/{k}': v for k, v in arrays.items()}
    elif match[2] == 'conv' and 'kernel' in arrays:
      kernel = arrays['kernel']
      if layer == 'conv1_conv':
        kernel = kernel[:, :, ::-1]
      result[f'{scope}/{_unit(match[1])}/weights'] = kernel
    elif match[2] == 'bn':
      conv = layers.get(f'{match[1]}_conv', {})
      folded = _fold(arrays, _shift(match[1], conv))
      norm = f'{scope}/{_unit(match[1])}/BatchNorm'
      result |= {f'{norm}/{k}': v for k, v in folded.items()}
  return result


def _unit(name):
  """'block1/unit_2/bottleneck_v1/conv3' for 'conv2_block2_3'."""
  match = _UNIT.fullmatch(name)
  if match is None:
    return name
  conv = f'conv{match[3]}' if match[3] != '0' else 'shortcut'
  return f'block{int(match[1]) - 1}/unit_{match[2]}/bottleneck_v1/{conv}'


def _shift(name, conv):
  """What Keras' convolution adds to ours, float64 [channels]."""
  shift = np.asarray(conv.get('bias', 0.0), np.float64)
  kernel = conv.get('kernel')
  if name == 'conv1' and kernel is not None and kernel.shape[2:3] == (3,):
    means = np.asarray(pixels.MEAN_RGB) - np.asarray(_MEAN_RGB)
    rgb = kernel[:, :, ::-1].astype(np.float64)
    shift = shift + np.einsum('hwio,i->o', rgb, means)
  return shift


def _fold(norm, shift):
  """A batch norm that compensates for a missing shift of its input."""
  result = dict(norm)
  for kind, change in (
    ('moving_mean', -shift),
    ('moving_variance', _EXTRA_EPSILON),
  ):
    if kind in norm:
      value = norm[kind].astype(np.float64) + change
      result[kind] = value.astype(norm[kind].dtype)
  return result
