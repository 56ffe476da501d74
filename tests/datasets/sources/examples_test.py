import pytest

from deeplab_contrast.common import ID
from deeplab_contrast.datasets import sources
from deeplab_contrast.datasets.voc2012_segmentation import Voc2012
from deeplab_contrast.utils import errors
from tests.datasets.in_memory import Named, NamedSource


def test_a_subset_keeps_its_order():
  subset = sources.Subset(Named(['a', 'b', 'c', 'd']), [2, 0])
  assert subset.ids() == ['c', 'a']
  assert [example[ID] for example in subset] == [b'c', b'a']
  assert len(sources.Subset(subset, range(1))) == 1
  assert subset.max_size == (3, 4)
  assert subset.info is Voc2012.info


@pytest.mark.parametrize(
  'outer',
  [
    lambda mixture: sources.LabelBudget(mixture, count=1),
    lambda mixture: sources.Unlabelled(mixture),
    lambda mixture: sources.Union((mixture,)),
    lambda mixture: sources.Mixture((mixture,), (1,)),
    lambda mixture: sources.PseudoLabelled(mixture, 'nowhere'),
  ],
)
def test_a_mixture_lies_outside(outer):
  mixture = sources.Mixture((NamedSource(('a', 'b')),), (1,))
  with pytest.raises(errors.ConfigError, match='Mixture must be the outermost'):
    outer(mixture).open(None)
