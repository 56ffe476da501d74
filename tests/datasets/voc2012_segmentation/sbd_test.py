import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from scipy import io

from deeplab_contrast import common
from deeplab_contrast.datasets import sources
from deeplab_contrast.datasets.voc2012_segmentation import (
  Voc2012,
  voc2012_segmentation_dataset_builder,
)
from deeplab_contrast.utils import errors
from tests import fixtures


@pytest.fixture(scope='module')
def tree(tmp_path_factory):
  return pathlib.Path(fixtures.make_voc(tmp_path_factory.mktemp('raw')))


@pytest.fixture
def copy(tree, tmp_path):
  """Another copy of the tree, to damage."""
  return pathlib.Path(shutil.copytree(tree, tmp_path / 'VOC2012'))


@pytest.fixture
def sbd_folder(tmp_path):
  """With two images of VOC train, two of VOC val, and three others."""
  return pathlib.Path(
    fixtures.make_sbd(
      tmp_path / 'sbd',
      train=['2007_000000', '2007_000004', '2008_000100', '2008_000101'],
      val=['2007_000001', '2007_000005', '2009_000200'],
    )
  )


def open_with_sbd(root, sbd_root, data_dir, split='train_aug'):
  dataset = Voc2012(str(root), str(sbd_root))
  return sources.TfdsSplit(dataset, split).open(str(data_dir))


def test_train_aug_is_voc_train_and_sbd_without_voc_val(
  copy, sbd_folder, tmp_path
):
  examples = open_with_sbd(copy, sbd_folder, tmp_path)
  assert sorted(examples.ids()) == [
    *(f'2007_00000{i}' for i in range(4)),
    *('2008_000100', '2008_000101', '2009_000200'),
  ]
  mat = io.loadmat(sbd_folder / 'cls' / '2008_000101.mat')
  expected = mat['GTcls'][0, 0]['Segmentation']
  np.testing.assert_array_equal(label_of(examples, '2008_000101'), expected)
  official = Image.open(copy / 'SegmentationClass' / '2007_000000.png')
  np.testing.assert_array_equal(label_of(examples, '2007_000000'), official)


def test_lists_of_the_real_lengths_are_joined(tmp_path):
  # VOC 1,464 and 1,449; SBD 8,498 and 2,857. How many they share is chosen so
  # that 10,582 come out (2,237 must be in VOC): the real lists are not here.
  voc_train = [f'a{i}' for i in range(1464)]
  voc_val = [f'b{i}' for i in range(1449)]
  in_sbd = [*voc_train[:1333], *voc_val[:904]]
  extra = [f'c{i}' for i in range(11355 - len(in_sbd))]
  root = tmp_path / 'VOC2012'
  for folder in ('JPEGImages', 'ImageSets/Segmentation'):
    (root / folder).mkdir(parents=True)
  fixtures.write_list(root, 'train', voc_train)
  fixtures.write_list(root, 'val', voc_val)
  names = [*in_sbd, *extra]
  sbd_root = tmp_path / 'dataset'
  (sbd_root / 'cls').mkdir(parents=True)
  for split, ids in {'train': names[:8498], 'val': names[8498:]}.items():
    (sbd_root / f'{split}.txt').write_text('\n'.join(ids))
  collect = voc2012_segmentation_dataset_builder.collect
  raw = collect(root, sbd_root)
  raw.check_lists()
  assert len(raw.splits['train_aug']) == 10582


def test_sbd_is_found_below(copy, sbd_folder, tmp_path):
  folders = {
    Voc2012(str(copy), str(root)).builder(str(tmp_path)).data_path
    for root in [sbd_folder, *sbd_folder.parents[:2]]
  }
  assert len(folders) == 1


def test_a_copy_of_sbd_elsewhere_counts_as_the_same(copy, sbd_folder, tmp_path):
  other = shutil.copytree(sbd_folder, tmp_path / 'a' / 'b' / 'dataset')
  paths = [
    Voc2012(str(copy), str(root)).builder(str(tmp_path)).data_path
    for root in (sbd_folder, other)
  ]
  assert paths[0] == paths[1]


def test_no_sbd_is_refused(copy, tmp_path):
  with pytest.raises(
    errors.DataError, match='SBD is not in .*absent: expected'
  ):
    open_with_sbd(copy, tmp_path / 'absent', tmp_path)


@pytest.mark.parametrize(
  'write',
  [
    lambda path: path.write_bytes(path.read_bytes()[:100]),
    lambda path: path.write_bytes(b'<html>'),
    lambda path: io.savemat(path, {'other': [1]}),
    lambda path: io.savemat(
      path, {'GTcls': {'Segmentation': np.zeros([40, 56])}}
    ),
  ],
)
def test_damaged_masks_of_sbd_are_refused(copy, sbd_folder, tmp_path, write):
  path = sbd_folder / 'cls' / '2008_000101.mat'
  write(path)
  with pytest.raises(errors.DataError, match=rf'1 fault [^$]*{path}'):
    open_with_sbd(copy, sbd_folder, tmp_path)


def label_of(examples, name):
  example = examples[examples.ids().index(name)]
  return tf.io.decode_png(example[common.LABEL])[..., 0].numpy()
