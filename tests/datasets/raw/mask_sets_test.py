"""Palettes, and black and white, whose meaning depends on all masks."""

import numpy as np
import pytest
from PIL import Image

from deeplab_contrast.datasets import folder_segmentation
from deeplab_contrast.datasets.folder_segmentation import (
  folder_segmentation_dataset_builder as dataset_builder,
)
from deeplab_contrast.datasets.raw import raw_check
from deeplab_contrast.utils import errors

BLACK, RED, GREEN, CREAM = (0, 0, 0), (255, 0, 0), (0, 255, 0), (224, 224, 192)
WHITE = (255, 255, 255)
NAMES = ['ground', 'cup', 'box']
STATED = dict(zip(NAMES, (BLACK, RED, GREEN), strict=True))
TWO = NAMES[:2]


def tree(folder, *masks, ending='png'):
  """A folder with images and these masks; the last one is val."""
  for i, mask in enumerate(masks):
    split = 'val' if i == len(masks) - 1 else 'train'
    for kind in ('images', 'masks'):
      (folder / kind / split).mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(i).integers(0, 256, [8, 8, 3], np.uint8)
    Image.fromarray(pixels).save(folder / f'images/{split}/{i}.png')
    mask.save(folder / f'masks/{split}/{i}.{ending}')
  return folder


def halves(top, bottom):
  return np.array([[top], [bottom]], np.uint8).repeat(4, 0).repeat(8, 1)


def indexed(top, bottom, palette):
  mask = Image.fromarray(halves(top, bottom))
  mask.putpalette([value for color in palette for value in color])
  return mask


def grey(top, bottom):
  return Image.fromarray(halves(top, bottom))


def one_bit(top, bottom):
  return Image.fromarray(halves(top, bottom) > 0)


def check(folder, classes, journal=None, **about):
  """{id: the class ids of the top and the bottom half}."""
  description = folder_segmentation.Description('toy', classes, **about)
  raw = dataset_builder.make_layout(description).read(folder)
  checked = raw_check.check(raw, journal=journal)
  return {
    pair.id: tuple(checked.raw.values.read(pair.mask)[[0, -1], 0].tolist())
    for pairs in checked.raw.splits.values()
    for pair in pairs
  }


def refusal(*arguments, **about):
  with pytest.raises(errors.DataError) as caught:
    check(*arguments, **about)
  return str(caught.value)


# Palettes.


@pytest.mark.parametrize('ending', ['png', 'gif'])
def test_palettes_of_each_file_are_read_by_colour_or_refused(
  tmp_path, ending, capsys
):
  painted = [
    Image.fromarray(np.array(colors, np.uint8).repeat(4, 0).repeat(8, 1))
    for colors in ([[BLACK], [RED]], [[BLACK], [GREEN]], [[BLACK], [RED]])
  ]
  masks = [mask.quantize(4) for mask in painted]
  folder = tree(tmp_path / 'raw', *masks, ending=ending)
  journal = tmp_path / 'journal.jsonl'
  for _ in range(2):  # The second time, all files are in the journal.
    told = refusal(folder, NAMES, journal)
    assert 'palettes that differ' in told
    assert 'state "masks": "colors" and' in told
    assert told.count(f'.{ending}') == 2
  expected = {'0': (0, 1), '1': (0, 2), '2': (0, 1)}
  assert check(folder, STATED, journal) == expected
  assert 'they are read by colour' in capsys.readouterr().err
  assert check(folder, STATED, masks='colors') == expected


def test_one_palette_is_enough_and_may_be_cut_off(tmp_path):
  palette = [(9, 9, 9), *np.random.default_rng(0).integers(0, 256, [8, 3])]
  masks = indexed(0, 1, palette[:2]), indexed(0, 2, palette), grey(1, 2)
  folder = tree(tmp_path, *masks)
  expected = {'0': (0, 1), '1': (0, 2), '2': (1, 2)}
  for classes in (STATED, NAMES):
    assert check(folder, classes) == expected


@pytest.mark.parametrize('palette', [[RED, BLACK], [CREAM, BLACK, RED]])
def test_one_palette_in_the_colours_of_other_classes(tmp_path, palette):
  last = len(palette) - 1
  masks = [indexed(0, last, palette), indexed(1, 0, palette)]
  folder = tree(tmp_path, *masks)
  told = refusal(folder, STATED)
  assert '"masks": "colors"' in told and 'colours of the palette' in told
  # Without colours, or with a standard palette, the ids are the indices.
  expected = {'0': (0, last), '1': (1, 0)}
  assert check(folder, NAMES) == expected
  others = {'a': (1, 2, 3), 'b': BLACK, 'c': (4, 5, 6)}
  if len(palette) > 2:
    assert check(folder, others) == expected


def test_indices_that_are_not_ids_are_refused_with_a_remedy(tmp_path):
  palette = [BLACK] * 4 + [GREEN]
  folder = tree(tmp_path, *[indexed(0, 4, palette)] * 2)
  assert 'Likely: palette indices that are not ids' in refusal(folder, STATED)


def test_different_colours_are_checked_again(tmp_path):
  folder = tree(tmp_path, *[indexed(0, 1, [RED, BLACK])] * 2)
  prints = set()
  for classes in (STATED, NAMES):
    about = folder_segmentation.Description('toy', classes)
    raw = dataset_builder.make_layout(about).read(folder)
    prints.add(raw.fingerprint())
  assert len(prints) == 2


def test_a_tiny_file_is_checked_again_too(tmp_path):
  prints = set()
  for color in (0, 255):
    mask = Image.new('L', (1, 1), color)
    folder = tree(tmp_path / str(color), mask, mask, ending='gif')
    size = (folder / 'masks/val/1.gif').stat().st_size
    assert size < 64  # Of larger ones, only the end is read.
    about = folder_segmentation.Description('toy', STATED)
    prints.add(dataset_builder.make_layout(about).read(folder).fingerprint())
  assert len(prints) == 2


# Black and white.


def black_and_white(top, bottom):
  return indexed(top > 0, bottom > 0, [BLACK, WHITE])


@pytest.mark.parametrize('make', [one_bit, black_and_white])
@pytest.mark.parametrize('ending', ['png', 'tif', 'bmp', 'gif'])
def test_white_is_255_where_that_is_an_id(tmp_path, make, ending):
  masks = make(0, 255), grey(255, 0), make(255, 255), make(0, 255)
  folder = tree(tmp_path, *masks, ending=ending)
  if ending == 'bmp' and make is black_and_white:
    assert 'BMP of few greys, which Pillow misreads' in refusal(folder, TWO)
    return
  found = check(folder, TWO, ids=[0, 255])
  assert found == {'0': (0, 1), '1': (1, 0), '2': (1, 1), '3': (0, 1)}


def test_white_is_1_where_ids_are_0_and_1(tmp_path):
  masks = one_bit(0, 255), black_and_white(255, 0), grey(1, 255), grey(0, 1)
  found = check(tree(tmp_path, *masks), TWO)
  assert found == {'0': (0, 1), '1': (1, 0), '2': (1, 255), '3': (0, 1)}


@pytest.mark.parametrize(
  'make', [one_bit, black_and_white, lambda *_: grey(0, 1)]
)
def test_white_of_two_meanings_is_refused(tmp_path, make):
  masks = make(0, 255), grey(0, 255), make(0, 255), grey(255, 0)
  folder = tree(tmp_path, *masks)
  told = refusal(folder, TWO)
  assert '"ids": [0, 255]' in told and '"ignored": [255]' in told
  assert check(folder, TWO, ignored=[255])['1'] == (0, 255)
  assert 'both 1 and 255 are ids' in refusal(
    tree(tmp_path / 'b', *[one_bit(0, 1)] * 2), NAMES, ids=[0, 1, 255]
  )


def test_black_and_white_the_other_way_round(tmp_path):
  folder = tree(tmp_path, *[indexed(0, 1, [WHITE, BLACK])] * 2)
  assert 'index 0 in (255, 255, 255)' in refusal(folder, TWO)
  stated = {'paper': WHITE, 'ink': BLACK}
  assert check(folder, stated) == {'0': (0, 1), '1': (0, 1)}
  assert check(folder, TWO, ids=[0, 255]) == {'0': (1, 0), '1': (1, 0)}
