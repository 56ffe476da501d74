import os
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from deeplab_contrast import common
from deeplab_contrast.datasets import sources
from deeplab_contrast.datasets.voc2012_segmentation import (
  Voc2012,
  voc2012_segmentation_dataset_builder,
)
from deeplab_contrast.imaging import decoding
from deeplab_contrast.utils import errors
from tests import fixtures

REAL = pathlib.Path(__file__).parents[3] / 'shared/data/VOCdevkit/VOC2012'


@pytest.fixture(scope='module')
def tree(tmp_path_factory):
  return pathlib.Path(fixtures.make_voc(tmp_path_factory.mktemp('raw')))


@pytest.fixture(scope='module')
def data_dir(tree, tmp_path_factory):
  """Where the tree is prepared."""
  folder = str(tmp_path_factory.mktemp('data'))
  open_split(tree, folder)
  return folder


@pytest.fixture
def copy(tree, tmp_path):
  """Another copy of the tree, to damage."""
  return pathlib.Path(shutil.copytree(tree, tmp_path / 'VOC2012'))


def open_split(root, data_dir, split='train'):
  return sources.TfdsSplit(Voc2012(str(root)), split).open(str(data_dir))


def prepared_folder(root, data_dir):
  return Voc2012(str(root)).builder(str(data_dir)).data_path


def test_describes_the_21_classes():
  info = Voc2012.info
  assert info.num_classes == 21
  assert info.class_names[15] == 'person'
  assert info.colors[15] == (192, 128, 128)


def test_splits_are_the_lists(tree, data_dir):
  for split in ('train', 'train_aug', 'trainval', 'val'):
    path = tree / 'ImageSets' / 'Segmentation' / f'{split}.txt'
    ids = open_split(tree, data_dir, split).ids()
    assert sorted(ids) == sorted(path.read_text().split())


@pytest.mark.parametrize(
  'split, kind',
  [('train', 'SegmentationClass'), ('train_aug', 'SegmentationClassAug')],
)
def test_examples_are_the_files(tree, data_dir, split, kind):
  folder = tree / kind
  seen = 0
  for example in open_split(tree, data_dir, split):
    name = example[common.ID].decode()
    image = (tree / 'JPEGImages' / f'{name}.jpg').read_bytes()
    assert example[common.IMAGE] == image
    if (folder / f'{name}.png').exists():
      label = tf.io.decode_png(example[common.LABEL])
      indices = np.asarray(Image.open(folder / f'{name}.png'))
      np.testing.assert_array_equal(label[..., 0], indices)
      seen += 1
  assert seen == {'train': 4, 'train_aug': 2}[split]


@pytest.mark.parametrize(
  'split, name', [('train', '2007_000000'), ('val', '2007_000004')]
)
def test_the_official_mask_goes_before_that_of_sbd(copy, tmp_path, split, name):
  """Converters write SBD's masks of val too; evaluation uses VOC's."""
  official = copy / 'SegmentationClass' / f'{name}.png'
  mask = np.asarray(Image.open(official))
  Image.fromarray(np.full_like(mask, 3)).save(
    copy / 'SegmentationClassAug' / f'{name}.png'
  )
  examples = open_split(copy, tmp_path, split)
  example = examples[examples.ids().index(name)]
  label = tf.io.decode_png(example[common.LABEL])[..., 0]
  np.testing.assert_array_equal(label, mask)


def test_max_size_covers_all_splits(tree, data_dir):
  assert open_split(tree, data_dir).max_size == (40, 56)


@pytest.mark.parametrize('above', [0, 1, 2])
def test_root_may_be_a_folder_above(tree, data_dir, above):
  root = [tree, *tree.parents][above]
  assert prepared_folder(root, data_dir).exists()


def test_a_relative_root_is_seen_from_here(tree, data_dir, monkeypatch):
  monkeypatch.chdir(tree.parent)
  assert prepared_folder('VOC2012', data_dir).exists()
  monkeypatch.chdir(tree)
  assert prepared_folder('.', data_dir).exists()


def test_without_a_root_the_manual_folder_is_read(tmp_path):
  fixtures.make_voc(tmp_path / 'downloads' / 'manual', train=1, val=1, extra=0)
  examples = sources.TfdsSplit(Voc2012(), 'val').open(str(tmp_path))
  assert examples.ids() == ['2007_000001']


def test_no_tree_is_refused_with_what_was_expected(tmp_path):
  with pytest.raises(errors.DataError) as error:
    open_split(tmp_path / 'absent', tmp_path)
  assert 'absent: expected a folder with JPEGImages' in str(error.value)
  assert 'VOCdevkit/VOC2012' in str(error.value)


def test_a_tree_further_below_is_named(copy, tmp_path):
  """As in the archive of 2011, and in those of other people."""
  above = tmp_path / 'TrainVal' / 'VOCdevkit'
  above.mkdir(parents=True)
  copy.rename(above / 'VOC2012')
  with pytest.raises(errors.DataError) as error:
    open_split(tmp_path, tmp_path / 'data')
  assert f'JPEGImages is in {above}/VOC2012' in str(error.value)


@pytest.mark.parametrize('split', ['train_aug', 'train+train_aug[:50%]'])
def test_a_split_that_does_not_exist_is_reported_before_preparing(
  copy, tmp_path, split
):
  (copy / 'ImageSets' / 'Segmentation' / 'train_aug.txt').unlink()
  for is_prepared in (False, True):
    with pytest.raises(errors.DataError, match="no split 'train_aug'.*SBD"):
      open_split(copy, tmp_path, split)
    assert prepared_folder(copy, tmp_path).exists() == is_prepared
    open_split(copy, tmp_path)


def test_missing_masks_of_sbd_are_reported_by_their_reason(copy, tmp_path):
  shutil.rmtree(copy / 'SegmentationClassAug')
  with pytest.raises(errors.DataError, match='names 2 images without a mask'):
    open_split(copy, tmp_path)


def test_prepared_data_serve_when_the_tree_is_gone(copy, tmp_path):
  open_split(copy, tmp_path)
  shutil.rmtree(copy)
  assert len(open_split(copy, tmp_path)) == 4


def test_two_prepared_trees_are_not_chosen_from(copy, tmp_path):
  open_split(copy, tmp_path)
  fixtures.write_list(copy, 'train', ['2007_000000'])
  open_split(copy, tmp_path)
  shutil.rmtree(copy)
  with pytest.raises(errors.DataError, match='be used either: 2 found'):
    open_split(copy, tmp_path)


def test_a_copy_of_the_tree_counts_as_the_same(copy, data_dir):
  for path in copy.rglob('*.png'):
    os.utime(path, (1, 1))
  assert prepared_folder(copy, data_dir).exists()


def change_list(tree):
  fixtures.write_list(tree, 'val', ['2007_000005', '2007_000004'])


def take_mask_of_sbd(tree):
  name = '2007_000000.png'
  shutil.move(tree / 'SegmentationClass' / name, tree / 'SegmentationClassAug')


def change_mask(tree):
  path = tree / 'SegmentationClass' / '2007_000000.png'
  path.write_bytes(path.read_bytes() + b' ')


def change_image(tree):
  path = tree / 'JPEGImages' / '2007_000000.jpg'
  path.write_bytes(path.read_bytes() + b' ')


@pytest.mark.parametrize(
  'change',
  [
    change_list,
    take_mask_of_sbd,
    change_mask,
    change_image,
  ],
)
def test_a_changed_tree_is_prepared_again(copy, data_dir, change):
  change(copy)
  assert not prepared_folder(copy, data_dir).exists()


@pytest.mark.parametrize('level', [0, 9])
def test_a_changed_pixel_of_a_mask_is_noticed(copy, tmp_path, level):
  path = copy / 'SegmentationClass' / '2007_000000.png'
  folders = set()
  for value in range(20):
    mask = Image.open(path)
    mask.putpixel((20, 20), value)
    mask.save(path, compress_level=level)
    folders.add(prepared_folder(copy, tmp_path))
  assert len(folders) == 20


def test_an_absent_split_is_refused_with_those_there(copy, tmp_path):
  (copy / 'ImageSets' / 'Segmentation' / 'trainval.txt').unlink()
  with pytest.raises(errors.DataError) as error:
    open_split(copy, tmp_path, 'trainval')
  assert "no split 'trainval'" in str(error.value)
  assert 'it has train, train_aug, val.' in str(error.value)


def test_no_list_at_all_is_refused(copy, tmp_path):
  for path in (copy / 'ImageSets' / 'Segmentation').iterdir():
    path.unlink()
  with pytest.raises(errors.DataError, match='has no list: .* train_aug.txt'):
    open_split(copy, tmp_path)


@pytest.mark.parametrize(
  'names, sentence',
  [
    ([], r'train\.txt is empty'),
    (['a', 'b', 'a'], r'train\.txt names a more than once'),
    (['../secret'], r'not plain file names: \.\./secret'),
    (['/etc/passwd'], 'not plain file names: /etc/passwd'),
    (['a\0b'], 'control characters'),
    (['2007_000004'], 'train and val .* share 1 images: 2007_000004;'),
  ],
)
def test_wrong_lists_are_refused(copy, tmp_path, names, sentence):
  fixtures.write_list(copy, 'train', names)
  with pytest.raises(errors.DataError, match=sentence):
    open_split(copy, tmp_path)


def test_lists_of_other_encodings_are_refused(copy, tmp_path):
  path = copy / 'ImageSets' / 'Segmentation' / 'train.txt'
  path.write_bytes(b'2007_\xff\xfe')
  with pytest.raises(errors.DataError, match='not UTF-8 text'):
    open_split(copy, tmp_path)


def test_all_faults_are_reported_together(copy, tmp_path):
  def mask(i):
    return copy / 'SegmentationClass' / f'2007_{i:06}.png'

  def image(i):
    return copy / 'JPEGImages' / f'2007_{i:06}.jpg'

  image(0).write_bytes(image(0).read_bytes()[:-50])
  mask(0).unlink()
  image(1).unlink()
  Image.fromarray(np.full([40, 53], 21, np.uint8)).save(mask(1))
  Image.fromarray(np.zeros([56, 40], np.uint8)).save(mask(2))
  Image.new('RGB', (53, 40), (0, 0, 128)).save(mask(3))
  image(4).write_bytes(b'<html>')
  with pytest.raises(errors.DataError) as error:
    open_split(copy, tmp_path)
  report = str(error.value)
  assert report.startswith(f'{copy} has 7 faults')
  for sentence in (
    f'{image(0)} is cut off',
    f'{mask(0)} does not exist',
    f'{image(1)} does not exist',
    f'{mask(1)} has the values [21]: expected the class ids 0 to 20',
    f'{mask(2)} is 56 x 40 (height x width), but its image {image(2)} is 40 x '
    '56 (height x width) (rotated by its EXIF tag?)',
    f'{mask(3)} is not a mask: it has the mode RGB',
    f'{image(4)} is a web page',
  ):
    assert sentence in report
  assert report.count('\n') == 7


def test_a_refused_tree_leaves_nothing_prepared(copy, tmp_path):
  (copy / 'JPEGImages' / '2007_000000.jpg').unlink()
  for _ in range(2):
    with pytest.raises(errors.DataError, match='1 fault '):
      open_split(copy, tmp_path)
  assert not list(tmp_path.rglob('dataset_info.json'))
  assert not list(tmp_path.rglob('*array_record*'))


def test_many_faults_are_counted(copy, tmp_path):
  names = [f'absent_{i}' for i in range(13)]
  fixtures.write_list(copy, 'train', names)
  with pytest.raises(errors.DataError) as error:
    open_split(copy, tmp_path)
  lines = str(error.value).splitlines()
  assert 'has 26 faults' in lines[0]
  assert len(lines) == 22
  assert '... and 6 more.' in lines[-1]


def test_reads_real_images(tmp_path):
  if not REAL.exists():
    pytest.skip('the real images are not here')
  root = tmp_path / 'VOC2012'
  root.mkdir()
  for kind in ('JPEGImages', 'SegmentationClassAug'):
    (root / kind).symlink_to(REAL / kind)
  lists = REAL / 'ImageSets' / 'Segmentation'
  ids = (lists / 'val.txt').read_text().split()[:12]
  fixtures.write_list(root, 'val', ids)
  examples = open_split(root, tmp_path, 'val')
  assert sorted(examples.ids()) == ids
  for example in examples:
    image = decoding.image(example[common.IMAGE])
    label = tf.io.decode_png(example[common.LABEL])
    assert image.shape[:2] == label.shape[:2]
    path = REAL / 'SegmentationClassAug' / f'{example[common.ID].decode()}.png'
    indices = np.asarray(Image.open(path))
    np.testing.assert_array_equal(label[..., 0], indices)
    assert set(np.unique(label)) <= {*range(21), 255}


def test_commands_of_tfds_read_the_manual_folder(tmp_path):
  manual = tmp_path / 'downloads' / 'manual'
  fixtures.make_voc(manual, train=1, val=1, extra=0)
  builder = voc2012_segmentation_dataset_builder.Builder(data_dir=tmp_path)
  builder.download_and_prepare()
  assert builder.info.splits['trainval'].num_examples == 2
  (example,) = builder.as_dataset(split='val')
  assert example[common.IMAGE].shape == (40, 53, 3)
  assert example[common.LABEL].dtype == tf.uint8


def label_of(examples, name):
  example = examples[examples.ids().index(name)]
  return tf.io.decode_png(example[common.LABEL])[..., 0].numpy()


def test_test_has_no_labels(copy, tmp_path):
  for name in ('2012_000001', '2012_000002'):
    pixels = np.random.default_rng(int(name[-1])).integers(0, 255, [30, 44, 3])
    path = copy / 'JPEGImages' / f'{name}.jpg'
    Image.fromarray(pixels.astype(np.uint8)).save(path)
  fixtures.write_list(copy, 'test', ['2012_000001', '2012_000002'])
  examples = open_split(copy, tmp_path, 'test')
  label = label_of(examples, '2012_000002')
  assert label.shape == (30, 44)
  assert (label == 255).all()


def test_test_and_train_must_not_overlap(copy, tmp_path):
  fixtures.write_list(copy, 'test', ['2007_000001'])
  with pytest.raises(
    errors.DataError, match='train and test .* share 1 images'
  ):
    open_split(copy, tmp_path, 'test')
