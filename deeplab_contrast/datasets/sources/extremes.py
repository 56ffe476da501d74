"""Errors that name the images that are too large to be predicted together.

Whole images are padded to one size, the largest height and width of all. So one
image of 20000 x 20 and one of 20 x 20000 pixels, each harmless, together make
all of them 400 million pixels large.
"""

from collections.abc import Iterable, Iterator

from deeplab_contrast.common import ID, IMAGE
from deeplab_contrast.datasets.sources import examples as examples_lib
from deeplab_contrast.imaging import decoding
from deeplab_contrast.utils import errors

# The most numbers in one array: 4.3 GB of float32, and prediction needs about
# three such arrays.
MOST_VALUES = 2**30


def refusal(
  examples: examples_lib.Examples,
  padded: tuple[int, int],
  count: int,
  values: int,
  remedy: str = '',
) -> errors.DataError:
  """The DataError for images that are too large, alone or together.

  Args:
    examples: opened examples; the headers of all of them are read.
    padded: (height, width) they are padded to.
    count: how many are predicted at once.
    values: how many numbers the array of one image has.
    remedy: what to change in the configuration; '' if nothing helps.

  Returns:
    The error, to be raised.
  """
  sizes = list(_sizes(examples))
  highest = max(sizes, key=lambda named: named[1][0])
  widest = max(sizes, key=lambda named: named[1][1])
  which = f'the tallest image is {_show(*highest)}'
  if widest != highest:
    which += f', the widest {_show(*widest)}'
  remedy = f'{remedy}, or ' if remedy else ''
  return errors.DataError(
    f'{examples.info.name} cannot be predicted: padded to one size, '
    f'{padded[0]} x {padded[1]} (height x width), {count} at a time need '
    f'arrays of {4e-9 * count * values:.0f} GB; {which}: {remedy}cut such '
    'images into smaller ones, or leave them out.'
  )


def together(sizes: Iterable[tuple[int, int]]) -> bool:
  """Whether images of these (height, width) could be padded to one size."""
  height, width = (max(sides) for sides in zip(*sizes, strict=True))
  return 3 * height * width <= MOST_VALUES


def _sizes(
  examples: examples_lib.Examples,
) -> Iterator[tuple[str, tuple[int, int]]]:
  for i in range(len(examples)):
    example = examples[i]
    yield example[ID].decode(), decoding.image_size(example[IMAGE])


def _show(name, size):
  return f'{name} ({size[0]} x {size[1]})'
