import csv

import numpy as np
import pytest
from PIL import Image

from deeplab_contrast.inference import confusion_picture
from deeplab_contrast.utils import run_files

MATRIX = np.array([[30, 10, 0], [0, 0, 0], [5, 0, 2**40]])
RESULT = {
  'dataset': 'three',
  'step': 7,
  'iou': {'cat': 0.5, 'a "dog", old': None, 'Österreich': 0.1},
  'matrix': MATRIX.tolist(),
}


@pytest.mark.filterwarnings('error')  # A class without pixels has no shares.
def test_table_and_picture_are_written(tmp_path):
  confusion_picture.write(str(tmp_path), RESULT)
  with open(tmp_path / run_files.CONFUSION_CSV, newline='') as file:
    heading, *rows = csv.reader(file)
  assert heading[1:] == list(RESULT['iou'])
  assert [row[0] for row in rows] == list(RESULT['iou'])
  np.testing.assert_array_equal(
    np.array([row[1:] for row in rows], int), MATRIX
  )
  with Image.open(tmp_path / run_files.CONFUSION_PNG) as picture:
    assert picture.mode == 'RGB' and min(picture.size) > 200


@pytest.mark.parametrize('count', [2, 60])
def test_a_full_cell_is_dark_and_an_empty_one_light(count):
  names = [f'class {i}' for i in range(count)]
  diagonal = np.diag(np.full(count, 9))
  pictures = [
    confusion_picture.draw(matrix, names, 'x').mean()
    for matrix in (diagonal * 0, diagonal, diagonal[::-1] * 0 + 9)
  ]
  assert pictures[0] > pictures[1]
  assert pictures[0] > pictures[2]
