"""All files are read once, every fault is reported, and no work is lost."""

import json
import os
import pathlib
import shutil

import numpy as np
import pytest
from PIL import Image

from deeplab_contrast import common
from deeplab_contrast.datasets import folder_segmentation, sources
from deeplab_contrast.datasets.folder_segmentation import (
  folder_segmentation_dataset_builder as dataset_builder,
)
from deeplab_contrast.datasets.raw import mask_causes, pair_check, raw_check
from deeplab_contrast.imaging import images, masks
from deeplab_contrast.utils import errors
from tests import fixtures

ABOUT = folder_segmentation.Description(
  'toy', [(f'class {i}', (20 * i, 250 - 20 * i, 9)) for i in range(11)],
  ignored=(11,),
)  # fmt: skip

SKIP = raw_check.Checking('skip', most_skipped=0.4)


@pytest.fixture(scope='module')
def original(tmp_path_factory):
  folder = tmp_path_factory.mktemp('raw')
  return pathlib.Path(fixtures.make_folder(folder, train=6, val=3))


@pytest.fixture
def tree(original, tmp_path):
  """A copy to damage."""
  return pathlib.Path(shutil.copytree(original, tmp_path / 'raw'))


def read(tree, about=ABOUT):
  return dataset_builder.make_layout(about).read(tree)


def check(tree, checking=None, journal=None):
  return raw_check.check(read(tree), checking, journal)


def spoil_mask(tree, index=0, value=77):
  path = tree / 'masks' / 'train' / f'train_{index:04}.png'
  mask = np.array(Image.open(path))
  mask[3, 4] = value
  Image.fromarray(mask).save(path)
  return path


def refusal(tree, checking=None):
  with pytest.raises(errors.DataError) as caught:
    check(tree, checking)
  return str(caught.value)


def test_good_data_are_all_kept(tree):
  checked = check(tree)
  assert {s: len(p) for s, p in checked.raw.splits.items()} == {
    'train': 6,
    'val': 3,
  }
  assert checked.metadata['max_height'] == 36
  assert checked.metadata['max_width'] == 48
  assert not checked.quarantined and not checked.twins


@pytest.mark.parametrize(
  'workers', [0, pytest.param(2, marks=pytest.mark.slow)]
)
def test_threads_and_processes_find_the_same(tree, workers):
  path = spoil_mask(tree)
  (tree / 'images' / 'val' / 'val_0001.jpg').write_bytes(b'<html>')
  told = refusal(tree, raw_check.Checking(workers=workers))
  assert told.startswith(f'{tree} has 2 faults')
  assert (
    f'{path} has the values [77]: expected the ids 0 to 11 and 255.' in told
  )
  assert 'val_0001.jpg is a web page' in told


# The fingerprint of the contents.


def test_the_fingerprint_is_of_pixels_not_of_files(tree):
  before = check(tree).metadata['fingerprint']
  path = tree / 'masks' / 'train' / 'train_0002.png'
  Image.open(path).save(path, compress_level=1)
  assert check(tree).metadata['fingerprint'] == before
  mask = np.array(Image.open(path))
  mask[0, 0] = 10 - mask[0, 0] % 10
  Image.fromarray(mask).save(path)
  assert check(tree).metadata['fingerprint'] != before


# Splits that must be disjoint, and repetitions.


def test_the_same_picture_in_two_splits_is_refused(tree):
  image = tree / 'images' / 'train' / 'train_0001.jpg'
  twin = tree / 'images' / 'val' / 'val_0002.jpg'
  shutil.copy(image, twin)
  told = refusal(tree)
  assert f'{image} of train is the same picture as {twin} of val' in told
  left_out = check(tree, SKIP)
  assert [name for name, _ in left_out.quarantined] == ['train_0001']
  assert len(left_out.raw.splits['val']) == 3


def test_the_same_picture_in_another_encoding_is_found(tree):
  image = tree / 'images' / 'train' / 'train_0001.jpg'
  pixels = Image.fromarray(images.read_picture(image).pixels)
  (tree / 'images' / 'val' / 'val_0002.jpg').unlink()
  pixels.save(tree / 'images' / 'val' / 'val_0002.png')
  assert 'is the same picture as' in refusal(tree)


def test_equal_pictures_within_a_split_are_reported(tree):
  folder = tree / 'images' / 'train'
  shutil.copy(folder / 'train_0001.jpg', folder / 'train_0004.jpg')
  assert check(tree).twins == [('train_0001', 'train_0004')]


def test_two_files_of_one_id_are_refused(tree):
  folder = tree / 'images' / 'train'
  shutil.copy(folder / 'train_0001.jpg', folder / 'train_0001.jpeg')
  with pytest.raises(
    errors.DataError, match='1 ids more than once.*train_0001'
  ):
    read(tree)


def test_names_that_cannot_be_ids_are_refused(tree):
  folder = os.fsencode(tree / 'images' / 'train')
  for name in (b'a\nb.jpg', b'\xff\xfe.jpg'):
    with open(folder + b'/' + name, 'wb') as file:
      file.write(b'x')
  with pytest.raises(errors.DataError, match=r"2 ids .*'\\udcff\\udcfe'"):
    read(tree)


# Masks without anything.


def test_one_empty_mask_passes_but_not_only_empty_ones(tree):
  folder = tree / 'masks' / 'val'
  void = Image.fromarray(np.full([36, 48], 11, np.uint8))
  void.save(folder / 'val_0000.png')
  check(tree)
  for path in folder.iterdir():
    void.save(path)
  assert 'All masks of the split val' in refusal(tree)


# Likely causes.


def blurred(mask):
  size = (mask.width * 2, mask.height * 2)
  smooth = mask.resize(size, Image.Resampling.BILINEAR)
  return smooth.resize((mask.width, mask.height), Image.Resampling.BILINEAR)


def of_palette(mask):
  """The greys of a palette mask that was saved as grey."""
  mask.putpalette([v for _, color in ABOUT.classes for v in color])
  return mask.convert('L')


@pytest.mark.parametrize(
  'change, cause',
  [
    (of_palette, mask_causes.BRIGHTNESS),
    (fixtures.in_color, masks.RGB_MASK),
    (lambda m: m.point(lambda v: min(v, 10) * 20), 'ids multiplied by 20'),
    (lambda m: m.point(lambda v: v + 13), 'ids of a different list of classes'),
    (
      lambda m: m.resize((24, 18), Image.Resampling.NEAREST),
      'masks that differ in size from images',
    ),
  ],
)
def test_the_likely_cause_is_reported(tree, change, cause):
  for path in sorted((tree / 'masks' / 'train').iterdir()):
    change(Image.open(path)).save(path)
  told = refusal(tree)
  assert f'Likely cause of 6: {cause}' in told.splitlines()[-1]


def test_of_many_classes_any_value_is_the_brightness_of_one():
  colors = images.voc_colormap(171)
  mask = np.array([[0, 38, 75, 176, 178]], np.uint8)
  cause = mask_causes.of_ids(mask, range(171), colors)
  assert cause.startswith('ids of a different list of classes')


def test_even_train_ids_are_not_ids_multiplied_by_two():
  mask = np.array([[2, 4, 18, 255]], np.uint8)
  colors = images.voc_colormap(19)
  assert mask_causes.of_ids(mask, range(34), colors) == mask_causes.TRAIN_IDS


def test_resized_masks_are_recognized():
  rng = np.random.default_rng(0)
  mask = np.zeros([90, 120], np.uint8)
  for value in (15, 40, 80, 160, 250, 15, 250):
    top, left = rng.integers(0, 70), rng.integers(0, 90)
    mask[top : top + 40, left : left + 40] = value
  smooth = np.asarray(blurred(Image.fromarray(mask)))
  known = (0, 15, 40, 80, 160, 250)
  colors = [(i, 3 * i, 255 - i) for i in known]
  assert mask_causes.of_ids(smooth, known, colors) == mask_causes.RESIZED
  enlarged = np.asarray(
    Image.fromarray(mask).resize((400, 300), Image.Resampling.BICUBIC)
  )
  assert mask_causes.of_ids(enlarged, known, colors) == mask_causes.RESIZED


@pytest.mark.parametrize(
  'values, known, count, cause',
  [
    ((7, 8, 26, 33), range(19), 19, mask_causes.LABEL_IDS),
    ((0, 5, 18, 255), range(34), 19, mask_causes.TRAIN_IDS),
    ((1, 2, 3, 4), range(4), 4, 'ids that start at 1, or 4 means void'),
    ((0, 1, 90), range(4), 4, 'ids of a different list of classes'),
  ],
)
def test_causes_of_foreign_ids(values, known, count, cause):
  mask = np.repeat(np.array(values, np.uint8), 20).reshape(-1, 20)
  colors = [(i, 7 * i, 200) for i in range(count)]
  assert mask_causes.of_ids(mask, known, colors).startswith(cause)


# Leaving out bad pairs.


def test_skipping_leaves_out_and_lists(tree, tmp_path):
  path = spoil_mask(tree)
  (tree / 'images' / 'val' / 'val_0001.jpg').unlink()
  checked = check(tree, SKIP)
  assert {s: len(p) for s, p in checked.raw.splits.items()} == {
    'train': 5,
    'val': 2,
  }
  names = {name for name, _ in checked.quarantined}
  assert names == {'train_0000', 'val_0001'}
  assert str(path) in dict(checked.quarantined)['train_0000']


def test_only_a_share_is_left_out(tree):
  for index in range(4):
    spoil_mask(tree, index)
  told = refusal(tree, raw_check.Checking('skip', 0.3))
  assert told.startswith('4 of 9 pairs are faulty, but at most 3 (30.0%)')
  assert 'train_0003.png has the values [77]' in told


def test_a_split_is_not_left_empty(tree):
  for path in (tree / 'masks' / 'val').iterdir():
    path.write_bytes(b'nothing')
  assert 'Nothing is left of the split val' in refusal(tree, SKIP)


@pytest.mark.parametrize('wrong', [{'on_error': 'x'}, {'most_skipped': 1.0}])
def test_wrong_settings_are_refused(wrong):
  with pytest.raises(errors.ConfigError):
    raw_check.Checking(**wrong)


# The journal.


def test_what_was_good_is_not_read_again(tree, tmp_path, monkeypatch):
  journal = tmp_path / 'data' / 'journal.jsonl'
  bad = spoil_mask(tree)
  with pytest.raises(errors.DataError):
    check(tree, journal=journal)
  expected_without = check(tree, SKIP).metadata
  looked_at = []
  examine = pair_check.examine

  def spy(pair, **how):
    looked_at.append(pair.id)
    return examine(pair, **how)

  monkeypatch.setattr(pair_check, 'examine', spy)
  assert check(tree, SKIP, journal).metadata == expected_without
  assert looked_at == ['train_0000']
  # Only changed files are read again.
  shutil.copy(tree / 'masks' / 'train' / 'train_0001.png', bad)
  looked_at.clear()
  check(tree, journal=journal)
  assert looked_at == ['train_0000']
  looked_at.clear()
  check(tree, journal=journal)
  assert looked_at == []


def test_other_values_make_the_journal_worthless(tree, tmp_path):
  journal = tmp_path / 'journal.jsonl'
  check(tree, journal=journal)
  fewer = folder_segmentation.Description('toy', ABOUT.classes[:10])
  with pytest.raises(errors.DataError, match=r'the values \[10, 11\]|\[11\]'):
    raw_check.check(read(tree, fewer), None, journal)


def test_a_cut_off_journal_is_used_as_far_as_it_goes(tree, tmp_path):
  journal = tmp_path / 'journal.jsonl'
  expected = check(tree, journal=journal).metadata
  whole = journal.read_bytes()
  journal.write_bytes(whole[: len(whole) // 2] + b'\x00\xff')
  assert check(tree, journal=journal).metadata == expected
  lines = journal.read_bytes().splitlines()
  good = [
    line for line in lines if line.startswith(b'["') and line[-1:] == b']'
  ]
  assert len({json.loads(line)[0] for line in good}) == 9


# Through the builder.


def open_split(tree, data_dir, split='train'):
  dataset = folder_segmentation.Folder(str(tree), ABOUT)
  return sources.TfdsSplit(dataset, split).open(str(data_dir))


def test_a_builder_keeps_what_was_found(tree, tmp_path):
  open_split(tree, tmp_path)
  (path,) = tmp_path.glob('folder_segmentation/toy_*/1.0.0/checked.json')
  assert json.loads(path.read_text()) == {
    'quarantined': 0,
    'twins': [],
    'notes': [],
  }
  info = json.loads((path.parent / 'metadata.json').read_text())
  assert info['fingerprint'] == check(tree).metadata['fingerprint']


def test_leftovers_of_a_killed_process_are_swept(tree, tmp_path):
  dataset = folder_segmentation.Folder(str(tree), ABOUT)
  folder = pathlib.Path(dataset.builder(str(tmp_path)).data_path)
  left = folder.parent / 'incomplete.ABCDEF_1.0.0'
  left.mkdir(parents=True)
  (left / 'half.array_record').write_bytes(b'x')
  open_split(tree, tmp_path)
  assert folder.is_dir() and not left.exists()


def test_the_first_file_of_a_bad_tree_does_not_count_twice(tree, tmp_path):
  spoil_mask(tree)
  for _ in range(2):
    with pytest.raises(errors.DataError, match='has 1 fault '):
      open_split(tree, tmp_path)
  assert not list(tmp_path.rglob('dataset_info.json'))
  assert not list(tmp_path.rglob('incomplete.*'))


def test_labels_are_void_where_there_are_no_masks(tree, tmp_path):
  shutil.copytree(tree / 'images' / 'val', tree / 'images' / 'test')
  shutil.rmtree(tree / 'images' / 'val')
  shutil.rmtree(tree / 'masks' / 'val')
  about = folder_segmentation.Description(
    'toy', ABOUT.classes, ignored=(11,), unlabelled=('test',)
  )
  source = sources.TfdsSplit(
    folder_segmentation.Folder(str(tree), about), 'test'
  )
  for example in source.open(str(tmp_path)):
    (tmp_path / 'label.png').write_bytes(example[common.LABEL])
    label = masks.read_ids(tmp_path / 'label.png')
    assert label.shape == (36, 48) and (label == 255).all()
