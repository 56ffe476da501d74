"""Damaged and hostile exports: one sentence each, nothing written outside."""

import base64
import functools
import json
import random
import time
import zlib

import numpy as np
import pytest
from PIL import Image

from deeplab_contrast.datasets import folder_segmentation
from deeplab_contrast.datasets.folder_segmentation import (
  folder_segmentation_dataset_builder as dataset_builder,
)
from deeplab_contrast.datasets.raw import raw_check
from deeplab_contrast.utils import errors
from tests.datasets.annotations import exports

# Of each of the ten exports.
_TIMES = 20

_ODD = (
  *(None, True, '', 'x', [], {}, -1, 1.5, 3, 10**9, 10**30, 1e308),
  *(float('nan'), float('inf'), '../../outside/secret.png', '/etc/passwd'),
  *('..\\..\\outside\\secret.png', [[0, 0], [1, 1]], [0, 0, 5, 5], [[1e9] * 6]),
  *([[0, 0]] * 20_000, [3] * 100_000, '\x00', 'ü' * 300, 'aGk=', '0' * 5000),
)


@functools.cache
def bomb():
  return base64.b64encode(zlib.compress(bytes(1 << 27), 9)).decode()


def places(value):
  """(container, key) of all values inside of a value."""
  inside = value if isinstance(value, (dict, list)) else ()
  for key in inside if isinstance(value, dict) else range(len(inside)):
    yield value, key
    yield from places(value[key])


def damage_json(path, rng, odd):
  value = json.loads(path.read_text())
  container, key = rng.choice(list(places(value)))
  if rng.random() < 0.2:
    del container[key]
  else:
    container[key] = odd
  path.write_text(json.dumps(value))


def damage_text(path, rng, odd):
  words = path.read_text().split(' ')
  words[rng.randrange(len(words))] = str(odd)
  path.write_text(' '.join(words))


def damage(root, rng, odd):
  """Damages one file that is no image; returns what was done."""
  files = [p for p in sorted(root.rglob('*')) if p.is_file()]
  texts = [p for p in files if p.suffix not in ('.jpg', '.png')]
  path = rng.choice(texts or files)
  data = path.read_bytes()
  kind = rng.randrange(6)
  if kind == 0:
    path.write_bytes(data[: rng.randrange(len(data))])
  elif kind == 1:
    at = rng.randrange(len(data))
    path.write_bytes(data[:at] + rng.randbytes(9) + data[at:])
  elif path.suffix == '.json':
    damage_json(path, rng, odd)
  elif path.suffix not in ('.jpg', '.png'):
    damage_text(path, rng, odd)
  else:
    path.unlink()
  return f'{path.name}, {kind}, {str(odd)[:30]}'


def prepare(root):
  """All that `prepare` does before it writes; fast."""
  dataset = folder_segmentation.Folder(str(root))
  layout = dataset_builder.make_layout(dataset.about)
  return raw_check.check(layout.read(root))


def outside(tmp_path):
  return {
    str(p): p.stat().st_mtime_ns
    for p in tmp_path.rglob('*')
    if p.is_file() and 'export' not in p.parts
  }


@pytest.mark.parametrize('tool', exports.ALL)
def test_damaged_exports_get_a_sentence(tmp_path, tool):
  exports.photo(tmp_path / 'outside/secret.png', 1)
  before, refused = outside(tmp_path), 0
  for seed in range(_TIMES):
    rng = random.Random(f'{tool} {seed}')
    root = exports.ALL[tool](tmp_path / f'{seed}' / 'export')
    done = damage(root, rng, rng.choice([*_ODD, bomb()]))
    began = time.monotonic()
    try:
      prepare(root)
    except errors.UserError as error:
      refused += 1
      assert str(error).rstrip().endswith(('.', ')')), (done, error)
      assert len(str(error)) < 8000, done
    assert time.monotonic() - began < 20, done
  assert refused
  assert outside(tmp_path) == before


def test_names_that_lead_out_find_nothing(tmp_path):
  exports.photo(tmp_path / 'outside/0001.jpg', 77)
  root = exports.coco(tmp_path / 'export')
  path = root / 'annotations/instances_train.json'
  value = json.loads(path.read_text())
  value['images'][0]['file_name'] = '../../outside/secret.jpg'
  exports.write(path, value)
  with pytest.raises(errors.DataError, match='secret.jpg does not exist'):
    prepare(root)
  value['images'][0]['file_name'] = '../../outside/0001.jpg'
  exports.write(path, value)
  checked = prepare(root)  # The one inside is meant.
  assert all(root in p.image.parents for p in checked.raw.splits['train'])


@pytest.mark.parametrize(
  'segmentation, sentence',
  [
    ({'size': [30, 40], 'counts': [10**9]}, 'do not add up'),
    ({'size': [30000, 40000], 'counts': [10**9]}, 'but the image is'),
    ([[0, 0, 1e9, 0, 5, 5]], 'a coordinate of 1000000000 pixels'),
    ([[0, 0, float('nan'), 0, 5, 5]], 'NaN, which is not a number'),
    ([[0, 0, 1e5, 0] * 2000], 'an outline of'),
  ],
)
def test_sizes_that_would_take_all_memory_are_refused(
  tmp_path, segmentation, sentence
):
  root = exports.coco(tmp_path)
  path = root / 'annotations/instances_train.json'
  value = json.loads(path.read_text())
  value['annotations'][0]['segmentation'] = segmentation
  path.write_text(json.dumps(value))
  with pytest.raises(errors.DataError, match=sentence):
    prepare(root)


def test_bitmaps_that_unpack_to_far_too_much_are_refused(tmp_path):
  root = exports.supervisely(tmp_path)
  path = root / 'ds/ann/0.jpg.json'
  value = json.loads(path.read_text())
  value['objects'][0]['bitmap']['data'] = bomb()
  exports.write(path, value)
  with pytest.raises(errors.DataError, match='unpacks to far too much'):
    prepare(root)


def test_undamaged_exports_pass(tmp_path):
  for tool, make in exports.ALL.items():
    assert prepare(make(tmp_path / tool)).raw.splits
  assert np.asarray(Image.open(tmp_path / 'plain/masks/0.png')).any()
