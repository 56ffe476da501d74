"""Exports with what tools and people add to them: read, or one sentence."""

import json
import shutil

import numpy as np
import pytest

from deeplab_contrast.datasets import folder_segmentation
from deeplab_contrast.datasets.annotations import yolo_yaml
from deeplab_contrast.datasets.annotations.tree import Tree
from deeplab_contrast.utils import errors
from tests.datasets.annotations import exports
from tests.datasets.annotations.formats_test import (
  collect,
  cup_above,
  edit,
  first,
  with_outlines,
)
from tests.datasets.annotations.strangers_test import each_train_mask, photos
from tests.processes import run_module

BOX_ABOVE = np.array([0, 2, 1])[exports.ids()]  # Of sorted names.


def counts(root):
  return {split: len(pairs) for split, pairs in collect(root)[1].splits.items()}


def refused(root):
  with pytest.raises(errors.UserError) as caught:
    collect(root)
  return str(caught.value)


def change_regions(root, change):
  """Applies a function to the list of regions of all Label Studio tasks."""

  def each(tasks):
    for task in tasks:
      change(task['annotations'][0]['result'])

  edit(root, 'project-1.json', each)


def test_relations_of_label_studio_are_left_out(tmp_path):
  root = exports.label_studio(tmp_path)
  relation = {'from_id': 'a', 'to_id': 'b', 'type': 'relation'}
  change_regions(root, lambda regions: regions.append(relation))
  each_train_mask(root, BOX_ABOVE)


def test_bitmasks_of_label_studio(tmp_path):
  def to_bitmask(regions):
    url = 'data:image/png;base64,' + exports.png(cup_above() == 1)
    value = {'bitmasklabels': ['cup'], 'imageDataURL': url}
    regions[0] |= {'type': 'bitmasklabels', 'value': value}

  root = exports.label_studio(tmp_path)
  change_regions(root, to_bitmask)
  each_train_mask(root, BOX_ABOVE)


def test_exports_without_shapes_say_what_they_have(tmp_path):
  def to_keypoint(regions):
    value = {'x': 1, 'y': 1, 'width': 1, 'keypointlabels': ['cup']}
    regions[:] = [{**regions[0], 'type': 'keypointlabels', 'value': value}]

  root = exports.label_studio(tmp_path / 'a')
  change_regions(root, to_keypoint)
  assert "8 x region of the type 'keypointlabels'" in refused(root)
  root = exports.yolo(tmp_path / 'b')
  for path in root.glob('labels/*/*.txt'):
    path.write_text('0 0.5 0.5 0.2 0.2\n')
  assert 'no shapes that cover pixels, only what is left out' in refused(root)


def test_uploads_to_label_studio_lose_spaces_and_brackets(tmp_path):
  root = exports.label_studio(tmp_path)
  for i in range(8):
    path = root / f'images/photo_{i}.jpg'
    path.rename(root / f'images/photo ({i}).jpg')
  each_train_mask(root, BOX_ABOVE)
  exports.photo(root / 'images/photo_0.jpg', 99)
  assert 'may be images/photo (0).jpg or images/photo_0.jpg' in refused(root)


def test_other_files_of_coco_are_left_out(tmp_path):
  root = exports.coco(tmp_path)
  path = root / 'annotations/instances_train.json'
  value = json.loads(path.read_text())
  segments = [{'image_id': 0, 'segments_info': [], 'file_name': '0.png'}]
  for name, annotations in (
    ('panoptic', segments),
    ('captions', [{'image_id': 0, 'caption': 'a cup'}]),
  ):
    other = {**value, 'annotations': annotations}
    exports.write(root / f'annotations/{name}_train.json', other)
  _, raw = each_train_mask(root, cup_above())
  assert raw.notes == ('left out: 1 x JSON of panoptic segments.',)
  for path in root.glob('annotations/instances*'):
    path.unlink()
  assert 'has only panoptic segments, which are in PNG' in refused(root)


def test_lvis_names_images_by_urls(tmp_path):
  def to_url(value):
    for image in value['images']:
      image['coco_url'] = f'http://a.org/train2017/{image.pop("file_name")}'

  root = exports.coco(tmp_path)
  edit(root, 'annotations/*.json', to_url)
  assert counts(root) == {'train': 6, 'val': 2}


def test_png_photos_are_told_from_masks_by_their_folder(tmp_path):
  root = exports.labelme(tmp_path)
  for i in range(8):
    (root / f'{i}.jpg').unlink()
    exports.photo(root / f'images/{i}.png', i)
    exports.save(root / f'masks/{i}.png', exports.ids())
    (root / 'json').mkdir(exist_ok=True)
    (root / f'{i}.json').rename(root / f'json/{i}.json')
  edit(root, 'json/*', lambda v: v.update(imagePath=v['imagePath'][:-4]))
  _, raw = collect(root)
  assert {p.image.parent.name for p in raw.splits['train']} == {'images'}


def coco_in_one(root):
  """Puts the annotations of train and val of `exports.coco` into one file."""
  train, val = (
    json.loads((root / f'annotations/instances_{split}.json').read_text())
    for split in ('train', 'val')
  )
  for item in val['images']:
    item['id'] += 100
  for item in val['annotations']:
    item['image_id'] += 100
  for key in ('images', 'annotations'):
    train[key] += val[key]
  exports.write(root / 'all.json', train)


def test_folders_of_images_or_jsons_name_splits(tmp_path):
  root = exports.coco(tmp_path / 'a')
  coco_in_one(root)
  shutil.rmtree(root / 'annotations')
  assert counts(root) == {'train': 6, 'val': 2}
  root = exports.labelme(tmp_path / 'b')
  for i in range(8):
    split = 'train' if i < 3 else 'val'
    (root / 'labels' / split).mkdir(parents=True, exist_ok=True)
    (root / f'{i}.json').rename(root / f'labels/{split}/{i}.json')
  assert counts(root) == {'train': 3, 'val': 5}
  (root / '0.json').write_text((root / 'labels/train/0.json').read_text())
  (root / 'labels/train/0.json').unlink()
  found = folder_segmentation.Folder(str(root)).recognised
  assert '(1 of 8 images are in no split: all drawn)' in found.what
  assert found.keys['fractions'] == {'val': 0.2}


@pytest.mark.parametrize(
  'tool, pattern, name',
  [('label_studio', '*.json', 'photo_'), ('cvat_xml', '*.xml', 'name="')],
)
def test_files_of_many_images_name_splits(tmp_path, tool, pattern, name):
  root = exports.ALL[tool](tmp_path)
  photos(root, 'more', 8)
  for i in range(8):
    (root / f'more/{i}.jpg').rename(root / f'more/other_{i}.jpg')
    for path in root.glob(f'images/*/{i}.jpg'):  # Of the subsets of CVAT.
      path.rename(root / f'images/{i}.jpg')
  (path,) = root.glob(pattern)
  text = path.read_text().replace('subset=', 'other=')
  path.unlink()
  exports.write(root / f'mine_train{path.suffix}', text)
  other = name.replace('photo_', '') + 'other_'
  for i in range(8):
    text = text.replace(f'{name}{i}.jpg', f'{other}{i}.jpg')
  exports.write(root / f'mine_val{path.suffix}', text)
  assert counts(root) == {'train': 8, 'val': 8}


def test_a_file_of_all_images_beside_those_of_the_splits(tmp_path):
  # The images are in one folder, so that only file names say the split.
  root = exports.coco(tmp_path, images='images')
  coco_in_one(root)
  _, raw = each_train_mask(root, cup_above())
  assert {s: len(pairs) for s, pairs in raw.splits.items()} == {
    'train': 6,
    'val': 2,
  }
  assert not raw.notes


def repeat(root, pattern, change):
  """Copies JSON or XML files into another folder, with a change."""
  for path in list(root.glob(pattern)):
    other = root / 'older' / path.name
    exports.write(other, path.read_text().replace(*change))


@pytest.mark.parametrize(
  'tool, pattern, change',
  [
    ('cvat_xml', '*.xml', ('label="box"', 'label="cup"')),
    ('label_studio', '*.json', ('"cup"', '"mug"')),
    ('label_studio_min', '*.json', ('"cup"', '"mug"')),
    ('labelme', '*.json', ('"cup"', '"mug"')),
    ('supervisely', 'ds/ann/*.json', ('"cup"', '"mug"')),
    ('coco', 'annotations/*.json', ('5', '6')),
  ],
)
def test_two_exports_of_the_same_work(tmp_path, tool, pattern, change):
  root = exports.ALL[tool](tmp_path)
  before = counts(root)
  repeat(root, pattern, ('', ''))
  assert counts(root) == before  # Copies say the same.
  repeat(root, pattern, change)
  assert 'as in two exports of the same work: keep one of' in refused(root)


def test_different_work_without_common_labels_is_put_together(tmp_path):
  # Tasks that have different labels, each in its own export.
  root = exports.label_studio(tmp_path)
  tasks = json.loads((root / 'project-1.json').read_text())
  for number, name in ((1, 'project-2.json'), (0, 'project-1.json')):
    for task in tasks:
      task['id'] += 100
    parts = json.loads(json.dumps(tasks))
    for task in parts:
      result = task['annotations'][0]['result']
      result[:] = [result[number]]
    exports.write(root / name, parts)
  each_train_mask(root, BOX_ABOVE)


def test_coco_files_of_one_class_each(tmp_path):
  root = exports.coco(tmp_path)
  path = root / 'annotations/instances_train.json'
  value = json.loads(path.read_text())
  # In the order of their names the box would be above the smaller cup.
  for category, name in ((1, 'a_train'), (7, 'b_train')):
    some = [a for a in value['annotations'] if a['category_id'] == category]
    exports.write(root / f'{name}.json', {**value, 'annotations': some})
  path.unlink()
  np.testing.assert_array_equal(first(root), cup_above())


@pytest.mark.parametrize(
  'text',
  [
    "names: [\"cup, small\", driver's box, 'it''s']\n",
    'names: {0: "cup, small", 1: driver\'s box, 2: "it\'s"}\n',
    'names: # of "all\n- "cup, small"\n- driver\'s box # it\'s\n- it\'s\n',
  ],
)
def test_yolo_names_with_commas_and_quotes(tmp_path, text):
  exports.write(tmp_path / 'data.yaml', text)
  names = yolo_yaml.names_of(Tree(tmp_path))
  assert names == ('cup, small', "driver's box", "it's")
  exports.write(tmp_path / 'data.yaml', "names: ['cup #1', box] # '")
  assert yolo_yaml.names_of(Tree(tmp_path)) == ('cup #1', 'box')


def test_yolo_classes_written_as_decimals(tmp_path):
  root = exports.yolo(tmp_path)
  for path in root.glob('labels/*/*.txt'):
    lines = path.read_text().splitlines()
    words = (line.split(' ', 1) for line in lines)
    path.write_text('\n'.join(f'{n}.0 {rest}' for n, rest in words))
  each_train_mask(root, with_outlines(cup_is_above=True))


def test_sentences_that_can_be_followed(tmp_path):
  def blank(value):
    value['shapes'][1]['label'] = ' '

  root = exports.labelme(tmp_path / 'a')
  edit(root, '3.json', blank)
  assert '3.json has a shape without a label, number 2: name it' in refused(
    root
  )
  root = exports.plain(tmp_path / 'b')
  exports.write(root / 'classes.txt', 'cup\n')
  assert "with classes.txt: that is only the class 'cup'" in refused(root)
  (root / 'classes.txt').write_bytes('Gebäude\nStraße'.encode('cp1252'))
  assert 'classes.txt is not UTF-8 text' in refused(root)
  exports.write(root / 'data.yaml', 'names: ["cup, box]\n')
  with pytest.raises(
    errors.DataError, match='it is not YAML: found unexpected end'
  ):
    yolo_yaml.names_of(Tree(root))


def test_a_refused_preparation_leaves_no_description(tmp_path):
  photos(tmp_path / 'raw')
  for i in range(4):  # One is missing.
    exports.save(tmp_path / f'raw/masks/{i}.png', exports.ids())
  flags = [f'--raw_dir={tmp_path}/raw', f'--data_dir={tmp_path}/data']
  assert run_module('prepare', 'folder', *flags).returncode == 3
  own = tmp_path / 'raw/dataset.json'
  assert not own.exists()
  exports.save(tmp_path / 'raw/masks/4.png', exports.ids())
  assert run_module('prepare', 'folder', *flags).returncode == 0
  assert json.loads(own.read_text())['fractions'] == {'val': 0.2}
