import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from deeplab_contrast.common import ID, IMAGE, LABEL
from deeplab_contrast.datasets import sources, transforms
from deeplab_contrast.imaging import decoding
from tests.datasets.in_memory import PaintedSource, decoded


def test_labels_are_hidden_and_nothing_else():
  plain = PaintedSource().open(None)
  hidden = sources.Unlabelled(PaintedSource()).open(None)
  assert hidden.info is plain.info
  assert hidden.max_size == plain.max_size
  assert hidden.ids() == plain.ids()
  assert len(hidden) == len(plain) == 5
  for before, after in zip(plain, hidden, strict=True):
    assert after[IMAGE] == before[IMAGE]
    assert after[ID] == before[ID]
    label = decoded(after[LABEL])
    assert label.shape == decoded(before[IMAGE]).shape[:2]
    assert (label == 255).all()


def test_hidden_labels_decode_like_others():
  example = sources.Unlabelled(PaintedSource()).open(None)[0]
  label = transforms.Decode()(example)[LABEL]
  assert label.dtype == tf.int32
  np.testing.assert_array_equal(label, np.full([9, 14], 255))


@pytest.mark.parametrize('kind', ['JPEG', 'PNG', 'BMP'])
@pytest.mark.parametrize('size', [(3, 5), (40, 1)])
def test_the_size_comes_from_the_header(kind, size):
  buffer = io.BytesIO()
  Image.fromarray(np.zeros([*size, 3], np.uint8)).save(buffer, kind)
  assert decoding.image_size(buffer.getvalue()) == size
