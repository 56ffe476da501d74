import pytest

from deeplab_contrast.datasets import sources
from deeplab_contrast.datasets.sources import overlap
from deeplab_contrast.utils import errors
from tests.datasets import in_memory


def test_images_that_are_in_both_are_refused():
  all_images = in_memory.PaintedSource(count=6).open(None)
  few = sources.Subset(all_images, [4, 1])
  with pytest.raises(
    errors.DataError, match='2 of the unlabelled images are val'
  ):
    overlap.refuse(all_images, few, 'val')
  overlap.refuse(sources.Subset(all_images, [0, 2]), few, 'val')


def test_other_images_may_have_the_same_names():
  ours = in_memory.PaintedSource(count=3).open(None)
  theirs = in_memory.Painted(['x1'], [[[0, 1], [1, 2]]])
  overlap.refuse(ours, theirs, 'labelled')
