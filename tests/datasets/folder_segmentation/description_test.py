"""How the classes and files of own data are described."""

import json

import pytest

from deeplab_contrast.datasets import folder_segmentation
from deeplab_contrast.imaging import images
from deeplab_contrast.utils import errors

CLASSES = {'road': [128, 64, 128], 'sky': [70, 130, 180], 'car': [0, 0, 142]}
MINIMUM = {'name': 'toy', 'classes': CLASSES, 'ignored': [3]}


def test_a_description_is_seen_from_here_or_from_the_repository(
  tmp_path, monkeypatch
):
  monkeypatch.chdir(tmp_path)
  camvid = folder_segmentation.Folder(
    description='gin_configs/datasets/camvid.json'
  )
  assert camvid.info.name == 'camvid'
  assert camvid.info.num_classes == 11
  (tmp_path / 'my.json').write_text(json.dumps(MINIMUM))
  assert folder_segmentation.Folder(description='my.json').info.name == 'toy'


@pytest.mark.parametrize(
  'text, sentence',
  [
    ('{', 'is not JSON'),
    ('{"name": "a", // mine\n "classes": {}}', 'JSON has no comments'),
    ('[]', 'must be a JSON object'),
    ('{"name": "a"}', r"lacks \['classes'\]"),
    ('{"name": "a", "classes": {}, "x": 1}', r"has unknown keys \['x'\]"),
    (
      '{"name": "a", "classes": {"b": [1, 2, 3], "b": [4, 5, 6]}}',
      "has the key 'b' twice",
    ),
    ('{"name": "a", "name": "b"}', "has the key 'name' twice"),
  ],
)
def test_wrong_files_are_refused(tmp_path, text, sentence):
  (tmp_path / 'dataset.json').write_text(text)
  with pytest.raises(errors.ConfigError, match=sentence):
    _ = folder_segmentation.Folder(str(tmp_path)).info


@pytest.mark.parametrize(
  'wrong, sentence',
  [
    ({'name': 'my data'}, "name of a dataset is 'my data'"),
    ({'classes': {}}, 'has 0 classes'),
    (
      {'classes': [('a', (0, 0, 0)), ('a', (1, 1, 1))]},
      'repeats the class names',
    ),
    ({'classes': {'a': [0, 0]}}, "class 'a'.*three numbers"),
    ({'classes': {'a': [0, 0, 256]}}, "class 'a'.*three numbers"),
    ({'classes': {'a': 'red'}}, "colour of 'a' is 'red'"),
    ({'classes': {'a': [0.5, 0, 0]}}, "colour of 'a' is"),
    ({'classes': ['a', ('b', (0, 0, 0))]}, 'not pairs of a name and a'),
    ({'classes': [{'name': 'a', 'color': [0, 0, 0]}]}, 'not pairs of a name'),
    ({'classes': {'a': (0, 0, 0)}}, 'only the class .a., so there is nothing'),
    ({'classes': 2}, 'has classes 2: give names with'),
    ({'classes': None}, 'has classes None: give names with'),
    ({'classes': 'road'}, "has classes 'road': give names with"),
    ({'classes': ['a', 'b'], 'masks': 'colors'}, 'its classes need colours'),
    ({'name': 5}, 'has name 5: give a string'),
    ({'ids': 5}, 'has ids 5: give a list'),
    ({'ids': '012'}, "has ids '012': give a list"),
    ({'ids': {'road': 0}}, 'has ids .*: give a list'),
    ({'ignored': 255}, 'has ignored 255: give a list'),
    ({'seed': 'a'}, "has seed 'a': give a whole number"),
    ({'seed': True}, 'has seed True: give a whole number'),
    ({'lists': ['train.txt']}, 'has lists .*: give a text file for each'),
    ({'fractions': 0.2}, 'has fractions 0.2: give a fraction for each'),
    ({'fractions': {'val': '0.2'}}, 'fractions'),
    ({'fractions': {'val': True}}, 'fractions'),
    ({'fractions': {'train': 0.7, 'val': 0.2}}, 'add up to 1'),
    ({'unlabelled': 'test'}, "has unlabelled 'test': give a list"),
    ({'unlabelled': [3]}, 'has a split 3'),
    (
      {'unlabelled': ['test'], 'lists': {'train': 'a.txt'}},
      r"unlabelled splits \['test'\], but lists for \['train'\]",
    ),
    (
      {'unlabelled': ['a', 'b'], 'fractions': {'val': 0.2}},
      'name one other split, for all images without a mask',
    ),
    ({'image_folder': '*/images'}, 'one star in both'),
    (
      {
        'image_folder': '*/images',
        'mask_folder': '*/masks',
        'fractions': {'val': 0.2},
      },
      'splits by the star',
    ),
    ({'classes': {f'c{i}': [0, 0, 0] for i in range(256)}}, '256 classes'),
    ({'ids': [0, 1]}, '3 classes but 2 ids'),
    ({'ids': [0, 1, 1]}, 'two classes with the same value'),
    ({'ids': [0, 1, 256]}, 'mask value 256'),
    ({'ignored': [2]}, 'ignores 2, which is also a class'),
    ({'ignored': ['void']}, "mask value 'void'"),
    ({'masks': 'rgb'}, "masks 'rgb'"),
    ({'masks': 'colors', 'ignored': [11]}, 'colour of'),
    ({'masks': 'colors', 'ignored': [], 'ids': [0, 1, 2]}, 'colour of'),
    ({'ids': [0, [1, 2], [2, 3]]}, 'same value or colour in the masks, 2'),
    ({'ids': [0, [], 1], 'ignored': ['a']}, "mask value 'a'"),
    ({'classes': ['a', 'b', 'b']}, 'name each class once, and list the values'),
    ({'masks': 'coco', 'ignored': [], 'ids': ['a', 5, 'b']}, 'the label 5'),
    ({'missing_mask': 'grass'}, "missing_mask 'grass': give the name of a"),
    ({'transparent': 'void'}, 'only masks in colors can be'),
    ({'pair_by': 'size'}, "pair_by 'size': give 'name', 'order'"),
    ({'splits': {'val': 'a/b'}}, "the folder 'a/b' of val"),
    ({'bands': [0, 1, 2]}, 'counted from 1'),
    ({'bands': [1, 2]}, 'give one or three'),
    ({'range': [5, 2]}, 'give .low, high.'),
    ({'range': 'full'}, 'give .low, high., or "measured"'),
    ({'image_folder': '../images'}, "image_folder '../images'"),
    ({'mask_folder': '/masks'}, "mask_folder '/masks'"),
    ({'lists': {'train': '/etc/passwd'}}, "the list '/etc/passwd'"),
    ({'lists': {'a b': 'a.txt'}}, "a split 'a b'"),
    ({'fractions': {'val': 1.0}}, 'fractions'),
    ({'fractions': {'val': 0}}, 'fractions'),
    ({'fractions': {'train': 1.0}}, 'leave nothing to evaluate on'),
    (
      {'fractions': {'val': 0.1}, 'lists': {'train': 'a.txt'}},
      "both 'lists' and 'fractions'",
    ),
  ],
)
def test_contradictions_are_refused(wrong, sentence):
  with pytest.raises(errors.ConfigError, match=sentence):
    folder_segmentation.Description(**{**MINIMUM, **wrong})


def test_a_byte_order_mark_is_not_a_fault(tmp_path):
  file = tmp_path / 'dataset.json'
  file.write_text(json.dumps(MINIMUM), encoding='utf-8-sig')
  assert folder_segmentation.Folder(str(tmp_path)).info.name == 'toy'


def test_names_alone_get_colours():
  about = folder_segmentation.Description('toy', ['soil', 'leaf', 'sky'])
  assert about.info.class_names == ('soil', 'leaf', 'sky')
  assert about.info.colors == images.voc_colormap(3)


def test_shares_may_name_train():
  about = folder_segmentation.Description(
    **{**MINIMUM, 'fractions': {'train': 0.8, 'val': 0.2}}
  )
  assert about.fractions == {'val': 0.2}


def test_a_folder_that_does_not_exist_is_reported(tmp_path):
  with pytest.raises(errors.ConfigError, match='folder .*typo does not exist'):
    _ = folder_segmentation.Folder(str(tmp_path / 'typo')).info


def test_no_description_is_refused(tmp_path):
  with pytest.raises(errors.ConfigError, match='has no files: --raw_dir must'):
    _ = folder_segmentation.Folder(str(tmp_path)).info
  (tmp_path / 'notes.txt').touch()
  with pytest.raises(errors.ConfigError, match='docs/own_data.md'):
    _ = folder_segmentation.Folder(str(tmp_path)).info
  with pytest.raises(errors.ConfigError, match='docs/own_data.md'):
    _ = folder_segmentation.Folder().info
