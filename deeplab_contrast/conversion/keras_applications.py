"""ImageNet weights of Keras Applications' MobileNets and EfficientNetV2.

Keras loads a file into its own network, because files from different years name
layers differently; from there the weights are converted by layer name. Padding,
epsilon and activations equal ours, so the numbers do not change.
"""

import re
from collections.abc import Mapping, Sequence

import keras
import numpy as np

from deeplab_contrast.conversion import hdf5_file, tf1
from deeplab_contrast.training import contents
from deeplab_contrast.utils import errors

_SCOPE = 'MobilenetV2'  # The original's.
_NORMS = ('gamma', 'beta', 'moving_mean', 'moving_variance')
_MOBILE_V2 = re.compile(
  r'(?:block_(\d+)|expanded_conv)_(expand|depthwise|project)(_BN)?'
)
_EXCITED = re.compile(r'squeeze_and_excite2d(?:_\d+)?')


def read(path: str, application: str) -> dict[str, np.ndarray]:
  """Reads a weight file without the classifier ("notop").

  Args:
    path: of an `.h5` or `.weights.h5` file.
    application: name of a class in `keras.applications`.

  Returns:
    {'layer/kind': float32 array}, such as 'stem_conv/kernel', in the order of
    the network.

  Raises:
    ConfigError: the file is for a different network, or a whole saved model.
    DataError: it cannot be read.
  """
  with hdf5_file.opened(path):
    pass  # Checks it.
  arguments = {'weights': None, 'include_top': False}
  if application != 'MobileNetV2':
    arguments['include_preprocessing'] = False
  net = getattr(keras.applications, application)(
    input_shape=(224, 224, 3), **arguments
  )
  try:
    net.load_weights(path)
  except (ValueError, KeyError, OSError, TypeError, IndexError) as error:
    raise errors.ConfigError(
      f'{path} does not hold the weights of {application} of Keras without its '
      f'classifier ({contents.first_line(error)}).'
    ) from error
  return {
    f'{layer.name}/{v.name}': np.array(v)
    for layer in net.layers
    for v in layer.weights
  }


def open_mobilenet_v2(path: str) -> tf1.Source:
  """Opens a file of MobileNetV2 under the original's names; see `read`."""
  tensors = _original_names(read(path, 'MobileNetV2'))
  return tf1.Source(
    path,
    {name: value.shape for name, value in tensors.items()},
    {name: value.dtype for name, value in tensors.items()},
    tensors.__getitem__,
  )


def _original_names(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
  """Renames the arrays of MobileNetV2 as in the original."""
  result = {}
  for name, array in arrays.items():
    layer, kind = name.split('/')
    place = _place(layer)
    if kind in _NORMS:
      kind = f'BatchNorm/{kind}'
    else:
      depthwise = place.endswith('depthwise')
      kind = 'depthwise_weights' if depthwise else 'weights'
    result[f'{_SCOPE}/{place}/{kind}'] = array
  return result


def _place(layer):
  """'expanded_conv_3/expand' for 'block_3_expand_BN'."""
  match = _MOBILE_V2.fullmatch(layer)
  if match is None:
    return 'Conv_1' if 'Conv_1' in layer else 'Conv'
  number = f'_{match[1]}' if match[1] else ''
  return f'expanded_conv{number}/{match[2]}'


def their_names(names: Sequence[str]) -> dict[str, str]:
  """{our name: Keras'} of the variables of a keras-cv encoder.

  Args:
    names: names of all its variables, in the order of the network.
  """
  result: dict[str, str] = {}
  squeezes: list[str] = []  # The convolutions inside, in order.
  block = ''
  for name in names:
    *owners, layer, kind = name.split('/')
    if kind == 'calls':
      continue  # A counter of stochastic depth.
    if owners and _EXCITED.fullmatch(owners[-1]):
      if name.rpartition('/')[0] not in squeezes:
        squeezes.append(name.rpartition('/')[0])
      number = squeezes.index(name.rpartition('/')[0])
      layer = f'{block}squeeze_excite_conv{"_1" if number % 2 else ""}'
    elif layer.startswith('expanded_conv'):
      block = re.sub(r'(expand|depthwise|project)(_BatchNorm)?$', '', layer)
      layer = layer.replace('_BatchNorm', '_bn')
    elif layer.startswith('Conv'):
      layer = layer.lower().replace('_batchnorm', '_bn')
    result[name] = f'{layer}/{kind}'
  return result
