import json

import numpy as np
import pytest

from deeplab_contrast.datasets import info
from deeplab_contrast.imaging import panels
from deeplab_contrast.utils import errors, results

INFO = info.DatasetInfo('two', ('cat', 'dog'), ((200, 0, 0), (0, 200, 0)))
SCORES = {
  'miou': 0.5,
  'pixel_accuracy': 0.75,
  'iou': np.array([0.5, np.nan]),
  'pixels': 8,
  'matrix': np.array([[6, 2], [0, 0]]),
}


def test_written_and_read(tmp_path):
  written = results.write(str(tmp_path), 30, SCORES, INFO)
  read = results.read(str(tmp_path))
  assert read['iou'] == {'cat': 0.5, 'dog': None}
  assert (read['step'], read['miou'], read['pixels']) == (30, 0.5, 8)
  assert read['matrix'] == [[6, 2], [0, 0]]
  assert results.per_class_table(read) == results.per_class_table(written)
  assert results.read(str(tmp_path / 'elsewhere')) is None


def test_table_by_eye(tmp_path):
  result = results.write(str(tmp_path), 30, SCORES, INFO)
  assert results.per_class_table(result) == (
    'class           IoU %\n'
    '--------------  -----\n'
    'cat              50.0\n'
    'dog               n/a\n'
    'mean (mIoU)      50.0\n'
    'pixel accuracy   75.0'
  )


def test_embedding_by_eye(tmp_path):
  scores = {
    'within_similarity': 0.9,
    'between_similarity': -0.25,
    'knn_miou': 0.4567,
    'probe_miou': float('nan'),
    'fit_images': 1,
    'judged_images': 2,
    'fit_pixels': 200,
    'judged_pixels': 398,
  }
  result = results.write_embedding(str(tmp_path), 30, scores, INFO)
  assert result['probe_miou'] is None
  written = json.loads((tmp_path / 'embedding' / 'results.json').read_text())
  assert (
    written
    == result
    == {
      **scores,
      'probe_miou': None,
      'dataset': 'two',
      'step': 30,
    }
  )
  assert results.embedding_table(result) == (
    'embedding\n'
    '--------------------------  ------------------\n'
    'similarity within classes                 0.90\n'
    'similarity between classes               -0.25\n'
    'nearest neighbours, mIoU %                45.7\n'
    'linear probe, mIoU %                       n/a\n'
    'fitted to                   200 px of 1 images\n'
    'judged on                   398 px of 2 images'
  )
  assert results.read(str(tmp_path)) is None


FULL = {
  **SCORES,
  'mean_accuracy': 0.75,
  'frequency_weighted_iou': 0.25,
  'accuracy': np.array([0.75, np.nan]),
  'category_miou': 1.0,
  'category_iou': {'animal': np.float64(1.0), 'thing': np.float64(np.nan)},
  'trimap_width': 3,
  'trimap_miou': 0.125,
  'trimap_pixel_accuracy': 0.5,
  'trimap_iou': np.array([0.125, np.nan]),
  'judged_by': {'split': 'val', 'scales': (0.5, 1.0)},
}


def test_every_score_is_written_by_name(tmp_path):
  results.write(str(tmp_path), 30, FULL, INFO)
  read = results.read(str(tmp_path))
  assert read['accuracy'] == {'cat': 0.75, 'dog': None}
  assert read['trimap_iou'] == {'cat': 0.125, 'dog': None}
  assert read['category_iou'] == {'animal': 1.0, 'thing': None}
  assert read['judged_by'] == {'split': 'val', 'scales': [0.5, 1.0]}
  assert (read['mean_accuracy'], read['trimap_width']) == (0.75, 3)


def test_full_table_by_eye(tmp_path):
  result = results.write(str(tmp_path), 30, FULL, INFO)
  assert results.per_class_table(result) == (
    'class                   IoU %  accuracy %  IoU % within 3 px\n'
    '----------------------  -----  ----------  -----------------\n'
    'cat                      50.0        75.0               12.5\n'
    'dog                       n/a         n/a                n/a\n'
    'mean (mIoU)              50.0        75.0               12.5\n'
    'pixel accuracy           75.0\n'
    'frequency-weighted IoU   25.0\n'
    '\n'
    'category  IoU %\n'
    '--------  -----\n'
    'animal    100.0\n'
    'thing       n/a\n'
    'mean      100.0'
  )


def test_done(tmp_path):
  assert not results.is_done(str(tmp_path))
  results.write_done(str(tmp_path), 7)
  assert results.is_done(str(tmp_path))


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
  path = tmp_path / 'x.json'
  results.write_json(str(path), {'a': 1})
  with pytest.raises(TypeError):
    results.write_json(str(path), {'a': object()})
  assert path.read_text() == '{\n "a": 1\n}\n'


def test_colorize():
  label = np.array([[0, 1], [255, 1]])
  np.testing.assert_array_equal(
    panels.colorize(label, INFO.colors),
    [[[200, 0, 0], [0, 200, 0]], [[255, 255, 255], [0, 200, 0]]],
  )


def test_grid_holds_every_picture_and_colour(tmp_path):
  rows = [
    [np.full((10, 20, 3), 10 * (2 * i + j + 1), np.uint8) for j in range(2)]
    for i in range(3)
  ]
  legend = panels.legend({'cat': (1, 2, 3), 'dog': (4, 5, 6)})
  grid = panels.grid(rows, ['left', 'right'], legend, width=40)
  path = tmp_path / 'deep' / 'grid.png'
  panels.save(grid, str(path))
  pixels = {tuple(p) for p in np.asarray(grid).reshape(-1, 3)}
  for value in (10, 20, 30, 40, 50, 60):
    assert (value,) * 3 in pixels
  assert {(1, 2, 3), (4, 5, 6)} <= pixels
  assert path.exists()
  assert not list(path.parent.glob('*.tmp'))


def test_a_damaged_file_is_named(tmp_path):
  path = tmp_path / 'x.json'
  path.write_text('{"a": 1')
  with pytest.raises(errors.DataError, match=f'{path} is damaged .*delete it'):
    results.read_json(str(path))
