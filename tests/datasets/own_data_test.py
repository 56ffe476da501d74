"""Folders as users have them: photos, names, layouts, mistakes."""

import pathlib
import shutil
import unicodedata

import numpy as np
import pytest
from PIL import Image, ImageOps

from deeplab_contrast import common
from deeplab_contrast.datasets import (
  fingerprints,
  folder_segmentation,
  sources,
  transforms,
)
from deeplab_contrast.datasets.folder_segmentation import (
  folder_segmentation_dataset_builder as dataset_builder,
)
from deeplab_contrast.datasets.raw import upright
from deeplab_contrast.utils import errors
from tests import fixtures

CLASSES = ['road', 'sky', 'car']
_EXIF_ORIENTATION = 0x0112


@pytest.fixture
def tree(tmp_path):
  """images/{train,val} and masks/{train,val} of 3 classes."""
  root = fixtures.make_folder(tmp_path / 'raw', train=3, val=1, ids=range(3))
  return pathlib.Path(root)


@pytest.fixture
def flat(tree):
  return fixtures.flatten(tree)


def collect(tree, **about):
  description = folder_segmentation.Description('toy', CLASSES, **about)
  return dataset_builder.make_layout(description).read(tree)


def ids_of(raw):
  return {split: [p.id for p in pairs] for split, pairs in raw.splits.items()}


def opened(tree, split='train', **about):
  """(source, examples) of a split, prepared."""
  dataset = folder_segmentation.Folder(
    str(tree), folder_segmentation.Description('toy', CLASSES, **about)
  )
  source = sources.TfdsSplit(dataset, split)
  return source, source.open(str(tree.parent / 'data'))


def prepared(tree, split='train', **about):
  """{id: (image, label)} of a prepared split."""
  _, examples = opened(tree, split, **about)
  decode = transforms.Decode()
  return {
    e[common.ID].decode(): tuple(x.numpy() for x in decode.to_bytes(e))
    for e in examples
  }


def refusal(tree, **about):
  with pytest.raises(errors.DataError) as caught:
    prepared(tree, **about)
  return str(caught.value)


# Photos whose EXIF tag says that they are rotated.


def tag(tree, orientation, name='train_0001'):
  """Writes an orientation tag; returns the image as viewers show it."""
  exif = Image.Exif()
  exif[_EXIF_ORIENTATION] = orientation
  path = tree / 'images' / 'train' / f'{name}.jpg'
  # PNG, because all decoders give the same pixels.
  Image.open(path).save(path, 'PNG', exif=exif)
  return np.asarray(ImageOps.exif_transpose(Image.open(path)))


@pytest.mark.parametrize('is_drawn_upright', [True, False])
@pytest.mark.parametrize('orientation', [5, 6, 7, 8])
def test_turned_photos_meet_their_masks(tree, orientation, is_drawn_upright):
  path = tree / 'masks' / 'train' / 'train_0001.png'
  mask = Image.open(path)
  exif = mask.getexif()
  exif[_EXIF_ORIENTATION] = orientation
  expected = ImageOps.exif_transpose(mask)
  if is_drawn_upright:
    expected.save(path)
  shown = tag(tree, orientation)
  assert shown.shape == (48, 36, 3)
  image, label = prepared(tree)['train_0001']
  np.testing.assert_array_equal(image, shown)
  np.testing.assert_array_equal(label, np.asarray(expected))


@pytest.mark.parametrize('orientation', [2, 3, 4])
def test_photos_that_fit_their_masks_both_ways_are_refused(tree, orientation):
  tag(tree, orientation)
  tag(tree, orientation, 'train_0002')
  told = refusal(tree)
  assert 'train_0001.jpg has an EXIF tag that rotates it' in told
  assert 'Likely cause of 2: photos with an EXIF tag' in told


def test_the_tags_of_jpegs_are_respected(tree):
  tag(tree, 6)
  path = tree / 'images' / 'train' / 'train_0001.jpg'
  Image.open(path).convert('RGB').save(
    path, 'JPEG', exif=Image.open(path).getexif()
  )
  assert Image.open(path).size == (48, 36)
  image, label = prepared(tree)['train_0001']
  assert image.shape == (48, 36, 3) and label.shape == (48, 36)


def test_photos_without_masks_are_turned_upright(tree):
  shown = tag(tree, 6)
  image, label = prepared(tree, unlabelled=['train'])['train_0001']
  np.testing.assert_array_equal(image, shown)
  assert label.shape == (48, 36) and (label == common.IGNORE_LABEL).all()


@pytest.fixture
def before(monkeypatch):
  """A dataset prepared before photos were rotated."""
  with monkeypatch.context() as patch:
    patch.setattr(dataset_builder, '_MADE', 0)
    patch.setattr(
      upright, 'turn', lambda picture, labels, *_: (picture, labels)
    )
    yield patch


def test_what_was_prepared_unturned_is_prepared_again(tree, before):
  shown = tag(tree, 6)
  assert prepared(tree)['train_0001'][0].shape == (36, 48, 3)
  before.undo()
  np.testing.assert_array_equal(prepared(tree)['train_0001'][0], shown)


def test_what_needed_no_turning_stays_the_same_data(tree, before):
  def fingerprint():
    return fingerprints.of_sources({'train': opened(tree)}, data_dir)

  data_dir = str(tree.parent / 'data')
  was = fingerprint()
  before.undo()
  assert fingerprint() == was
  assert len(list(tree.parent.glob('data/folder_segmentation/toy_*'))) == 2
  shutil.rmtree(tree)
  assert fingerprint() == was  # Either will do, when the files are gone.


# Values in masks.


def test_black_and_white_masks_without_ids_are_refused(tree):
  for path in tree.glob('masks/*/*.png'):
    Image.open(path).point(lambda value: 255 * (value == 1)).save(path)
  told = refusal(tree)
  assert 'All 4 masks of' in told and 'one and the same class and void' in told
  assert '"ids": [0, 255]' in told
  found = prepared(tree, ids=[0, 255, 7])
  assert {0, 1} == {v for _, label in found.values() for v in np.unique(label)}


def store_as_gif(tree):
  for path in tree.glob('masks/*/*.png'):
    Image.open(path).save(path.with_suffix('.gif'))
    path.unlink()


def test_ids_that_a_gif_replaced_by_indices_are_refused(tree):
  for path in tree.glob('masks/*/*.png'):
    Image.open(path).point(lambda value: 2 * (value == 1)).save(path)
  store_as_gif(tree)
  told = refusal(tree)
  assert 'by its indices it has the ids [0, 1], by its greys [0, 2]' in told
  assert 'Likely cause of 4: masks whose ids a program replaced' in told


def test_gifs_whose_palette_says_the_same_are_read(tree):
  before = prepared(tree)
  store_as_gif(tree)
  after = prepared(tree)
  for name, (_, label) in before.items():
    np.testing.assert_array_equal(after[name][1], label)


# Names.


def rename(tree, pattern, change):
  for path in list(tree.glob(pattern)):
    path.rename(path.with_name(change(path.name)))


@pytest.mark.parametrize(
  'change, remedy',
  [
    (lambda n: n.replace('.', '_mask.'), 'State "mask_suffix": "_mask" in'),
    (lambda n: n.replace('.', '.jpg.'), 'State "mask_suffix": ".jpg" in'),
    (lambda n: n.upper(), 'differ in upper and lower case'),
    (lambda n: 'mask_' + n[-8:], 'Give each mask the name of its image'),
  ],
)
def test_masks_of_other_names_are_reported_in_one_sentence(
  tree, change, remedy
):
  rename(tree, 'masks/*/*.png', change)
  told = refusal(tree)
  assert 'No mask in' in told and 'there are train_0000.jpg and' in told
  assert remedy in told and '\n' not in told


def test_the_suffixes_that_are_reported_are_the_right_ones(tree):
  rename(tree, 'images/*/*', lambda n: n.replace('.', '_rgb.'))
  rename(tree, 'masks/*/*', lambda n: n.replace('.', '_seg.'))
  stated = {'image_suffix': '_rgb', 'mask_suffix': '_seg'}
  told = ', '.join(f'"{key}": "{end}"' for key, end in stated.items())
  assert f'State {told} in the description' in refusal(tree)
  assert ids_of(collect(tree, **stated))['val'] == ['val_0000']


@pytest.mark.parametrize(
  'pattern, ending, sentence',
  [
    ('images/*/*', '.cr2', 'has no image .* it has train_0000.cr2'),
    ('masks/*/*', '.npy', 'has no mask .* it has train_0000.npy'),
  ],
)
def test_files_of_other_kinds_are_reported(tree, pattern, ending, sentence):
  rename(tree, pattern, lambda name: name[:-4] + ending)
  with pytest.raises(errors.DataError, match=sentence):
    prepared(tree)


def test_webp_is_not_a_mask(tree):
  for path in tree.glob('masks/*/*.png'):
    Image.open(path).save(path.with_suffix('.webp'), lossless=True)
    path.unlink()
  assert 'train_0000.webp is not a mask: WEBP blurs ids' in refusal(tree)


def test_umlauts_are_the_same_however_written(flat):
  rename(flat, 'images/*0.jpg', lambda n: f'Ba\N{COMBINING DIAERESIS}u {n}')
  rename(flat, 'images/*', lambda n: unicodedata.normalize('NFD', n))
  rename(
    flat,
    'masks/*0.png',
    lambda n: unicodedata.normalize('NFC', f'Ba\N{COMBINING DIAERESIS}u {n}'),
  )
  assert len(prepared(flat, fractions={'val': 0.25})) == 3


def test_a_list_may_write_umlauts_otherwise(flat):
  rename(
    flat,
    '*/train_0000.*',
    lambda n: f'\N{LATIN SMALL LETTER U WITH DIAERESIS}{n}',
  )
  (flat / 'train.txt').write_text(
    unicodedata.normalize(
      'NFD', '\N{LATIN SMALL LETTER U WITH DIAERESIS}train_0000\n'
    ),
    encoding='utf-8',
  )
  (pair,) = collect(flat, lists={'train': 'train.txt'}).splits['train']
  assert pair.image.exists() and pair.mask.exists()


# Layouts.


def merge(flat):
  """Moves the masks to the images."""
  for path in (flat / 'masks').iterdir():
    path.rename(flat / 'images' / path.name)


def test_masks_next_to_their_photos_are_the_pngs(flat):
  merge(flat)
  raw = collect(flat, mask_folder='images', fractions={'val': 0.25})
  pairs = [pair for pairs in raw.splits.values() for pair in pairs]
  assert len(pairs) == 4
  assert all(p.image.suffix == '.jpg' and p.image.exists() for p in pairs)
  assert all(p.mask.suffix == '.png' and p.mask.exists() for p in pairs)


def test_images_with_a_suffix_may_be_next_to_their_masks(flat):
  rename(flat, 'images/*', lambda n: n.replace('.', '_photo.'))
  merge(flat)
  raw = collect(
    flat,
    mask_folder='images',
    image_suffix='_photo',
    fractions={'val': 0.25},
  )
  assert sum(map(len, raw.splits.values())) == 4


STARRED = {'image_folder': '*/images', 'mask_folder': '*/masks'}


@pytest.fixture
def starred(tree):
  """{train,val}/{images,masks}."""
  for split in ('train', 'val'):
    (tree / split).mkdir()
    for kind in ('images', 'masks'):
      (tree / kind / split).rename(tree / split / kind)
  for kind in ('images', 'masks'):
    (tree / kind).rmdir()
  return tree


def test_the_split_may_stand_above_its_folders(starred):
  raw = collect(starred, **STARRED)
  assert {s: len(p) for s, p in raw.splits.items()} == {'train': 3, 'val': 1}
  assert len(prepared(starred, **STARRED)) == 3


def test_the_split_may_stand_between_folders(starred):
  (starred / 'new [1]').mkdir()
  for split in ('train', 'val'):
    (starred / split).rename(starred / 'new [1]' / split)
  raw = collect(
    starred, **{k: f'./new [1]/{folder}' for k, folder in STARRED.items()}
  )
  assert {s: len(p) for s, p in raw.splits.items()} == {'train': 3, 'val': 1}


def test_splits_above_folders_are_found_below_the_name(starred):
  root = starred.parent / 'all'
  root.mkdir()
  (root / 'other' / 'images').mkdir(parents=True)
  (root / 'other' / 'masks').mkdir()
  starred.rename(root / 'toy')
  assert set(ids_of(collect(root, **STARRED))) == {'train', 'val'}


def test_splits_above_folders_that_are_gone_leave_the_prepared(starred):
  before = prepared(starred, **STARRED)
  for split in ('train', 'val'):
    shutil.rmtree(starred / split)
  assert prepared(starred, **STARRED).keys() == before.keys()
  with pytest.raises(errors.DataError, match=r'with \*/images and \*/masks'):
    collect(starred, **STARRED)


def test_images_without_masks_are_their_own_split(flat):
  (flat / 'masks' / 'train_0001.png').unlink()
  about = {'fractions': {'val': 0.3}, 'unlabelled': ['extra']}
  found = ids_of(collect(flat, **about))
  assert found['extra'] == ['train_0001']
  assert len(found['train']) == 2 and len(found['val']) == 1
  (label,) = [x for _, x in prepared(flat, 'extra', **about).values()]
  assert (label == common.IGNORE_LABEL).all()


def test_too_few_images_for_the_splits_are_reported(flat):
  for path in sorted(flat.glob('*/*'))[1:]:
    if 'train_0000' not in path.name:
      path.unlink()
  with pytest.raises(errors.DataError, match='1 labelled images, too few for'):
    collect(flat, fractions={'val': 0.2})


def test_an_unlabelled_split_must_be_there(tree):
  with pytest.raises(errors.DataError, match="no subfolder 'tset'.*has train"):
    collect(tree, unlabelled=['tset'])


def test_what_archives_of_macos_bring_is_not_a_split(tree):
  for kind in ('images', 'masks'):
    (tree / kind / '__MACOSX').mkdir()
    (tree / kind / '__MACOSX' / 'a.png').write_bytes(b'x')
    (tree / kind / '._a.jpg').write_bytes(b'x')
  assert set(ids_of(collect(tree))) == {'train', 'val'}
  for split in ('train', 'val'):
    shutil.rmtree(tree / 'images' / split)
  with pytest.raises(errors.DataError, match='no subfolders to use as splits'):
    collect(tree)


def test_a_missing_split_tells_how_to_make_one(tree):
  dataset = folder_segmentation.Folder(
    str(tree), folder_segmentation.Description('toy', CLASSES)
  )
  with pytest.raises(errors.DataError, match="no split 'dev'.*own_data.md"):
    sources.TfdsSplit(dataset, 'dev').open(str(tree.parent / 'data'))
