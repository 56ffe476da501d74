import json

import numpy as np

from deeplab_contrast.datasets import info
from deeplab_contrast.utils import files, results, tables

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
  assert tables.per_class_table(read) == tables.per_class_table(written)
  assert results.read(str(tmp_path / 'elsewhere')) is None


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
  assert tables.embedding_table(result) == (
    'embedding\n'
    '--------------------------  ------------------\n'
    'similarity within classes                 0.90\n'
    'similarity between classes               -0.25\n'
    'nearest neighbours, mIoU %                45.7\n'
    'linear probe, mIoU %                       n/a\n'
    'fitted on                   200 px of 1 images\n'
    'evaluated on                398 px of 2 images'
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


def test_done(tmp_path):
  assert not results.is_done(str(tmp_path))
  results.write_done(str(tmp_path), 7)
  assert results.is_done(str(tmp_path))


def test_a_new_score_is_written_and_shown_by_itself(tmp_path):
  scores = {
    **SCORES,
    'boundary_f': np.float32(0.25),
    'recall_at': np.array([[0.5, np.nan], [1, 1], [0, 0]]),
    'distance': np.array([3.5, np.nan]),
  }
  result = results.write(str(tmp_path), 30, scores, INFO)
  assert files.as_json(result) == results.read(str(tmp_path))
  assert result['recall_at'] == [[0.5, None], [1, 1], [0, 0]]
  assert results.numbers(scores) == {
    'miou': 0.5,
    'pixel_accuracy': 0.75,
    'boundary_f': 0.25,
  }
  assert tables.per_class_table(result) == (
    'class           IoU %  distance\n'
    '--------------  -----  --------\n'
    'cat              50.0       3.5\n'
    'dog               n/a       n/a\n'
    'mean (mIoU)      50.0\n'
    'pixel accuracy   75.0\n'
    'boundary f       0.25'
  )


def test_table_by_eye(tmp_path):
  result = results.write(str(tmp_path), 30, SCORES, INFO)
  assert tables.per_class_table(result) == (
    'class           IoU %\n'
    '--------------  -----\n'
    'cat              50.0\n'
    'dog               n/a\n'
    'mean (mIoU)      50.0\n'
    'pixel accuracy   75.0'
  )


def test_every_number_but_the_miou_is_another_score(tmp_path):
  result = results.write(str(tmp_path), 30, FULL, INFO)
  assert {'miou', *tables.other_scores(result)} == set(results.numbers(FULL))


def test_full_table_by_eye(tmp_path):
  result = results.write(str(tmp_path), 30, FULL, INFO)
  assert tables.per_class_table(result) == (
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
