"""Images of extreme sizes are predicted, or refused by name."""

import io
import json
import pathlib
import resource

import numpy as np
import pytest
from PIL import Image

from deeplab_contrast.datasets import sources
from deeplab_contrast.datasets.sources import extremes
from deeplab_contrast.datasets.voc2012_segmentation import Voc2012
from deeplab_contrast.export import exported
from deeplab_contrast.imaging import panels, photos
from deeplab_contrast.inference import (
  embedding_judge,
  evaluator,
  predictor,
  whole_images,
)
from deeplab_contrast.utils import errors
from tests import fixtures, processes
from tests.datasets import in_memory

FILES = ('gin_configs/voc2012/softmax_scratch.gin', 'gin_configs/tiny.gin')
TALL, WIDE = (20000, 20), (20, 20000)


def put(voc, number, size):
  """Gives a VOC image another size."""
  mask = np.zeros(size, np.uint8)
  mask[size[0] // 2 :] = 8
  noise = np.random.default_rng(number).integers(0, 255, (*size, 3))
  name = f'2007_{number:06}'
  fixtures._save(noise.astype(np.uint8), voc / 'JPEGImages' / f'{name}.jpg')
  path = voc / 'SegmentationClass' / f'{name}.png'
  fixtures._save(mask, path, palette=True)
  return name


@pytest.fixture
def voc(tmp_path):
  """A VOC tree: images 0 to 3 are train, 4 and 5 are val."""
  return pathlib.Path(fixtures.make_voc(tmp_path, width=50))


def painted(*sizes):
  names = [f'x{i}' for i in range(len(sizes))]
  return in_memory.Painted(names, [np.zeros(s, np.uint8) for s in sizes])


@pytest.mark.parametrize(
  ('settings', 'size', 'labels', 'expected'),
  [
    ({}, (100, 200), True, 100 * 200 * 21),
    ({'tile_size': 65}, (100, 200), True, 65 * 200 * 21),
    ({'tile_size': 65}, (33, 200), True, 33 * 200 * 21),
    # The picture itself, with three channels.
    ({'tile_size': 65}, (6500, 200), True, 6500 * 200 * 3),
    ({'tile_size': 65}, (100, 200), False, 100 * 200 * 21),
    (
      {'prediction_with_upsampled_logits': False},
      (100, 200),
      True,
      100 * 200 * 3,
    ),
  ],
)
def test_the_largest_array_of_a_prediction(settings, size, labels, expected):
  assert predictor.Predictor(**settings).values(size, 21, labels) == expected


@pytest.mark.parametrize(
  ('count', 'size', 'settings', 'words'),
  [
    (8, (513, 513), {}, None),
    (8, (1025, 2049), {}, None),  # Cityscapes.
    (8, (20001, 513), {}, 'take at most 4 at once (Evaluator.batch_size)'),
    (4, (20001, 513), {}, None),
    (
      1,
      (8193, 8193),
      {},
      'set Predictor.tile_size = 513 and Evaluator.batch_size = 1',
    ),
    (1, (20001, 20001), {}, ''),
    (1, (20001, 20001), {'crop_size': (20001, 20001)}, 'crop_size smaller'),
    (64, (1025, 2049), {'crop_size': (1025, 2049)}, 'take at most 24 at once'),
  ],
)
def test_what_helps(count, size, settings, words):
  judge = evaluator.Evaluator(**settings)
  found = judge.less_memory(size, 21, count, extremes.MOST_VALUES)
  assert found == words if not words else words in found


def test_images_that_are_too_large_together_are_named():
  examples = painted((9, 9), TALL, WIDE, (30, 30))
  sentence = (
    r'three cannot be predicted: padded to one size, 20001 x 20001 .height x '
    r'width., 2 at a time need arrays of 10 GB; the tallest image is x1 .20000 '
    r'x 20., the widest x2 .20 x 20000.: cut such images into smaller ones'
  )
  with pytest.raises(errors.DataError, match=sentence):
    whole_images.evaluation_size(examples, evaluator.Evaluator(), 2)
  judge = embedding_judge.EmbeddingJudge()
  with pytest.raises(errors.DataError, match='the tallest image is x1'):
    judge.on(None, examples, 1.0)
  # Alone, each is harmless.
  for size, padded in ((TALL, (20001, 33)), (WIDE, (33, 20001))):
    one = whole_images.evaluation_size(painted(size), evaluator.Evaluator(), 8)
    assert one == padded


def test_one_image_that_is_too_large_is_named_once():
  examples = painted((1, 1), (3000, 3000))
  judge = evaluator.Evaluator()
  assert whole_images.evaluation_size(examples, judge) == (3009, 3009)
  with pytest.raises(errors.DataError, match='x1 .3000 x 3000.: take at most'):
    whole_images.evaluation_size(examples, judge, 100)


def test_images_to_train_on_do_not_enlarge_those_to_evaluate_on(
  voc, tmp_path, capsys
):
  put(voc, 0, TALL)
  put(voc, 1, WIDE)
  data = str(tmp_path / 'data')
  judging = sources.TfdsSplit(Voc2012(str(voc)), 'val').open(data)
  assert judging.max_size == (40, 50)
  # Reported when the data are prepared: pseudo-labels of them would fail.
  told = capsys.readouterr().err
  assert told.count('can be trained on, but not evaluated') == 1
  assert 'train, train_aug, trainval can be' in told
  assert '2007_000000.jpg is 20000 x 20' in told
  assert '2007_000001.jpg is 20 x 20000' in told
  training = sources.TfdsSplit(Voc2012(str(voc)), 'train').open(data)
  assert training.max_size == (20000, 20000)
  both = sources.TfdsSplit(Voc2012(str(voc)), 'train+val').open(data)
  assert both.max_size == (20000, 20000)
  part = sources.TfdsSplit(Voc2012(str(voc)), 'val[:1]').open(data)
  assert part.max_size == (40, 50)


@pytest.mark.parametrize(
  ('size', 'least', 'is_good'),
  [
    ((1, 1), (513, 513), True),
    ((600, 1), (513, 513), False),
    ((600, 1), (513, 500), True),
    ((1, 600), (500, 513), True),
    ((1, 600), (513, 513), False),
    ((600, 500), (1, 1), True),
    ((600, 501), (1, 1), False),
  ],
)
def test_padding_counts_among_the_pixels_of_a_photo(size, least, is_good):
  data = in_memory.png(np.zeros((*size, 3)))
  if is_good:
    assert photos.decode(data, 'x', 300_000, least).shape[:2] == size
    return
  with pytest.raises(errors.DataError, match='more than --max_pixels=300000'):
    photos.decode(data, 'x', 300_000, least)


def test_an_image_on_its_side_is_padded_upright():
  exif = Image.Exif()
  exif[0x0112] = 6  # Rotated by 90 degrees, so 600 pixels high.
  buffer = io.BytesIO()
  Image.new('RGB', (600, 1)).save(buffer, 'JPEG', exif=exif)
  image = photos.decode(buffer.getvalue(), 'x', 300_000, (513, 500))
  assert image.shape == (600, 1, 3)
  with pytest.raises(errors.DataError, match='1 x 600 pixels .padded to 513 x'):
    photos.decode(buffer.getvalue(), 'x', 300_000, (500, 513))


def test_a_model_knows_how_it_pads():
  described = exported.Exported('', '', {'crop_size': [513, 129]}, None)
  assert described.crop_size == (513, 129)
  assert exported.Exported('', '', {}, None).crop_size == (1, 1)


def test_a_very_high_picture_is_squeezed_among_others():
  rows = [[np.zeros((20000, 20, 3), np.uint8)] * 2]
  panel = panels.grid(rows, ['', ''], [], width=10)
  assert 80 < panel.height < 200
  wide = [[np.zeros((20, 20000, 3), np.uint8)]]
  assert panels.grid(wide, [''], [], width=10).height < 100


@pytest.mark.slow
def test_images_of_one_pixel_and_of_20000_are_evaluated_and_shown(
  voc, tmp_path
):
  names = [put(voc, 4, (1, 1)), put(voc, 5, TALL)]
  flags = [
    *(f'--gin_file={name}' for name in FILES),
    *(
      f'--gin_bindings={binding}'
      for binding in (
        f'VOC_ROOT = {str(voc)!r}',
        'LABELS = 2',
        'EVAL_LIMIT = None',
        'evaluator.Evaluator.batch_size = 1',
      )
    ),
    f'--data_dir={tmp_path}/data',
  ]
  run = f'--model_dir={tmp_path}/run'
  limit = 2**34  # Address space, of which TensorFlow itself takes some 5 GB.

  def command(module, *arguments):
    process = processes.start_module(
      module,
      *arguments,
      preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )
    out, err = process.communicate()
    assert process.returncode == 0, out + err
    return out

  command('train', *flags, run)  # Which ends with an evaluation.
  judged = json.loads((tmp_path / 'run/eval/results.json').read_text())
  assert judged['pixels'] == 1 + 20000 * 20
  command('vis', run)
  for name, size in zip(names, ((1, 1), TALL), strict=True):
    with Image.open(tmp_path / 'run/vis' / f'{name}_prediction.png') as shown:
      assert shown.size == size[::-1]
  command('export_model', run)
  saved_model = f'--saved_model={tmp_path}/run/export/saved_model'
  out = tmp_path / 'out'
  command('predict', saved_model, f'--out={out}', voc / 'JPEGImages')
  for name, size in zip(names, ((1, 1), TALL), strict=True):
    with Image.open(out / 'masks' / f'{name}.png') as mask:
      assert mask.size == size[::-1]


@pytest.mark.parametrize(
  ('split', 'size'),
  [
    ('train', (40, 50)),
    ('train[:2]', (40, 50)),
    ('val', (70, 90)),
    ('train+val', (70, 90)),
    ('train[:2]+val', (70, 90)),
  ],
)
def test_a_split_has_its_own_largest_size(voc, tmp_path, split, size):
  put(voc, 4, (70, 90))
  examples = sources.TfdsSplit(Voc2012(str(voc)), split).open(str(tmp_path))
  assert examples.max_size == size
