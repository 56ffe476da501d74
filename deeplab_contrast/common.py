"""Names that all rooms share: the keys of an example, and a weighted loss.

An example (and a batch) is a dict. Transforms take a dict and return a dict.
"""

from typing import Any, NamedTuple

# Keys of an example and of a batch of examples.
IMAGE = 'image'  # float32 [..., height, width, 3], 0 to 255.
VIEWS = 'views'  # float32 [..., n, height, width, 3]: image, distorted views.
LABEL = 'label'  # int32 [..., height, width], class ids or IGNORE_LABEL.
ID = 'id'  # string []: the name of the image in its dataset.
SEED = 'seed'  # int32 [2]: the stateless seed of this example.
MIX = 'mix'  # bool [..., n - 1, height, width]: where views take the partner's.
VALID = 'valid'  # bool [..., height, width]: pixels that are not padding.

# Key of a batch: a batch of images whose labels are not used, a dict itself.
UNLABELLED = 'unlabelled'

# Pixels with this label are left out of every loss and metric.
IGNORE_LABEL = 255

# Stands for IGNORE_LABEL in the mask of an unlabelled image until the views are
# made, so that padding can be told from it.
VOID_LABEL = 254

# The value of padded pixels: zero after the network's x * 2 / 255 - 1.
MEAN_PIXEL = 127.5


class Weighted(NamedTuple):
  """A loss as a sum and a count, so that replicas are averaged correctly.

  The mean of the replicas' means is wrong if they differ in how many pixels are
  ignored; the sum of totals over the sum of counts is right.

  Attributes:
    total: float32 [], the sum over all terms of this replica.
    count: float32 [], the number of terms.
  """

  total: Any
  count: Any


class Term(NamedTuple):
  """A `Weighted` with a weight of its own in the objective.

  Attributes:
    total: float32 [], see `Weighted`; or [classes], with weight 0.0.
    count: float32, see `Weighted`, of the same shape.
    weight: of the mean, a float or a float32 tensor [], the same on all
      replicas; with 0.0 the mean is only logged. Numbers by class are logged
      over all steps since the last line, also for all classes together.
  """

  total: Any
  count: Any
  weight: Any
