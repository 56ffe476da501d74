"""What a step is, and the order in which steps can follow each other."""

from collections.abc import Callable, Sequence

import tensorflow as tf

from deeplab_contrast.utils import errors

Example = dict[str, tf.Tensor]
Transform = Callable[[Example], Example]

# The states of an example: what a step `takes`, and `gives` if it changes it.
ENCODED = 'an encoded image'
DECODED = 'a decoded image'
SEVERAL_VIEWS = 'several views'


def check(transforms: Sequence[Transform]) -> None:
  """Refuses an order in which a step would miss what it works on.

  A custom transform without `takes` and `gives` may stand anywhere, and
  anything may follow it.

  Args:
    transforms: the steps of a pipeline, the first one first.

  Raises:
    ConfigError: names the first step out of place.
  """
  state: str | None = ENCODED
  for place, transform in enumerate(transforms, start=1):
    takes = getattr(transform, 'takes', None)
    if takes and state and takes != state:
      raise errors.ConfigError(
        f'Transform {place}, {type(transform).__name__}, takes {takes}, but '
        f'gets {state}: start with Decode, and end with TwoViews if you use it.'
      )
    state = getattr(transform, 'gives', takes)
