import numpy as np
import pytest

from deeplab_contrast.datasets import info
from deeplab_contrast.datasets.preparation import data_facts, statistics
from deeplab_contrast.utils import errors

_INFO = info.DatasetInfo('toy', ('a', 'b'), ((0, 0, 0), (9, 9, 9)))


def _counts(*pixels, size=(10, 20)):
  number = len(pixels)
  lines = np.ones([number, 2, 2]) * 300
  names = [str(i) for i in range(number)]
  sizes = np.array([size] * number)
  return statistics.SplitCounts(names, sizes, np.array(pixels), lines)


_BOTH, _ONE, _VOID = [150, 50, 0], [200, 0, 0], [0, 0, 200]


def test_facts_of_splits():
  found = data_facts.of_counts(
    _INFO,
    {
      'train': _counts(_BOTH, _ONE, _VOID),
      'val': _counts(_ONE, size=(30, 40)),
      'extra': _counts(_VOID, _VOID),
      'test': _counts(_VOID),
    },
  )
  assert (found.labelled, found.val) == (2, 1)
  assert found.unlabelled == {'extra': 2}  # Test images stay unseen.
  assert (found.size, found.largest) == ((10, 20), (30, 40))
  assert found.shares == (350 / 400, 50 / 400)
  # Runs of 300 in 3 images, over 350 and 50 pixels.
  assert found.thickness == (900 / 350, 900 / 50)
  assert found.absent_in_val == ('b',)


@pytest.mark.parametrize(
  ('train', 'val', 'sentence'),
  [
    (_VOID, _BOTH, 'No mask of split train of toy shows any class'),
    (_BOTH, _VOID, 'No mask of split val of toy shows any class'),
    (_ONE, _BOTH, 'split train of toy show a single class'),
  ],
)
def test_what_cannot_be_learnt_is_refused(train, val, sentence):
  with pytest.raises(errors.DataError, match=sentence):
    data_facts.of_counts(_INFO, {'train': _counts(train), 'val': _counts(val)})
