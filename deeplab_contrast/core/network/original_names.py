"""The names of our variables in the original's checkpoints, and their use.

The rename is a rule, not a table. Our Keras path

    deeplab/trunk/resnet_v1_50/block1.unit_2.bottleneck_v1/conv3/conv/kernel

becomes, without the scopes that are ours (`deeplab`, `trunk`, `aspp`, `conv`),
with slashes for dots, and with slim's name for the last scope,

    resnet_v1_50/block1/unit_2/bottleneck_v1/conv3/weights

Our separable convolution `x` contains `x_depthwise` and `x_pointwise`, which
have no parent in the original.
"""

from collections.abc import Iterable

import keras

_OURS = ('deeplab', 'trunk', 'aspp', 'conv')
_LAST = {
  'kernel': 'weights',
  'bias': 'biases',
  'gamma': 'gamma',
  'beta': 'beta',
  'moving_mean': 'moving_mean',
  'moving_variance': 'moving_variance',
}

# The original's last layers (train.py, get_extra_layer_scopes), and the
# projection, which is ours and also new where the backbone is pretrained.
LOGITS_ONLY = ('logits',)
EXTRA_LAYERS = (
  'logits',
  'image_pooling',
  'aspp',
  'projection',
  'decoder',
  'meta_architecture',
)


def original_name(path: str) -> str | None:
  """The original's name of a variable.

  Args:
    path: the Keras path of one of our variables.

  Returns:
    A name, or None for a variable without a counterpart in the original (the
    counter of a dropout layer).
  """
  *scopes, last = path.split('/')
  if last not in _LAST:
    return None
  kept = [
    scope
    for scope, child in zip(scopes, [*scopes[1:], last], strict=True)
    if scope not in _OURS
    and child not in (f'{scope}_depthwise', f'{scope}_pointwise')
  ]
  name = '/'.join(kept).replace('.', '/')
  is_depthwise = last == 'kernel' and name.endswith('depthwise')
  return f'{name}/{"depthwise_weights" if is_depthwise else _LAST[last]}'


def by_original_name(
  variables: Iterable[keras.Variable],
) -> dict[str, keras.Variable]:
  """{original name: variable} of the variables that have one."""
  named = ((original_name(v.path), v) for v in variables)
  return {name: v for name, v in named if name is not None}


def gradient_multiplier(
  path: str, multiplier: float = 1.0, last_layers: Iterable[str] = EXTRA_LAYERS
) -> float:
  """The factor of a variable's gradient (utils/train_utils.py of the original).

  Biases learn twice as fast as the rest, the last layers `multiplier` times.

  Args:
    path: the Keras path of the variable.
    multiplier: the original's last_layer_gradient_multiplier.
    last_layers: `EXTRA_LAYERS` or `LOGITS_ONLY`.

  Returns:
    float.
  """
  return multiplier_of_name(
    original_name(path) or path, multiplier, last_layers
  )


def multiplier_of_name(
  name: str, multiplier: float, last_layers: Iterable[str]
) -> float:
  """The same as `gradient_multiplier`, by a variable's original name."""
  result = 2.0 if 'biases' in name else 1.0
  # A match anywhere in the name counts, as in the original.
  return result * (multiplier if any(x in name for x in last_layers) else 1.0)
