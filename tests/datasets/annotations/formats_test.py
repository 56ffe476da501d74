"""Exports of annotation tools: recognised, and drawn as each tool draws."""

import collections
import json

import numpy as np
import pytest
from PIL import Image

from deeplab_contrast.datasets import folder_segmentation
from deeplab_contrast.datasets.folder_segmentation import (
  folder_segmentation_dataset_builder as dataset_builder,
)
from deeplab_contrast.datasets.raw import drawings
from deeplab_contrast.utils import errors
from tests.datasets.annotations import exports


def collect(root):
  """(description, raw data) of a folder."""
  about = folder_segmentation.Folder(str(root)).about
  return about, dataset_builder.make_layout(about).read(root)


def masks(root):
  """{split: {id: class ids}}"""
  _, raw = collect(root)
  return {
    split: {
      pair.id: drawings.examine(pair.mask, raw.values).labels for pair in pairs
    }
    for split, pairs in raw.splits.items()
  }


def first(root):
  return next(iter(masks(root)['train'].values()))


def with_outlines(cup_is_above):
  """Both rectangles with their last row and column."""
  parts = [(np.s_[5:16, 4:15], 1), (np.s_[10:21, 10:25], 2)]
  mask = np.zeros([exports.HEIGHT, exports.WIDTH], np.uint8)
  for place, value in reversed(parts) if cup_is_above else parts:
    mask[place] = value
  return mask


def cup_above():
  mask = exports.ids()
  mask[5:15, 4:14] = 1
  return mask


def supervisely():
  mask = exports.ids()
  mask[10:21, 10:25] = 2
  return mask


# Which is above where they overlap: the smaller in COCO and YOLO, the later in
# the others.
EXPECTED = {
  'coco': cup_above(),
  'roboflow_coco': cup_above(),
  'labelme': with_outlines(cup_is_above=False),
  'labelme_embedded': with_outlines(cup_is_above=False),
  'yolo': with_outlines(cup_is_above=True),
  'label_studio': exports.ids(),
  'label_studio_min': exports.ids(),
  'cvat_xml': exports.ids(),
  'supervisely': supervisely(),
  'cvat': exports.ids(),
  'roboflow': exports.ids(),
  'voc': exports.ids(),
  'plain': exports.ids(),
}
_COUNTS = {
  'coco': {'train': 6, 'val': 2},
  'roboflow_coco': {'train': 6, 'val': 2},
  'yolo': {'train': 6, 'val': 2},
  'roboflow': {'train': 5, 'val': 2, 'test': 1},
}


@pytest.mark.parametrize('tool', exports.ALL)
def test_exports_are_read_as_they_are(tmp_path, tool):
  root = exports.ALL[tool](tmp_path / 'my export')
  about, raw = collect(root)
  assert about.name == 'my_export'
  names = [name.strip('_') for name in about.info.class_names]
  # labelme has no list of classes: they are sorted.
  made_up = ['background', 'class_1', 'class_2']
  assert names == (made_up if tool == 'plain' else names)
  assert sorted(names) == sorted(
    made_up if tool == 'plain' else ['background', 'cup', 'box']
  )
  counts = {split: len(pairs) for split, pairs in raw.splits.items()}
  assert counts == _COUNTS.get(tool, {'train': 6, 'val': 2})
  order = [0, 1, 2]
  if names[1] == 'box':
    order = [0, 2, 1]
  seen = collections.Counter()
  for of_split in masks(root).values():
    for mask in of_split.values():
      seen[bool(mask.any())] += 1
      if mask.any():
        expected = np.take(order, EXPECTED[tool])
        np.testing.assert_array_equal(mask, expected)
  assert seen[False] == (2 if tool == 'cvat' else 0)


def test_what_was_found_can_be_stated_in_a_file(tmp_path):
  for tool, make in exports.ALL.items():
    root = make(tmp_path / tool)
    found = folder_segmentation.Folder(str(root)).recognised
    exports.write(root / 'dataset.json', dict(found.keys))
    again = folder_segmentation.Folder(str(root))
    assert again.recognised is None
    assert again.about == folder_segmentation.Description(**found.keys)


def edit(root, pattern, change):
  """Applies a function to the value of JSON files."""
  for path in root.glob(pattern):
    value = json.loads(path.read_text())
    change(value)
    exports.write(path, value)


def test_crowds_are_below_and_have_run_lengths(tmp_path):
  root = exports.coco(tmp_path)

  def add(value):
    # All of the image, in both forms.
    size = [exports.HEIGHT, exports.WIDTH]
    for counts in ([0, 1200], '0`U1'):
      crowd = {'size': size, 'counts': counts}
      about = {'image_id': 0, 'category_id': 7, 'iscrowd': 1}
      value['annotations'].append({**about, 'segmentation': crowd})

  edit(root, 'annotations/*.json', add)
  assert np.unique(first(root)).tolist() == [1, 2]
  assert (first(root) == 1).sum() == 100


def test_an_image_without_annotations_is_all_background(tmp_path):
  root = exports.coco(tmp_path)

  def remove(value):
    value['annotations'] = value['annotations'][2:]

  edit(root, 'annotations/*.json', remove)
  assert not first(root).any()
  yolo = exports.yolo(tmp_path / 'yolo')
  (yolo / 'labels/train/0.txt').unlink()
  (yolo / 'labels/train/1.txt').write_text('')
  found = masks(yolo)['train']
  assert not found['0'].any() and not found['1'].any() and found['2'].any()


def test_what_is_left_out_is_counted(tmp_path):
  root = exports.labelme(tmp_path)
  exports.photo(root / 'more.jpg', 99)

  def add(value):
    value['shapes'] += [
      {'label': 'cup', 'shape_type': 'cuboid', 'points': [[0, 0]] * 8},
      {'label': 'cup', 'shape_type': 'polygon', 'points': [[0, 0], [9, 9]]},
    ]

  edit(root, '*.json', add)
  _, raw = collect(root)
  assert raw.notes == (
    'left out: 8 x polygon of fewer than 3 points.',
    "left out: 8 x shape of the type 'cuboid'.",
    'left out: 1 images without annotation (state "missing_mask": '
    '"background" if nothing is on them, or "unlabelled": ["extra"]).',
  )


def test_shapes_of_labelme(tmp_path):
  root = exports.labelme(tmp_path)
  pixels = np.ones([3, 2], bool)

  def change(value):
    value['shapes'] = [
      {'label': 'cup', 'shape_type': 'rectangle', 'points': [[9, 7], [2, 1]]},
      {
        'label': '__ignore__',
        'shape_type': 'mask',
        'points': [[30, 20], [32, 23]],
        'mask': exports.png(pixels),
      },
      {'label': 'box', 'shape_type': 'circle', 'points': [[20, 15], [20, 18]]},
    ]

  edit(root, '*.json', change)
  mask = first(root)
  assert (mask == 2).sum() == 8 * 7 and (mask[1:8, 2:10] == 2).all()
  assert (mask == 255).sum() == 6 and (mask[20:23, 30:32] == 255).all()
  assert mask[15, 17:24].all() and mask[12:19, 20].all() and not mask[11, 20]


def test_of_several_annotators_the_ground_truth_or_the_last_counts(tmp_path):
  root = exports.label_studio(tmp_path)

  def add(value):
    for task in value:
      empty = {'result': [], 'updated_at': '2025-01-01T00:00:00Z'}
      cancelled = {**empty, 'updated_at': '2026-01-01', 'was_cancelled': True}
      task['annotations'] = [empty, *task['annotations'], cancelled]
    value[1]['annotations'][1]['ground_truth'] = True

  edit(root, '*.json', add)
  _, raw = collect(root)
  drawn = {
    pair.id: pair.mask.draw().labels.any()
    for pairs in raw.splits.values()
    for pair in pairs
  }
  assert [name for name, any_ in drawn.items() if any_] == ['photo_1']
  assert 'left out: 8 x annotation besides that of another person.' in raw.notes


def test_holes_of_supervisely(tmp_path):
  root = exports.supervisely(tmp_path)
  hole = [[12, 12], [15, 12], [15, 14], [12, 14]]

  def add(value):
    value['objects'][1]['points']['interior'] = [hole]

  edit(root, 'ds/ann/*.json', add)
  mask = first(root)
  assert (mask[12:15, 12:16] == [[1, 1, 0, 0]] * 3).all()
  assert (mask == 2).sum() == 11 * 15 - 3 * 4


def test_several_labels_may_be_one_class_or_void(tmp_path):
  root = exports.coco(tmp_path)
  stated = {'name': 'a', 'classes': ['background', 'thing']}
  exports.write(
    root / 'dataset.json', {**stated, 'ids': ['background', ['cup', 'box']]}
  )
  assert np.unique(first(root)).tolist() == [0, 1]
  about = {'ids': ['background', 'cup'], 'ignored': ['box']}
  exports.write(root / 'dataset.json', {**stated, **about})
  assert np.unique(first(root)).tolist() == [0, 1, 255]


@pytest.mark.parametrize(
  'classes, sentence',
  [
    (['background', 'cup'], "the labels 'box', which dataset.json does not"),
    (['cup', 'box'], 'put "background" before it'),
  ],
)
def test_classes_that_do_not_fit_are_refused(tmp_path, classes, sentence):
  root = exports.coco(tmp_path)
  exports.write(root / 'dataset.json', {'name': 'a', 'classes': classes})
  with pytest.raises(errors.DataError, match=sentence):
    collect(root)


def test_pngs_of_label_studio_need_an_order(tmp_path):
  for i in range(12):
    exports.photo(tmp_path / f'images/photo_{i}.jpg', i)
    for k, name in ((1, 'cup'), (2, 'box')):
      mask = ((exports.ids() == k) & (np.arange(40) < 30 - i)) * np.uint8(255)
      place = f'masks/task-{i + 1}-annotation-{i + 1}-by-1-tag-{name}-0.png'
      exports.save(tmp_path / place, mask)
  with pytest.raises(errors.DataError, match='"pair_by": "order"'):
    collect(tmp_path)
  found = folder_segmentation.Folder(str(tmp_path)).recognised
  stated = {**found.keys, 'pair_by': 'order'}
  unsplit = {k: v for k, v in stated.items() if k != 'fractions'}
  exports.write(tmp_path / 'dataset.json', unsplit)
  with pytest.raises(errors.DataError, match='no folders .* that name splits'):
    collect(tmp_path)
  exports.write(tmp_path / 'dataset.json', stated)
  of_all = {
    k: v for pairs in masks(tmp_path).values() for k, v in pairs.items()
  }
  # photo_10 is after photo_9; box is class 1.
  columns = [of_all[f'photo_{i}'].any(0).sum() for i in range(12)]
  assert columns == [20, 20, 20, 20, 20, 20, 20, 19, 18, 17, 16, 15]
  exports.save(tmp_path / place, mask[:20])
  with pytest.raises(
    errors.DataError, match='0.png is 20 x 40 .*but its image'
  ):
    masks(tmp_path)


def test_photos_turned_by_their_tag_are_annotated_upright(tmp_path):
  root = exports.yolo(tmp_path)
  path = root / 'images/train/0.jpg'
  exif = Image.Exif()
  exif[0x0112] = 6
  Image.open(path).save(path, exif=exif)
  assert masks(root)['train']['0'].shape == (exports.WIDTH, exports.HEIGHT)


def test_an_export_without_its_images_is_refused(tmp_path):
  root = exports.coco(tmp_path)
  for path in root.glob('images/*/*'):
    path.unlink()
  with pytest.raises(errors.DataError, match='none of these images: put them'):
    collect(root)


def test_the_same_name_in_two_splits_is_told_apart(tmp_path):
  root = exports.coco(tmp_path)
  edit(
    root,
    'annotations/instances_val.json',
    lambda v: [
      i.update(file_name=f'{k + 1:04d}.jpg') for k, i in enumerate(v['images'])
    ],
  )
  for i, path in enumerate(sorted(root.glob('images/val/*'))):
    path.rename(path.with_name(f'{i + 1:04d}.jpg'))
  _, raw = collect(root)
  assert {pair.image.parent.name for pair in raw.splits['val']} == {'val'}
