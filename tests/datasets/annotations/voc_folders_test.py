"""Folders as in PASCAL VOC, without a list of classes."""

import numpy as np
import pytest

from deeplab_contrast.datasets import folder_segmentation
from tests.datasets.annotations import exports, formats_test


def voc_folders(root, masks_folder='SegmentationClass', **lists):
  """Eight images as in PASCAL VOC, without a list of classes."""
  exports.plain(root, 'JPEGImages', masks_folder)
  for name, numbers in {'train': range(3), 'val': range(5, 8), **lists}.items():
    text = '\n'.join(map(str, numbers))
    exports.write(root / f'ImageSets/Segmentation/{name}.txt', text)
  return root


def counts(root):
  return {
    split: len(pairs)
    for split, pairs in formats_test.collect(root)[1].splits.items()
  }


def test_lists_of_voc_folders_count_without_a_list_of_classes(tmp_path):
  root = voc_folders(tmp_path / 'VOCdevkit' / 'VOC2007')
  about, _ = formats_test.collect(tmp_path / 'VOCdevkit')
  assert about.info.class_names == ('background', 'class_1', 'class_2')
  assert counts(root) == {'train': 3, 'val': 3}
  np.testing.assert_array_equal(formats_test.first(root), exports.ids())


@pytest.mark.parametrize('name', ['train_aug', 'trainaug'])
def test_augmented_masks_of_voc_have_a_longer_list(tmp_path, name):
  root = voc_folders(
    tmp_path, 'SegmentationClassAug', **{name: range(5), 'trainval': range(8)}
  )
  # Those of VOC's own images, which are fewer.
  exports.save(root / 'SegmentationClass/0.png', exports.ids())
  assert counts(root) == {'train': 5, 'val': 3}


def test_a_list_of_voc_images_without_masks_is_unlabelled(tmp_path):
  root = voc_folders(tmp_path, test=range(3, 5))
  for i in range(3, 5):
    (root / f'SegmentationClass/{i}.png').unlink()
  about, raw = formats_test.collect(root)
  assert list(about.unlabelled) == ['test']
  assert counts(root) == {'train': 3, 'val': 3, 'test': 2}


@pytest.mark.parametrize(
  'line',
  [
    '{}.jpg',
    'JPEGImages/{0}.jpg SegmentationClass/{0}.png',
    'my photo {}',
  ],
)
def test_lists_of_voc_folders_may_name_images_in_several_ways(tmp_path, line):
  root = voc_folders(tmp_path)
  if line.startswith('my'):
    for folder in ('JPEGImages', 'SegmentationClass'):
      for path in (root / folder).iterdir():
        path.rename(path.with_name(f'my photo {path.name}'))
  for name, numbers in (('train', range(5)), ('val', range(5, 8))):
    text = '\n'.join(line.format(i) for i in numbers)
    exports.write(root / f'ImageSets/Segmentation/{name}.txt', text)
  assert not folder_segmentation.Folder(str(root)).about.unlabelled
  assert counts(root) == {'train': 5, 'val': 3}


def test_missing_images_are_not_taken_for_unlabelled_ones(tmp_path):
  root = voc_folders(tmp_path)
  # An id and a label: no such image, which the check of the data reports.
  exports.write(root / 'ImageSets/Segmentation/val.txt', '5 1\n6 1')
  about, raw = formats_test.collect(root)
  assert not about.unlabelled
  assert [pair.id for pair in raw.splits['val']] == ['5 1', '6 1']


def test_outlines_of_one_class_in_voc_folders_are_void(tmp_path):
  root = voc_folders(tmp_path)
  mask = exports.ids().clip(0, 1)
  mask[4] = 255
  for path in (root / 'SegmentationClass').iterdir():
    exports.save(path, mask)
  about, _ = formats_test.collect(root)
  assert about.info.class_names == ('background', 'object')
  np.testing.assert_array_equal(formats_test.first(root), mask)
