"""The words every part of the house shares: keys of an example, the loss pair.

An example (and a batch) is a dict. Steps take a dict and return a dict.
"""

from typing import Any, NamedTuple

# Keys of an example and of a batch of examples.
IMAGE = 'image'  # float32 [..., height, width, 3], 0 to 255.
VIEWS = 'views'  # float32 [..., 2, height, width, 3]: image, distorted twin.
LABEL = 'label'  # int32 [..., height, width], class ids or IGNORE_LABEL.
ID = 'id'  # string []: the name of the image in its dataset.
SEED = 'seed'  # int32 [2]: the stateless seed of this example.

# Pixels with this label take no part in any loss or metric.
IGNORE_LABEL = 255

# The value that pads images: zero after the network's x * 2 / 255 - 1.
MEAN_PIXEL = 127.5


class Weighted(NamedTuple):
  """A loss as a sum and a count, so that replicas can be averaged rightly.

  The mean of the means of replicas is wrong when ignored pixels fall unevenly
  on them; the sum of totals over the sum of counts is not.

  Attributes:
    total: float32 [], summed over everything that counts on this replica.
    count: float32 [], how many there were.
  """

  total: Any
  count: Any
