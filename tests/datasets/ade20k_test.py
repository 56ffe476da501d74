import pathlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from deeplab_contrast import common
from deeplab_contrast.datasets import sources
from deeplab_contrast.datasets.ade20k_segmentation import Ade20k
from deeplab_contrast.utils import errors
from tests import fixtures


@pytest.fixture
def tree(tmp_path):
  return pathlib.Path(fixtures.make_ade20k(tmp_path / 'raw'))


def open_split(root, data_dir, split='train'):
  return sources.TfdsSplit(Ade20k(str(root)), split).open(str(data_dir))


def test_describes_the_150_classes():
  info = Ade20k.info
  assert info.num_classes == 150
  assert info.class_names[0] == 'wall'
  assert info.class_names[12] == 'person'
  assert info.class_names[149] == 'flag'
  assert len(set(info.colors)) == 150


def test_ids_start_at_0_and_nothing_is_void(tree, tmp_path):
  ids = np.arange(32 * 40).reshape(32, 40) % 151
  path = tree / 'annotations' / 'training' / 'ADE_train_00000002.png'
  Image.fromarray(ids.astype(np.uint8)).save(path)
  examples = open_split(tree.parent, tmp_path)
  example = examples[examples.ids().index('ADE_train_00000002')]
  label = tf.io.decode_png(example[common.LABEL])[..., 0].numpy()
  np.testing.assert_array_equal(label[ids > 0], ids[ids > 0] - 1)
  assert (label[ids == 0] == 255).all()


def test_splits_are_the_folders(tree, tmp_path):
  assert len(open_split(tree, tmp_path)) == 3
  assert sorted(open_split(tree, tmp_path, 'val').ids()) == [
    'ADE_valid_00000001',
    'ADE_valid_00000002',
  ]


def test_other_ids_and_lonely_files_are_refused(tree, tmp_path):
  folder = tree / 'annotations' / 'training'
  mask = np.full([32, 40], 151, np.uint8)
  Image.fromarray(mask).save(folder / 'ADE_train_00000001.png')
  (folder / 'ADE_train_00000002.png').unlink()
  Image.fromarray(mask % 150).save(folder / 'ADE_train_00000099.png')
  with pytest.raises(errors.DataError) as error:
    open_split(tree, tmp_path)
  told = str(error.value)
  assert 'has 3 faults' in told
  assert '[151]: expected 1 to 150 for the classes and 0 for everything' in told
  assert 'annotations/training/ADE_train_00000002.png does not exist' in told
  assert 'images/training/ADE_train_00000099.jpg does not exist' in told


def test_no_tree_is_refused_with_what_was_expected(tmp_path):
  with pytest.raises(errors.DataError, match='images/training and annotations'):
    open_split(tmp_path, tmp_path)
