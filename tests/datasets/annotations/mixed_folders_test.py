"""Folders with more than images and their masks, and masks that mix kinds."""

import io
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from deeplab_contrast.utils import errors
from tests.datasets.annotations import exports
from tests.datasets.annotations.formats_test import collect, cup_above
from tests.datasets.annotations.strangers_test import (
  each_train_mask,
  grey,
  photos,
  unknown,
)

IDS = exports.ids()


def refusal(root):
  with pytest.raises(errors.DataError) as caught:
    collect(root)
  return str(caught.value)


def state(root, **keys):
  exports.write(root / 'dataset.json', keys)


def save_all(root, template, pixels, count=5):
  for i in range(count):
    exports.save(root / template.format(i), pixels)


@pytest.mark.parametrize(
  'other', ['overlays', 'visualization', 'preview', 'thermal', 'vis']
)
def test_photos_are_preferred_over_pictures_made_of_them(tmp_path, other):
  exports.plain(tmp_path)
  for i in range(8):
    exports.photo(tmp_path / other / f'{i}.png', i + 50)
  about, _ = collect(tmp_path)
  assert (about.image_folder, about.mask_folder) == ('images', 'masks')


def test_two_folders_that_may_be_the_photos_are_both_named(tmp_path):
  exports.plain(tmp_path, 'images_a')
  shutil.copytree(tmp_path / 'images_a', tmp_path / 'images_b')
  told = refusal(tmp_path)
  assert 'may belong to the images in images_a or in images_b' in told
  keys = {'image_folder': 'images_b', 'mask_folder': 'masks'}
  assert json.dumps(keys) in told
  state(tmp_path, **keys)
  about, _ = collect(tmp_path)
  assert about.image_folder == 'images_b'
  each_train_mask(tmp_path, IDS)


def test_masks_of_classes_are_preferred_over_those_of_instances(tmp_path):
  exports.plain(tmp_path, masks='semantic_masks')
  save_all(tmp_path, 'instance_masks/{}.png', IDS + 4, 8)
  save_all(tmp_path, 'masks_color/{}.png', exports.COLORS[IDS], 8)
  about, _ = each_train_mask(tmp_path, IDS)
  assert about.mask_folder == 'semantic_masks'


def test_two_folders_of_masks_are_both_named(tmp_path):
  exports.plain(tmp_path)
  save_all(tmp_path, '1st_manual/{}_manual1.png', IDS, 8)
  told = refusal(tmp_path)
  assert 'may have its masks in masks or in 1st_manual' in told
  state(
    tmp_path,
    image_folder='images',
    mask_folder='1st_manual',
    mask_suffix='_manual1',
  )
  each_train_mask(tmp_path, IDS)


def test_ids_of_cityscapes_are_told_from_its_colours(tmp_path):
  for i in range(4):
    name = f'{"train" if i < 3 else "val"}/town_{i % 3}/{i}'
    exports.photo(tmp_path / f'leftImg8bit/{name}_leftImg8bit.png', i)
    for end, pixels in (
      ('color', exports.COLORS[IDS]),
      ('instanceIds', IDS.astype(np.uint16) * 1000),
      ('labelIds', IDS),
    ):
      exports.save(tmp_path / f'gtFine/{name}_gtFine_{end}.png', pixels)
  about, raw = each_train_mask(tmp_path, IDS)
  assert about.mask_suffix == '_gtFine_labelIds'
  assert {split: len(p) for split, p in raw.splits.items()} == {
    'train': 3,
    'val': 1,
  }


@pytest.mark.parametrize('split', ['{}', '{}/country'])
@pytest.mark.parametrize('places', [('a', 'b'), ('train', 'val')])
def test_places_that_no_description_has_are_named(tmp_path, split, places):
  for place in (split.format(places[0]), *map(split.format, places), 'train/x'):
    exports.plain(tmp_path / place, 'my-images', 'my-masks')
  told = refusal(tmp_path)
  assert 'images and masks in several places' in told
  assert 'move all images into one folder' in told


def test_subfolders_of_splits_are_all_read(tmp_path):
  for i, place in enumerate(('train/a', 'train/b', 'val/a', 'val/b')):
    exports.photo(tmp_path / f'images/{place}/{i}.jpg', i)
    exports.save(tmp_path / f'masks/{place}/{i}.png', IDS)
  _, raw = each_train_mask(tmp_path, IDS)
  assert {split: len(p) for split, p in raw.splits.items()} == {
    'train': 2,
    'val': 2,
  }


def test_two_exports_of_masks_are_not_read_as_one(tmp_path):
  for task in ('task1', 'task2'):
    exports.cvat(tmp_path / task)
  assert 'masks in two places, task1 and task2: move' in refusal(tmp_path)


@pytest.mark.parametrize(
  'photo, mask',
  [
    ('images/img_{}.jpg', 'masks/mask_{}.png'),
    ('images/{:03}.jpg', 'masks/mask_{:03}.png'),
    ('images/IMG_{}.jpg', 'masks/img_{}.png'),
    ('data/{}_image.png', 'data/{}_mask.png'),
    ('train/{}_sat.jpg', 'train/{}_mask.png'),
  ],
)
def test_names_may_differ_at_their_start_or_end(tmp_path, photo, mask):
  for i in range(12):
    exports.photo(tmp_path / photo.format(i), i)
    exports.save(tmp_path / mask.format(i), np.uint8(i + 1) * (IDS > 0))
  _, raw = collect(tmp_path)
  for pairs in raw.splits.values():
    for pair in pairs:
      number = int(''.join(filter(str.isdigit, pair.image.stem)))
      assert pair.mask.name == mask.format(number).rpartition('/')[2]


def test_names_that_do_not_match_have_a_remedy(tmp_path):
  photos(tmp_path)
  save_all(tmp_path, 'masks/m{}x.png', IDS, 4)
  exports.save(tmp_path / 'masks/other.png', IDS)
  told = unknown(tmp_path)
  assert 'images/0.jpg, whose names do not match' in told
  keys = {
    'image_folder': 'images',
    'mask_folder': 'masks',
    'pair_by': 'order',
  }
  assert json.dumps(keys) in told
  state(tmp_path, **keys)
  each_train_mask(tmp_path, IDS)


def test_a_second_mask_of_an_image_is_refused(tmp_path):
  exports.plain(tmp_path, 'd', 'd')
  for path in list((tmp_path / 'd').glob('*.png')):
    path.rename(path.with_name(f'{path.stem}_mask.png'))
  exports.save(tmp_path / 'd/3_mask_1.png', IDS)
  assert '3_mask_1.png looks like a second mask' in refusal(tmp_path)


def test_grey_masks_among_those_in_colours(tmp_path):
  photos(tmp_path, count=6)
  save_all(tmp_path, 'masks/{}.png', exports.COLORS[IDS], 5)
  exports.save(tmp_path / 'masks/5.png', np.zeros_like(IDS))
  about, _ = collect(tmp_path)
  assert about.masks == 'colors' and len(about.classes) == 3
  exports.save(tmp_path / 'masks/5.png', grey(IDS > 0))
  assert 'grey mask with the value 255' in refusal(tmp_path)


def test_white_beside_one_is_void(tmp_path):
  photos(tmp_path)
  mask = IDS.clip(0, 1)
  mask[0] = 255
  save_all(tmp_path, 'masks/{}.png', mask)
  about, _ = each_train_mask(tmp_path, mask)
  assert about.info.class_names == ('background', 'object')


def jpeg(pixels):
  file = io.BytesIO()
  Image.fromarray(pixels).save(file, 'JPEG', quality=95)
  return np.asarray(Image.open(file))


def shrunk(pixels):
  image = Image.fromarray(pixels.repeat(4, 0).repeat(4, 1))
  size = exports.WIDTH - 7, exports.HEIGHT - 5
  return np.asarray(image.resize(size, Image.Resampling.BILINEAR))


@pytest.mark.parametrize('blur', [jpeg, shrunk])
@pytest.mark.parametrize('template', ['masks/{}.png', 'masks/cup/{}.png'])
def test_values_between_others_are_no_classes(tmp_path, blur, template):
  photos(tmp_path)
  save_all(tmp_path, template, blur(grey(IDS > 0)))
  if 'cup' in template:
    save_all(tmp_path, 'masks/box/{}.png', blur(grey(IDS > 1)))
  assert 'only at the edges between others' in refusal(tmp_path)


def test_colours_between_others_are_no_classes(tmp_path):
  photos(tmp_path)
  save_all(tmp_path, 'masks/{}.png', shrunk(exports.COLORS[IDS]))
  assert 'export them again as PNG' in refusal(tmp_path)
  names = {'a': [0, 0, 0], 'b': [48, 112, 32]}
  state(
    tmp_path, name='x', masks='colors', classes=names, fractions={'val': 0.2}
  )
  collect(tmp_path)


def test_masks_per_class_may_be_grey_in_three_channels(tmp_path):
  photos(tmp_path)
  for name, pixels in (('box', IDS == 2), ('cup', cup_above() == 1)):
    save_all(tmp_path, f'masks/{name}/{{}}.png', np.dstack([grey(pixels)] * 3))
  about, _ = each_train_mask(tmp_path, np.where(cup_above() == 1, 2, IDS > 1))
  assert about.info.class_names == ('background', 'box', 'cup')


def test_a_list_of_images_without_masks_is_unlabelled(tmp_path):
  exports.plain(tmp_path)
  for name, numbers in (('train', '012'), ('val', '34'), ('test', '67')):
    exports.write(tmp_path / f'{name}.txt', '\n'.join(numbers))
  for i in '67':
    (tmp_path / f'masks/{i}.png').unlink()
  about, _ = collect(tmp_path)
  assert list(about.unlabelled) == ['test']


def test_masks_that_hold_no_ids_are_named_with_the_reason(tmp_path):
  photos(tmp_path)
  for i in range(5):
    exports.save(tmp_path / f'masks/{i}.tif', IDS.astype(np.float32))
  assert 'masks/0.tif is not a mask: it has the mode F' in refusal(tmp_path)


def test_thumbnails_of_systems_and_our_own_files_are_left_out(tmp_path):
  exports.plain(tmp_path, '', '')
  for folder in ('@eaDir/0.jpg', 'data/folder_segmentation/x/1.0.0'):
    exports.photo(tmp_path / folder / 'a.jpg', 1)
    exports.photo(tmp_path / folder / 'contact_sheet.png', 1)
  _, raw = each_train_mask(tmp_path, IDS)
  assert sum(map(len, raw.splits.values())) == 8


def test_a_description_of_another_tool_is_told_from_ours(tmp_path):
  exports.plain(tmp_path)
  state(tmp_path, labels={'cup': 1}, numTraining=8)
  with pytest.raises(errors.ConfigError, match='give it another name'):
    collect(tmp_path)


def test_names_that_match_in_other_subfolders_have_a_remedy(tmp_path):
  for place in 'ab':
    exports.plain(tmp_path, f'{place}/images', f'{place}/masks')
  keys = {'name': 'x', 'classes': ['a', 'b'], 'fractions': {'val': 0.2}}
  state(tmp_path, image_folder='.', mask_folder='.', **keys)
  told = refusal(tmp_path)
  assert 'a/images/0.jpg and a/masks/0.png' in told
  assert 'not the subfolders a/images and a/masks: put all images' in told


def test_missing_images_are_told_from_missing_masks(tmp_path):
  exports.plain(tmp_path)
  exports.save(tmp_path / 'masks/9.png', IDS)
  _, raw = collect(tmp_path)
  assert 'Masks (or names in lists) without an image' in raw.advice[0][1]
  assert not any('missing_mask' in advice for _, advice in raw.advice)
