import csv
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from deeplab_contrast import common
from deeplab_contrast.datasets import sources
from deeplab_contrast.datasets.cityscapes_segmentation import Cityscapes
from deeplab_contrast.utils import errors
from tests import fixtures

GOLDEN = pathlib.Path(__file__).parents[3] / 'shared' / 'golden'

# Train id of each label id that is evaluated, as published.
TRAIN_IDS = {
  7: 0, 8: 1, 11: 2, 12: 3, 13: 4, 17: 5, 19: 6, 20: 7, 21: 8, 22: 9, 23: 10,
  24: 11, 25: 12, 26: 13, 27: 14, 28: 15, 31: 16, 32: 17, 33: 18,
}  # fmt: skip


@pytest.fixture
def tree(tmp_path):
  return pathlib.Path(fixtures.make_cityscapes(tmp_path / 'raw'))


def open_split(root, data_dir, split='train'):
  return sources.TfdsSplit(Cityscapes(str(root)), split).open(str(data_dir))


def mask_of(tree, frame, split='train'):
  city = frame.split('_')[0]
  return tree / 'gtFine' / split / city / f'{frame}_gtFine_labelIds.png'


def test_describes_the_19_classes():
  info = Cityscapes.info
  assert info.num_classes == 19
  assert info.class_names[0] == 'road'
  assert info.class_names[18] == 'bicycle'


def test_colours_agree_with_the_original():
  if not GOLDEN.exists():
    pytest.skip('the golden values of the original are not here')
  with (GOLDEN / 'colormap.csv').open() as file:
    rows = [r for r in csv.DictReader(file) if r['dataset'] == 'cityscapes']
  checked = [
    Cityscapes.info.colors[int(row['label'])]
    == (int(row['r']), int(row['g']), int(row['b']))
    for row in rows
    if int(row['label']) < 19
  ]
  assert len(checked) > 10
  assert all(checked)


def test_every_label_id_becomes_its_train_id(tree, tmp_path):
  frame = 'aachen_000000_000019'
  ids = np.arange(32 * 64).reshape(32, 64).astype(np.int64) % 34
  Image.fromarray(ids.astype(np.uint8)).save(mask_of(tree, frame))
  examples = open_split(tree, tmp_path)
  example = examples[examples.ids().index(frame)]
  label = tf.io.decode_png(example[common.LABEL])[..., 0]
  expected = np.vectorize(lambda i: TRAIN_IDS.get(i, 255))(ids)
  np.testing.assert_array_equal(label, expected)


def test_splits_are_the_folders(tree, tmp_path):
  train = open_split(tree.parent, tmp_path)
  assert sorted(train.ids()) == [
    'aachen_000000_000019',
    'aachen_000002_000019',
    'ulm_000001_000019',
    'ulm_000003_000019',
  ]
  assert len(open_split(tree, tmp_path, 'val')) == 2
  assert train.max_size == (32, 64)
  image = tree / 'leftImg8bit/train/ulm/ulm_000001_000019_leftImg8bit.png'
  example = train[train.ids().index('ulm_000001_000019')]
  assert example[common.IMAGE] == image.read_bytes()


def test_train_ids_are_refused_with_a_hint(tree, tmp_path):
  path = mask_of(tree, 'ulm_000001_000019')
  mask = np.asarray(Image.open(path)).copy()
  mask[0] = 255
  mask[1] = 34
  Image.fromarray(mask).save(path)
  with pytest.raises(errors.DataError) as error:
    open_split(tree, tmp_path)
  assert f'{path} has the values [34, 255]' in str(error.value)
  assert 'not train ids' in str(error.value)


def test_images_without_mask_and_masks_without_image_are_named(tree, tmp_path):
  first = mask_of(tree, 'aachen_000000_000019')
  first.unlink()
  image = tree / 'leftImg8bit/val/ulm/ulm_000001_000019_leftImg8bit.png'
  image.unlink()
  with pytest.raises(errors.DataError) as error:
    open_split(tree, tmp_path)
  assert 'has 2 faults' in str(error.value)
  assert f'{first} does not exist' in str(error.value)
  assert f'{image} does not exist' in str(error.value)


def test_an_absent_split_is_refused_with_those_there(tree, tmp_path):
  shutil.rmtree(tree / 'gtFine' / 'val')
  shutil.rmtree(tree / 'leftImg8bit' / 'val')
  with pytest.raises(errors.DataError, match="no split 'val'; it has train"):
    open_split(tree, tmp_path, 'val')


def test_empty_folders_are_refused(tmp_path):
  for kind in ('leftImg8bit', 'gtFine'):
    (tmp_path / 'cityscapes' / kind).mkdir(parents=True)
  with pytest.raises(errors.DataError, match='no images: expected leftImg8bit'):
    open_split(tmp_path, tmp_path)


def test_no_tree_is_refused_with_what_was_expected(tmp_path):
  with pytest.raises(errors.DataError, match='with leftImg8bit and gtFine'):
    open_split(tmp_path, tmp_path)


def test_train_ids_are_read_where_there_are_no_label_ids(tree, tmp_path):
  expected = {}
  for path in sorted(tree.glob('gtFine/*/*/*_labelIds.png')):
    mask = np.array(Image.open(path))
    ids = np.vectorize(lambda i: TRAIN_IDS.get(i, 255))(mask)
    name = path.name.replace('_gtFine_labelIds.png', '')
    expected[path.parts[-3], name] = ids
    Image.fromarray(ids.astype(np.uint8)).save(
      path.with_name(f'{name}_gtFine_labelTrainIds.png')
    )
    path.unlink()
  examples = open_split(tree, tmp_path)
  for example in examples:
    label = tf.io.decode_png(example[common.LABEL])[..., 0]
    name = example[common.ID].decode()
    np.testing.assert_array_equal(label, expected['train', name])


def test_label_ids_in_the_place_of_train_ids_are_recognized(tree, tmp_path):
  for path in tree.glob('gtFine/*/*/*_labelIds.png'):
    path.rename(path.with_name(path.name.replace('labelIds', 'labelTrainIds')))
  with pytest.raises(errors.DataError) as error:
    open_split(tree, tmp_path)
  last = str(error.value).splitlines()[-1]
  assert 'Cityscapes label ids (0 to 33) instead of the 19 train ids' in last


def test_test_has_no_labels_whatever_its_masks_say(tree, tmp_path):
  for kind in ('leftImg8bit', 'gtFine'):
    shutil.move(tree / kind / 'val', tree / kind / 'test')
  examples = open_split(tree, tmp_path, 'test')
  assert len(examples) == 2
  for example in examples:
    label = tf.io.decode_png(example[common.LABEL]).numpy()
    assert label.shape == (32, 64, 1) and (label == 255).all()
