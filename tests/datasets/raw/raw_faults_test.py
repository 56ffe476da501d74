"""Damaged, odd and hostile files, raw and prepared, are found when read."""

import pathlib
import resource
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from deeplab_contrast import common
from deeplab_contrast.datasets import folder_segmentation, sources
from deeplab_contrast.datasets.raw import raw_check
from deeplab_contrast.imaging import decoding, images, masks
from deeplab_contrast.utils import errors
from tests import fixtures, processes

ABOUT = folder_segmentation.Description(
  'toy',
  {'a': (250, 0, 0), 'b': (0, 250, 0), 'c': (0, 0, 250)},
  ignored=(3,),
)


@pytest.fixture
def tree(tmp_path):
  folder = fixtures.make_folder(tmp_path / 'raw', train=3, val=1, ids=range(4))
  return pathlib.Path(folder)


def open_split(tree, data_dir, split='train'):
  dataset = folder_segmentation.Folder(str(tree), ABOUT)
  return sources.TfdsSplit(dataset, split).open(str(data_dir))


def replace(tree, image, mask):
  """Replaces the first pair."""
  Image.fromarray(image).save(tree / 'images' / 'train' / 'train_0000.jpg')
  Image.fromarray(mask).save(tree / 'masks' / 'train' / 'train_0000.png')


# No image is half decoded.


@pytest.mark.parametrize('keep', [0.3, 0.6, 0.9, 0.99])
def test_half_an_image_is_never_taken(tree, tmp_path, keep):
  path = tree / 'images' / 'train' / 'train_0001.jpg'
  data = path.read_bytes()
  path.write_bytes(data[: int(keep * len(data))])
  with pytest.raises(errors.DataError, match='train_0001.jpg is .*damaged'):
    open_split(tree, tmp_path)


def test_the_switches_that_hide_damage_are_off():
  from PIL import ImageFile

  assert not ImageFile.LOAD_TRUNCATED_IMAGES
  for path in pathlib.Path(processes.ROOT, 'deeplab_contrast').rglob('*.py'):
    text = path.read_text()
    assert 'LOAD_TRUNCATED_IMAGES' not in text
    assert 'try_recover_truncated' not in text
    assert 'MAX_IMAGE_PIXELS =' not in text


# All images become [height, width, 3].


@pytest.mark.parametrize('mode', ['L', 'CMYK', 'RGB'])
def test_whatever_comes_becomes_rgb(tree, tmp_path, mode):
  path = tree / 'images' / 'train' / 'train_0001.jpg'
  Image.open(path).convert(mode).save(path)
  for example in open_split(tree, tmp_path):
    image = decoding.image(example[common.IMAGE])
    assert image.shape == (36, 48, 3)


# Odd sizes.


@pytest.mark.parametrize('size', [(1, 1), (2000, 2), (2, 2000)])
def test_odd_sizes_are_handled(tree, tmp_path, size):
  replace(tree, np.zeros([*size, 3], np.uint8), np.ones(size, np.uint8))
  examples = open_split(tree, tmp_path)
  assert examples.max_size == (max(36, size[0]), max(48, size[1]))
  example = examples[examples.ids().index('train_0000')]
  assert tf.io.decode_png(example[common.LABEL]).shape == (*size, 1)


def png_header(width, height):
  """A PNG that claims a size, with almost no data."""

  def chunk(kind, body):
    crc = zlib.crc32(kind + body).to_bytes(4, 'big')
    return len(body).to_bytes(4, 'big') + kind + body + crc

  size = width.to_bytes(4, 'big') + height.to_bytes(4, 'big')
  return (
    b'\x89PNG\r\n\x1a\n'
    + chunk(b'IHDR', size + bytes([8, 2, 0, 0, 0]))
    + chunk(b'IDAT', zlib.compress(bytes(1000)))
    + chunk(b'IEND', b'')
  )


def test_an_image_without_pixels_is_refused(tree, tmp_path):
  path = tree / 'images' / 'train' / 'train_0001.jpg'
  path.write_bytes(png_header(0, 7))
  with pytest.raises(errors.DataError, match='train_0001.jpg is'):
    open_split(tree, tmp_path)


# Bombs.


@pytest.mark.parametrize('side', [10_000, 30_000, 70_000])
@pytest.mark.parametrize('read', [images.read_picture, masks.read_ids])
def test_bombs_are_refused_by_their_header(tmp_path, side, read):
  path = tmp_path / 'bomb.png'
  path.write_bytes(png_header(side, side))
  with pytest.raises(errors.DataError, match='cut it into tiles'):
    read(path)


_IN_LITTLE_MEMORY = """
import resource, sys
import tensorflow
from deeplab_contrast.imaging import images, masks
from deeplab_contrast.utils import errors
used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()
limit = used + 100_000_000
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
for read in (images.read_picture, masks.read_ids):
  try:
    read(sys.argv[1])
  except errors.DataError as error:
    print(error)
"""


@pytest.mark.slow
def test_bombs_cost_no_memory(tmp_path):
  path = tmp_path / 'bomb.png'
  path.write_bytes(png_header(30_000, 30_000))
  told = processes.run_python(_IN_LITTLE_MEMORY, path)
  assert told.count('cut it into tiles') == 2
  assert resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY


# The policy.


def test_missing_and_broken_files_are_left_out_on_request(tree, tmp_path):
  (tree / 'images' / 'train' / 'train_0000.jpg').write_bytes(b'<html></html>')
  (tree / 'masks' / 'train' / 'train_0002.png').unlink()
  dataset = folder_segmentation.Folder(str(tree), ABOUT)
  builder = dataset.builder(str(tmp_path))
  builder.builder_config.checking = raw_check.Checking('skip', 0.5)
  builder.download_and_prepare(file_format='array_record')
  examples = open_split(tree, tmp_path)  # Not prepared again.
  assert examples.ids() == ['train_0001']
  text = (builder.data_path / 'quarantine.txt').read_text()
  lines = dict(line.split('\t') for line in text.splitlines())
  assert set(lines) == {'train_0000', 'train_0002'}
  assert 'is a web page' in lines['train_0000']
  assert 'does not exist' in lines['train_0002']


# Damaged records.


def test_a_flipped_bit_is_reported_or_harmless(tree, tmp_path):
  examples = open_split(tree, tmp_path)
  expected = [examples[i] for i in range(len(examples))]
  (path,) = tmp_path.glob('*/*/1.0.0/*-train.array_record*')
  data = path.read_bytes()
  used = np.flatnonzero(np.frombuffer(data, np.uint8))
  told = 0
  for place in used[:: max(1, len(used) // 60)]:
    flipped = bytearray(data)
    flipped[place] ^= 16
    path.write_bytes(flipped)
    try:
      examples = open_split(tree, tmp_path)
      found = [examples[i] for i in range(len(examples))]
    except errors.DataError as error:
      assert str(path.parent) in str(error)
      told += 1
    else:
      assert found == expected
  assert told > 30
