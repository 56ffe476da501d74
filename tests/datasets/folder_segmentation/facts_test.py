"""Facts about own data that dataset.json states, or that folders show."""

import json

import numpy as np
import pytest
from PIL import Image

from deeplab_contrast.datasets import folder_segmentation
from deeplab_contrast.datasets.folder_segmentation import (
  folder_segmentation_dataset_builder as dataset_builder,
)
from deeplab_contrast.datasets.raw import drawings, raw_check
from deeplab_contrast.imaging import images
from deeplab_contrast.utils import errors
from tests.datasets.annotations import exports

NAMES = ['background', 'cup', 'box']


def collect(root, **stated):
  """Raw data of a folder, with a dataset.json if anything is stated."""
  if stated:
    about = {'name': 'toy', 'classes': NAMES, **stated}
    (root / 'dataset.json').write_text(json.dumps(about))
  about = folder_segmentation.Folder(str(root)).about
  return dataset_builder.make_layout(about).read(root)


def counts(raw):
  return {split: len(pairs) for split, pairs in raw.splits.items()}


def label_of(raw, split='train', index=0):
  mask = raw.splits[split][index].mask
  return drawings.examine(mask, raw.values).labels


def move(root, *moves):
  """Moves the first files of a folder: (from, to, how many)."""
  for source, target, count in moves:
    (root / target).mkdir(parents=True, exist_ok=True)
    for path in sorted((root / source).iterdir())[:count]:
      path.rename(root / target / path.name)


@pytest.mark.parametrize('name', ['valid', 'validation', 'dev', 'val2017'])
def test_usual_names_of_splits(tmp_path, name):
  exports.plain(tmp_path, 'images/training', 'masks/training')
  for kind in ('images', 'masks'):
    move(tmp_path, (f'{kind}/training', f'{kind}/{name}', 2))
  found = collect(tmp_path, image_folder='images')
  assert counts(found) == {'train': 6, 'val': 2}
  named = {'train': name, 'val': 'training'}
  assert counts(collect(tmp_path, splits=named)) == {'train': 2, 'val': 6}
  with pytest.raises(errors.DataError, match="no folder 'x' for a split; th"):
    collect(tmp_path, splits={'train': 'x'})


@pytest.mark.parametrize(
  'images_of, masks_of',
  [
    ('{}', '{}annot'),
    ('{}_Data', '{}_GroundTruth'),
    ('ISIC-2017_{}_Data', 'ISIC-2017_{}_Part1_GroundTruth'),
    ('{}/img', '{}/ann'),
    ('img/{}', 'ann/{}'),
    ('data/images/{}', 'data/labels/{}'),
  ],
)
def test_folders_are_recognised(tmp_path, images_of, masks_of):
  for k, split in enumerate(('Train', 'Val')):
    for i in range(3):
      exports.photo(tmp_path / images_of.format(split) / f'{i}.jpg', 3 * k + i)
      exports.save(
        tmp_path / masks_of.format(split) / f'{i}.png', exports.ids()
      )
  raw = collect(tmp_path)
  assert counts(raw) == {'train': 3, 'val': 3}
  np.testing.assert_array_equal(label_of(raw), exports.ids())


def test_one_pair_of_folders_is_split_by_chance(tmp_path):
  raw = collect(exports.plain(tmp_path, 'img', 'ann'))
  assert counts(raw) == {'train': 6, 'val': 2}


def test_images_without_a_mask_may_be_background(tmp_path):
  exports.plain(tmp_path)
  (tmp_path / 'masks/0.png').unlink()
  fractions = {'fractions': {'val': 0.25}}
  with pytest.raises(errors.DataError, match='state "missing_mask": "backgr'):
    raw_check.check(collect(tmp_path, **fractions))
  raw = collect(tmp_path, **fractions, missing_mask='background')
  labels = {
    pair.id: drawings.examine(pair.mask, raw.values).labels
    for pairs in raw.splits.values()
    for pair in pairs
  }
  assert [name for name, label in labels.items() if not label.any()] == ['0']
  assert labels['0'].shape == (exports.HEIGHT, exports.WIDTH)
  assert raw_check.check(raw).notes == [
    '1 images have no mask and are background everywhere ("missing_mask").'
  ]
  raw = collect(tmp_path, **fractions, missing_mask='box')
  assert 2 in {label_of(raw, s, i)[0, 0] for s in raw.splits for i in range(2)}


def test_several_values_or_colours_may_be_one_class(tmp_path):
  exports.plain(tmp_path)
  two = {'classes': ['none', 'thing'], 'fractions': {'val': 0.25}}
  raw = collect(tmp_path, **two, ids=[0, [1, 2]])
  np.testing.assert_array_equal(label_of(raw), exports.ids() > 0)
  for path in (tmp_path / 'masks').iterdir():
    exports.save(path, exports.COLORS[np.array(Image.open(path))])
  black, *others = exports.COLORS.tolist()
  for about in (
    {'ids': [black, others]},
    {'classes': {'none': black, 'thing': others}},
  ):
    raw = collect(tmp_path, **{**two, **about}, masks='colors')
    np.testing.assert_array_equal(label_of(raw), exports.ids() > 0)


@pytest.mark.parametrize('meant, value', [('void', 255), ('background', 0)])
def test_transparent_pixels_may_have_a_meaning(tmp_path, meant, value):
  exports.plain(tmp_path)
  alpha = (exports.ids() > 0) * np.uint8(255)
  rgba = np.concatenate(
    [exports.COLORS[exports.ids()], alpha[..., None]], axis=-1
  )
  for path in (tmp_path / 'masks').iterdir():
    exports.save(path, rgba)
  about = {
    'classes': dict(zip(NAMES, exports.COLORS.tolist(), strict=True)),
    'masks': 'colors',
    'fractions': {'val': 0.25},
  }
  with pytest.raises(errors.DataError, match='transparent pixels'):
    label_of(collect(tmp_path, **about))
  label = label_of(collect(tmp_path, **about, transparent=meant))
  expected = np.where(alpha > 0, exports.ids(), value)
  np.testing.assert_array_equal(label, expected)


def test_opaque_rgb_of_equal_channels_has_ids(tmp_path):
  exports.plain(tmp_path)
  opaque = np.full([exports.HEIGHT, exports.WIDTH], 255, np.uint8)
  grey = exports.ids()
  for path in (tmp_path / 'masks').iterdir():
    exports.save(path, np.stack([grey, grey, grey, opaque], -1))
  raw = collect(tmp_path, fractions={'val': 0.25})
  np.testing.assert_array_equal(label_of(raw), grey)


def test_pairs_may_go_by_their_order(tmp_path):
  for i in range(11):
    exports.photo(tmp_path / f'images/img_{i}.jpg', i)
    mask = exports.ids() * (np.arange(exports.WIDTH) > i)
    exports.save(tmp_path / f'masks/mask_{i}.png', mask.astype(np.uint8))
  about = {'fractions': {'val': 0.25}}
  with pytest.raises(errors.DataError, match='state "pair_by": "order"'):
    collect(tmp_path, **about)
  raw = collect(tmp_path, **about, pair_by='order')
  pairs = [pair for pairs in raw.splits.values() for pair in pairs]
  assert all(p.image.stem[4:] == p.mask.stem[5:] for p in pairs)
  (tmp_path / 'masks/mask_3.png').unlink()
  with pytest.raises(errors.DataError, match='11 images and .* 10 masks'):
    collect(tmp_path, **about, pair_by='order')


def test_blank_tiles_may_be_equal(tmp_path):
  exports.plain(tmp_path, 'images/train', 'masks/train')
  for kind in ('images', 'masks'):
    move(tmp_path, (f'{kind}/train', f'{kind}/val', 2))
  data = (tmp_path / 'images/train/4.jpg').read_bytes()
  (tmp_path / 'images/val/0.jpg').write_bytes(data)
  with pytest.raises(errors.DataError, match='state "allow_equal": true'):
    raw_check.check(collect(tmp_path, seed=0))
  checked = raw_check.check(collect(tmp_path, allow_equal=True))
  assert checked.notes == [
    '1 pictures occur in two splits, as "allow_equal" permits.'
  ]


def sixteen(path, factor=30):
  """Rewrites a photo as a grey PNG of 16 bits."""
  pixels = np.array(Image.open(path).convert('L')).astype(np.uint16)
  path.unlink()
  Image.fromarray(pixels * np.uint16(factor)).save(path.with_suffix('.png'))
  return pixels


def test_the_range_of_16_bits_may_be_stated_or_measured(tmp_path):
  exports.plain(tmp_path)
  path = tmp_path / 'images/0.jpg'
  pixels = sixteen(path)
  raw = collect(tmp_path, fractions={'val': 0.25})
  with pytest.raises(errors.DataError, match='"range": .0, 4095.'):
    raw_check.check(raw)
  raw = collect(tmp_path, fractions={'val': 0.25}, range=[0, 255 * 30])
  assert raw_check.check(raw).raw.splits
  read = images.read_picture(path.with_suffix('.png'), raw.convert)
  np.testing.assert_array_equal(read.pixels, np.stack([pixels] * 3, -1))
  raw = collect(tmp_path, fractions={'val': 0.25}, range='measured')
  read = images.read_picture(path.with_suffix('.png'), raw.convert).pixels
  assert read.min() == 0 and read.max() == 255


def test_three_of_four_bands_may_be_stated(tmp_path):
  exports.plain(tmp_path)
  bands = np.arange(exports.HEIGHT * exports.WIDTH * 4, dtype=np.uint8)
  bands = bands.reshape(exports.HEIGHT, exports.WIDTH, 4)
  path = tmp_path / 'images/0.png'
  Image.fromarray(bands).save(path)
  (tmp_path / 'images/0.jpg').unlink()
  raw = collect(tmp_path, fractions={'val': 0.25}, bands=[4, 3, 2])
  read = images.read_picture(path, raw.convert).pixels
  np.testing.assert_array_equal(read, bands[..., [3, 2, 1]])
  for wrong in ([1, 2, 5], []):
    raw = collect(tmp_path, fractions={'val': 0.25}, bands=wrong, range=[0, 9])
    with pytest.raises(errors.DataError, match='4 bands'):
      images.read_picture(path, raw.convert)


@pytest.mark.parametrize('ending', ['.jfif', '.jpe', '.avif'])
def test_endings_of_images(tmp_path, ending):
  exports.plain(tmp_path)
  for path in (tmp_path / 'images').iterdir():
    Image.open(path).save(
      path.with_suffix(ending), 'AVIF' if ending == '.avif' else 'JPEG'
    )
    path.unlink()
  raw = collect(tmp_path, fractions={'val': 0.25})
  assert raw_check.check(raw).metadata['max_width'] == exports.WIDTH


def test_a_tiff_of_several_pages_is_refused_by_name(tmp_path):
  exports.plain(tmp_path)
  first = Image.open(tmp_path / 'images/0.jpg')
  first.save(
    tmp_path / 'images/0.tif', save_all=True, append_images=[first, first]
  )
  (tmp_path / 'images/0.jpg').unlink()
  with pytest.raises(errors.DataError, match='0.tif .* it has 3 frames'):
    raw_check.check(collect(tmp_path, fractions={'val': 0.25}))


def test_nothing_known_is_reported_with_what_is_there(tmp_path):
  (tmp_path / 'notes.doc').write_text('')
  with pytest.raises(
    errors.ConfigError, match=r'1 files .\.doc. in which.*own_data.md'
  ):
    collect(tmp_path)


def test_lists_of_paths_are_recognised(tmp_path):
  exports.plain(tmp_path, 'images/a', 'masks/a')
  for kind in ('images', 'masks'):
    move(tmp_path, (f'{kind}/a', f'{kind}/b', 3))
  for split, names in (('train', ['a/5', 'a/6']), ('val', ['b/0', 'b/1'])):
    lines = [f'C:\\data\\images\\{n.replace("/", chr(92))}.jpg' for n in names]
    (tmp_path / f'{split}.txt').write_text('\r\n'.join(lines))
  raw = collect(tmp_path)
  assert [p.id for p in raw.splits['train']] == ['a/5', 'a/6']
  assert [p.id for p in raw.splits['val']] == ['b/0', 'b/1']
