"""What the original's checkpoints call our variables, and what follows from it.

The rename is a rule, not a table. Our Keras path

    deeplab/trunk/resnet_v1_50/block1.unit_2.bottleneck_v1/conv3/conv/kernel

is, without the parts that are ours (`deeplab`, `trunk`, `aspp`, `conv`), with
slashes for dots, and with slim's word for the last part,

    resnet_v1_50/block1/unit_2/bottleneck_v1/conv3/weights

A separable convolution `x` of ours holds `x_depthwise` and `x_pointwise`, which
in the original have no parent.
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

# What the original means by last layers (train.py, get_extra_layer_scopes).
LOGITS_ONLY = ('logits',)
EXTRA_LAYERS = (
  'logits',
  'image_pooling',
  'aspp',
  'concat_projection',
  'decoder',
  'meta_architecture',
)


def original_name(path: str) -> str | None:
  """The original's name of a variable.

  Args:
    path: the Keras path of one of our variables.

  Returns:
    A name, or None for a variable that the original has no counterpart of (the
    counter of a dropout layer).
  """
  *scopes, last = path.split('/')
  if last not in _LAST:
    return None
  parts = [
    part
    for part, child in zip(scopes, [*scopes[1:], last], strict=True)
    if part not in _OURS
    and child not in (f'{part}_depthwise', f'{part}_pointwise')
  ]
  name = '/'.join(parts).replace('.', '/')
  is_depthwise = last == 'kernel' and name.endswith('depthwise')
  return f'{name}/{"depthwise_weights" if is_depthwise else _LAST[last]}'


def by_original_name(
  variables: Iterable[keras.Variable],
) -> dict[str, keras.Variable]:
  """{original name: variable}, without those that have none."""
  named = {original_name(v.path): v for v in variables}
  named.pop(None, None)
  return named


def gradient_multiplier(
  path: str, multiplier: float = 1.0, last_layers: Iterable[str] = EXTRA_LAYERS
) -> float:
  """How much more a variable learns, utils/train_utils.py of the original.

  Biases learn twice as fast as the rest, last layers `multiplier` times.

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
  """As `gradient_multiplier`, of a variable's original name."""
  result = 2.0 if 'biases' in name else 1.0
  # Any part of the name counts, as in the original.
  return result * (multiplier if any(x in name for x in last_layers) else 1.0)
