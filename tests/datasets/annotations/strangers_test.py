"""Exports and folders as people have them, each a small change of the usual."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from deeplab_contrast.datasets import folder_segmentation
from deeplab_contrast.imaging import images
from deeplab_contrast.utils import errors
from tests.datasets.annotations import exports
from tests.datasets.annotations.formats_test import (
  collect,
  cup_above,
  edit,
  masks,
  with_outlines,
)

CUP, BOX = cup_above() == 1, cup_above() == 2
WHITE = exports.ids() > 0


def photos(root, folder='images', count=5):
  for i in range(count):
    exports.photo(root / folder / f'{i}.jpg', i)


def grey(pixels):
  return np.asarray(pixels, np.uint8) * 255


def each_train_mask(root, expected):
  """Checks all masks of the split to train on; returns the description."""
  about, raw = collect(root)
  found = masks(root)['train']
  assert found
  for mask in found.values():
    np.testing.assert_array_equal(mask, expected)
  return about, raw


@pytest.mark.parametrize(
  'names',
  ['masks/{c}/{i}.png', 'masks/{i}/{c}.png', 'masks/{i}_{c}.png'],
)
def test_one_mask_per_class(tmp_path, names):
  photos(tmp_path)
  for i in range(5):
    # Those that come later are above, but the cup is not in the box.
    for name, pixels in (('box', BOX), ('cup', CUP)):
      exports.save(tmp_path / names.format(i=i, c=name), grey(pixels))
  about, _ = each_train_mask(tmp_path, np.where(CUP, 2, BOX))
  assert about.masks == 'class_masks'
  assert about.info.class_names == ('background', 'box', 'cup')


def test_one_mask_per_object_is_one_class(tmp_path):
  for i in range(5):
    exports.photo(tmp_path / f'a{i}/images/a{i}.png', i)
    for j, pixels in enumerate((BOX, CUP)):
      exports.save(tmp_path / f'a{i}/masks/{i}f{j}.png', grey(pixels))
  about, _ = each_train_mask(tmp_path, BOX | CUP)
  assert about.info.class_names == ('background', 'object')


def test_masks_in_folders_of_cameras_are_not_classes(tmp_path):
  for camera in ('left', 'right'):
    for i in range(3):
      exports.photo(tmp_path / f'images/{camera}/{i}.jpg', i)
      exports.save(tmp_path / f'masks/{camera}/{i}.png', grey(WHITE))
  about, _ = collect(tmp_path)
  assert about.masks == 'ids'


def test_even_greys_are_classes_and_white_is_the_last(tmp_path):
  photos(tmp_path)
  for i in range(5):
    shades = np.array([0, 127, 255], np.uint8)[exports.ids()]
    exports.save(tmp_path / f'masks/{i}.png', shades)
  about, _ = each_train_mask(tmp_path, exports.ids())
  assert about.ids == [0, 127, 255]


def test_colours_on_transparent_ground(tmp_path):
  photos(tmp_path)
  alpha = grey(WHITE)[..., None]
  rgba = np.concatenate([exports.COLORS[exports.ids()], alpha], -1)
  for i in range(5):
    exports.save(tmp_path / f'masks/{i}.png', rgba)
  about, _ = each_train_mask(tmp_path, exports.ids())
  assert about.transparent == 'background'


@pytest.mark.parametrize(
  'photo, mask', [('images_{}', 'masks_{}'), ('{}_images', '{}_masks')]
)
def test_splits_in_the_names_of_folders(tmp_path, photo, mask):
  for i in range(5):
    split = 'train' if i < 3 else 'valid'
    exports.photo(tmp_path / photo.format(split) / f'{i}.jpg', i)
    exports.save(tmp_path / mask.format(split) / f'{i}.png', exports.ids())
  _, raw = each_train_mask(tmp_path, exports.ids())
  counts = {split: len(pairs) for split, pairs in raw.splits.items()}
  assert counts == {'train': 3, 'val': 2}


def test_photos_of_few_colours_are_known_by_their_folder(tmp_path):
  for i in range(5):
    flat = np.full([30, 40, 3], 40 * i, np.uint8)
    exports.save(tmp_path / f'images/{i}.png', flat)
    exports.save(tmp_path / f'masks/{i}.png', exports.ids())
  each_train_mask(tmp_path, exports.ids())


def test_cvat_masks_with_photos_in_another_folder(tmp_path):
  root = exports.cvat(tmp_path)
  (root / 'JPEGImages').rename(root / 'photos')
  about, _ = collect(root)
  assert about.image_folder == 'photos'


def test_yolo_splits_are_what_data_yaml_says(tmp_path):
  root = exports.yolo(tmp_path)
  for kind in ('images', 'labels'):
    for path in list((root / kind).rglob('*.*')):
      shutil.move(path, root / kind / path.name)
  for split, numbers in (('train', range(3)), ('val', range(3, 8))):
    lines = [f'/home/me/data/images/{i}.jpg' for i in numbers]
    exports.write(root / f'{split}.txt', '\n'.join(lines))
  exports.write(
    root / 'data.yaml',
    'path: /home/me/data\ntrain: train.txt\nval: val.txt\n'
    'names:\n  0: cup\n  1: box\n',
  )
  _, raw = each_train_mask(root, with_outlines(cup_is_above=True))
  assert [pair.id for pair in raw.splits['train']] == ['0', '1', '2']
  assert len(raw.splits['val']) == 5


def test_a_yolo_class_without_a_name_gets_a_sentence(tmp_path):
  root = exports.yolo(tmp_path)
  exports.write(root / 'labels/train/0.txt', '2 0.1 0.1 0.5 0.5 0.1 0.5\n')
  with pytest.raises(errors.DataError, match='class 2, but data.yaml names 2'):
    collect(root)


def test_yolo_labels_beside_images(tmp_path):
  root = exports.yolo(tmp_path)
  for path in list(root.rglob('*/*/*.*')):
    shutil.move(path, root / path.name)
  (root / 'data.yaml').rename(root / 'obj.names')
  exports.write(root / 'obj.names', 'cup\nbox\n')
  each_train_mask(root, with_outlines(cup_is_above=True))


def test_a_yolo_folder_without_labels_does_not_show_nothing(tmp_path):
  root = exports.yolo(tmp_path)
  exports.photo(root / 'images/test/9.jpg', 9)
  _, raw = collect(root)
  assert sorted(raw.splits) == ['train', 'val']
  assert raw.notes == ('left out: 1 x image of a folder without labels.',)


def test_a_coco_split_without_annotations_does_not_show_nothing(tmp_path):
  root = exports.roboflow_coco(tmp_path)
  exports.photo(root / 'test/9.jpg', 9)
  size = {'height': exports.HEIGHT, 'width': exports.WIDTH}
  value = {'images': [{'id': 0, 'file_name': '9.jpg', **size}]}
  path = root / 'test/_annotations.coco.json'
  exports.write(path, {**value, 'annotations': []})
  _, raw = collect(root)
  assert sorted(raw.splits) == ['train', 'val']
  assert raw.notes == ('left out: 1 x image in a list without annotations.',)


def test_coco_without_sizes_takes_those_of_the_files(tmp_path):
  root = exports.coco(tmp_path)

  def remove(value):
    for image in value['images']:
      image['height'] = image.pop('width') - exports.WIDTH

  edit(root, 'annotations/*.json', remove)
  each_train_mask(root, cup_above())


def test_labelme_takes_the_photo_and_not_its_mask(tmp_path):
  root = exports.labelme(tmp_path)
  for i in range(8):
    exports.save(root / f'{i}.png', exports.ids())
  _, raw = collect(root)
  assert {p.image.suffix for p in raw.splits['train']} == {'.jpg'}


def test_a_damaged_photo_inside_of_labelme_gets_a_sentence(tmp_path):
  root = exports.labelme_embedded(tmp_path)
  edit(root, '0.json', lambda value: value.update(imageData='no base64!'))
  with pytest.raises(errors.DataError, match=r"0.json has no photo in 'imag"):
    for pairs in collect(root)[1].splits.values():
      for pair in pairs:
        images.read_picture(pair.image)


def label_studio_parts(root):
  """The shape of a region and its label as two results with one id."""
  exports.label_studio(root)
  path = root / 'project-1.json'
  tasks = json.loads(path.read_text())
  for task in tasks:
    result = task['annotations'][0]['result']
    for i, whole in enumerate(list(result)):
      name = next(k for k in whole['value'] if k.endswith('labels'))
      value = dict(whole['value'])
      labels = value.pop(name)
      whole |= {'id': f'r{i}', 'type': name, 'value': value}
      label = {**value, 'labels': labels}
      result.append({**whole, 'type': 'labels', 'value': label})
  exports.write(path, tasks)
  return root


def test_label_studio_with_a_tag_for_labels_alone(tmp_path):
  _, raw = each_train_mask(
    label_studio_parts(tmp_path), np.array([0, 2, 1])[exports.ids()]
  )
  assert not raw.notes


def test_json_min_of_several_people_counts_the_last(tmp_path):
  root = exports.label_studio_min(tmp_path)
  path = root / 'project-1.json'
  records = json.loads(path.read_text())
  for record in list(records):
    records.append({**record, 'tag': [], 'updated_at': '2001'})
    record['updated_at'] = '2002'
  exports.write(path, records)
  _, raw = each_train_mask(root, np.array([0, 2, 1])[exports.ids()])
  assert raw.notes[0].startswith('left out: 8 x annotation besides')


def unknown(root):
  with pytest.raises(errors.ConfigError) as caught:
    folder_segmentation.Folder(str(root)).about  # noqa: B018
  return str(caught.value)


def test_what_cannot_be_read_has_a_remedy(tmp_path):
  exports.write(tmp_path / 'a/my export.zip', 'x')
  assert '--archive=' in unknown(tmp_path / 'a')
  flags = unknown(tmp_path / 'a/my export.zip')
  assert "/a/my export_unpacked' '--archive=" in flags
  photos(tmp_path / 'b')
  exports.write(tmp_path / 'b/labels/0.xml', '<annotation><bndbox/>')
  assert 'boxes around objects (labels/0.xml)' in unknown(tmp_path / 'b')
  photos(tmp_path / 'c')
  (tmp_path / 'c/masks').mkdir()
  Image.fromarray(grey(WHITE)).save(tmp_path / 'c/masks/0.jpg')
  assert 'masks/0.jpg, saved in a format that blurs' in unknown(tmp_path / 'c')
  photos(tmp_path / 'e')
  shades = np.arange(1200, dtype=np.uint8).reshape(30, 40)
  exports.save(tmp_path / 'e/labels/0.png', shades)
  assert 'labels/0.png, but of more than 64 values' in unknown(tmp_path / 'e')
  photos(tmp_path / 'd')
  assert 'recognised (COCO, CVAT for images' in unknown(tmp_path / 'd')
