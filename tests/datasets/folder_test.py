"""Own data: how classes are described, and how files become splits."""

import json
import os
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from deeplab_contrast import common
from deeplab_contrast.datasets import folder_segmentation, sources
from deeplab_contrast.datasets.folder_segmentation import (
  folder_segmentation_dataset_builder as dataset_builder,
)
from deeplab_contrast.utils import errors
from tests import fixtures

CLASSES = {'road': [128, 64, 128], 'sky': [70, 130, 180], 'car': [0, 0, 142]}
MINIMUM = {'name': 'toy', 'classes': CLASSES, 'ignored': [3]}
CAMVID = pathlib.Path(__file__).parents[3] / 'shared' / 'data' / 'camvid'


@pytest.fixture
def tree(tmp_path):
  """images/{train,val} and masks/{train,val} of 3 classes and void 3."""
  return pathlib.Path(fixtures.make_folder(tmp_path / 'raw', ids=range(4)))


def describe(tree, **changes):
  (tree / 'dataset.json').write_text(json.dumps({**MINIMUM, **changes}))
  return folder_segmentation.Folder(str(tree))


def collect(tree, **changes):
  about = folder_segmentation.Description(**{**MINIMUM, **changes})
  return dataset_builder.make_layout(about).read(tree)


def ids_of(raw):
  return {split: [p.id for p in pairs] for split, pairs in raw.splits.items()}


def labels(dataset, data_dir, split='train'):
  """{id: label} of a prepared split."""
  examples = sources.TfdsSplit(dataset, split).open(str(data_dir))
  return {
    e[common.ID].decode(): tf.io.decode_png(e[common.LABEL])[..., 0].numpy()
    for e in examples
  }


def mask_file(tree, name):
  return tree / 'masks' / name.partition('_')[0] / f'{name}.png'


# Masks.


def test_masks_of_ids(tree, tmp_path):
  dataset = describe(tree)
  assert dataset.info.class_names == ('road', 'sky', 'car')
  assert dataset.info.colors[1] == (70, 130, 180)
  found = labels(dataset, tmp_path)
  assert len(found) == 4
  for name, label in found.items():
    mask = np.array(Image.open(mask_file(tree, name)))
    np.testing.assert_array_equal(label, np.where(mask == 3, 255, mask))


def test_masks_of_ids_with_gaps(tree, tmp_path):
  dataset = describe(tree, ids=[2, 0, 3], ignored=[1])
  for name, label in labels(dataset, tmp_path, 'val').items():
    mask = np.asarray(Image.open(mask_file(tree, name)))
    np.testing.assert_array_equal(label, np.array([1, 255, 0, 2])[mask])


@pytest.mark.parametrize('mode', ['RGB', 'P', 'RGBA'])
def test_masks_of_colors(tree, tmp_path, mode):
  table = np.array([*CLASSES.values(), [0, 0, 0]], np.uint8)
  masks = {}
  for path in sorted(tree.glob('masks/*/*.png')):
    masks[path.stem] = np.array(Image.open(path))
    painted = Image.fromarray(table[masks[path.stem]])
    painted.convert(mode, palette=Image.Palette.ADAPTIVE).save(path)
  dataset = describe(tree, masks='colors', ignored=[[0, 0, 0]])
  for name, label in labels(dataset, tmp_path).items():
    mask = masks[name]
    np.testing.assert_array_equal(label, np.where(mask == 3, 255, mask))


def test_palette_masks_are_read_by_index(tree, tmp_path):
  path = mask_file(tree, 'train_0000')
  mask = Image.open(path)
  expected = np.array(mask)
  mask.putpalette(list(range(200, 212)))
  mask.save(path)
  label = labels(describe(tree), tmp_path)['train_0000']
  np.testing.assert_array_equal(label, np.where(expected == 3, 255, expected))


def test_smooth_edges_between_colors_are_refused(tree, tmp_path):
  table = np.array([*CLASSES.values(), [0, 0, 0]], np.uint8)
  for path in tree.glob('masks/*/*.png'):
    painted = Image.fromarray(table[np.array(Image.open(path))])
    painted.resize((96, 72), Image.Resampling.BILINEAR).resize(
      (48, 36), Image.Resampling.BILINEAR
    ).save(path)
  dataset = describe(tree, masks='colors', ignored=[[0, 0, 0]])
  with pytest.raises(errors.DataError) as error:
    labels(dataset, tmp_path)
  assert 'Likely cause of 6: anti-aliased or resized' in str(error.value)


def test_colors_where_ids_are_expected_tell_the_remedy(tree, tmp_path):
  path = mask_file(tree, 'val_0001')
  fixtures.in_color(Image.open(path)).save(path)
  with pytest.raises(errors.DataError, match='state "masks": "colors"'):
    labels(describe(tree), tmp_path)


# Splits.


def test_subfolders_are_splits(tree):
  assert ids_of(collect(tree)) == {
    'train': ['train_0000', 'train_0001', 'train_0002', 'train_0003'],
    'val': ['val_0000', 'val_0001'],
  }


def test_files_below_a_split_are_named_by_their_path(tree):
  for kind, ending in (('images', 'jpg'), ('masks', 'png')):
    city = tree / kind / 'train' / 'ulm'
    city.mkdir()
    (tree / kind / 'train' / f'train_0002.{ending}').rename(
      city / f'0.{ending}'
    )
  assert 'ulm/0' in ids_of(collect(tree))['train']


def test_a_seeded_share_is_a_split(tree):
  fixtures.flatten(tree)
  splits = [
    ids_of(collect(tree, fractions={'val': 0.3}, seed=s)) for s in (0, 0, 1)
  ]
  assert splits[0] == splits[1] != splits[2]
  for split in splits:
    assert (len(split['train']), len(split['val'])) == (4, 2)
    assert not set(split['train']) & set(split['val'])


def test_a_new_image_does_not_move_the_others(tree):
  fixtures.flatten(tree)
  before = ids_of(collect(tree, fractions={'val': 0.5}))
  shutil.copy(tree / 'images' / 'val_0000.jpg', tree / 'images' / 'new.jpg')
  shutil.copy(tree / 'masks' / 'val_0000.png', tree / 'masks' / 'new.png')
  after = ids_of(collect(tree, fractions={'val': 0.5}))
  assert len(set(before['val']) - set(after['val'])) <= 1


def write_lists(tree, **lists):
  for split, lines in lists.items():
    (tree / f'{split}.txt').write_text(''.join(f'{line}\n' for line in lines))
  return {split: f'{split}.txt' for split in lists}


def test_lists_are_splits(tree):
  fixtures.flatten(tree)
  lists = write_lists(
    tree,
    train=['train_0001', 'images/train_0002.jpg', './train_0000'],
    dev=['val_0001.jpg images/../masks/val_0001.png'],
  )
  found = ids_of(collect(tree, lists=lists))
  assert found['train'] == ['train_0001', 'train_0002', 'train_0000']
  assert found['dev'] == ['val_0001']


@pytest.mark.parametrize(
  'name, sentence',
  [
    ('../secret', 'not names of files in it'),
    ('/etc/passwd', 'not names of files in it'),
    ('a/../../b', 'not names of files in it'),
    ('a\0b', 'control characters'),
    ('train_0000\ntrain_0000', 'more than once'),
    ('val_0001', 'train and val .* share 1 images: val_0001'),
    ('', 'is empty'),
  ],
)
def test_wrong_lists_are_refused(tree, name, sentence):
  fixtures.flatten(tree)
  lists = write_lists(tree, train=[name], val=['val_0001'])
  with pytest.raises(errors.DataError, match=sentence):
    collect(tree, lists=lists)


def test_listed_images_that_do_not_exist_are_reported(tree, tmp_path):
  fixtures.flatten(tree)
  write_lists(tree, train=['train_0001', 'nothing'])
  with pytest.raises(errors.DataError, match='nothing.jpg does not exist'):
    labels(describe(tree, lists={'train': 'train.txt'}), tmp_path)


def test_masks_with_a_suffix_may_be_next_to_their_images(tree):
  fixtures.flatten(tree)
  for path in (tree / 'masks').iterdir():
    path.rename(tree / 'images' / f'{path.stem}_L.png')
  raw = collect(
    tree, mask_folder='images', mask_suffix='_L', fractions={'val': 0.2}
  )
  pairs = [pair for pairs in raw.splits.values() for pair in pairs]
  assert len(pairs) == 6
  assert all(pair.mask.name == f'{pair.id}_L.png' for pair in pairs)
  assert all(pair.image.is_file() and pair.mask.is_file() for pair in pairs)


def test_lonely_images_and_masks_are_reported_and_rubbish_is_not(
  tree, tmp_path
):
  (tree / 'masks' / 'train' / 'train_0001.png').unlink()
  (tree / 'images' / 'val' / 'val_0001.jpg').unlink()
  (tree / 'images' / 'train' / '.DS_Store').write_bytes(b'x')
  (tree / 'images' / 'train' / '._train_0001.jpg').write_bytes(b'x')
  (tree / 'images' / 'train' / 'Thumbs.db').write_bytes(b'x')
  with pytest.raises(errors.DataError) as error:
    labels(describe(tree), tmp_path)
  assert 'has 2 faults' in str(error.value)
  assert 'train/train_0001.png does not exist' in str(error.value)
  assert 'val/val_0001.jpg does not exist' in str(error.value)


@pytest.mark.parametrize(
  'spoil, sentence',
  [
    (lambda t: shutil.rmtree(t / 'masks' / 'val'), "'val' in 'unlabelled'"),
    (lambda t: shutil.rmtree(t / 'masks'), 'with images and masks'),
    (lambda t: (t / 'images' / 'my val').mkdir(), "'my val'.*cannot be the na"),
    (lambda t: fixtures.flatten(t), 'no subfolders to use as splits'),
    (
      lambda t: shutil.copy(t / 'images/val/val_0000.jpg', t / 'images/b.jpg'),
      '1 images next to the subfolders train, val, such as b.jpg',
    ),
    (
      lambda t: [(t / k / 'test').mkdir() for k in ('images', 'masks')],
      'split test of .* has no images',
    ),
  ],
)
def test_folders_that_say_nothing_clear_are_refused(tree, spoil, sentence):
  spoil(tree)
  with pytest.raises(errors.DataError, match=sentence):
    collect(tree)


def test_links_are_followed_once(tree, tmp_path):
  (tree / 'images' / 'train').rename(tmp_path / 'elsewhere')
  (tree / 'images' / 'train').symlink_to(tmp_path / 'elsewhere')
  (tmp_path / 'elsewhere' / 'loop').symlink_to(tmp_path / 'elsewhere')
  assert len(ids_of(collect(tree))['train']) == 4


def test_nothing_is_written_into_the_raw_folder(tree, tmp_path):
  dataset = describe(tree)
  before = sorted(os.walk(tree))
  labels(dataset, tmp_path / 'data')
  assert sorted(os.walk(tree)) == before


def test_several_folders_share_a_data_dir(tree, tmp_path):
  labels(describe(tree), tmp_path / 'data')
  other = shutil.copytree(tree, tmp_path / 'other')
  labels(describe(other, name='toy_2'), tmp_path / 'data')
  shutil.rmtree(tree)
  shutil.rmtree(other)
  about = folder_segmentation.Description(**MINIMUM)
  dataset = folder_segmentation.Folder(str(tree), about)
  assert len(labels(dataset, tmp_path / 'data')) == 4


def test_camvid_is_found():
  if not CAMVID.exists():
    pytest.skip('the real images are not here')
  about = folder_segmentation.load('gin_configs/datasets/camvid.json')
  raw = dataset_builder.make_layout(about).read(CAMVID)
  assert {s: len(p) for s, p in raw.splits.items()} == {
    'train': 367,
    'val': 101,
  }
  label = raw.values.read(raw.splits['val'][0].mask)
  assert label.shape == (360, 480)
  assert set(np.unique(label)) <= {*range(11), 255}
