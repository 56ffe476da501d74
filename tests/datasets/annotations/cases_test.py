"""Inputs that people really have, from ../shared/cases: one test for each.

Skipped where that folder does not exist. What they become is checked on the
numbers of pixels; that training reads them, in `test_a_case_is_trained`.
"""

import json
import subprocess
import sys

import numpy as np
import pytest

from deeplab_contrast.datasets.preparation import recognised
from tests import processes

CASES = processes.ROOT.parent / 'shared' / 'cases'
pytestmark = pytest.mark.skipif(
  not CASES.is_dir(), reason='../shared/cases does not exist'
)

# Percent of the pixels of each class.
READ = {
  ('01_cvat_mask11',): [87.9, 4.9, 7.2],
  ('02_roboflow',): [85.86, 5.8, 8.33],
  ('04_coco_json',): [95.8, 2.1, 2.1],
  ('06_merge_values', 'list'): [93.4, 6.6],
  # Its palettes differ, and the colours are stated.
  ('07_palette_order',): [90.46, 3.85, 5.69],
  ('07_palette_order', 'gif'): [90.46, 3.85, 5.69],
  ('08_one_bit',): [93.4, 6.6],
  ('08_one_bit', 'mixed'): [93.4, 6.6],
  **{
    ('10_lists_nested', kind): [85.87, 5.8, 8.33]
    for kind in ('paths', 'two', 'files', 'abs', 'windows', 'ids')
  },
  ('22_polygon_text', 'yolo'): [93.5, 2.2, 4.3],
  ('22_polygon_text', 'labelme'): [97.8, 2.2, 0],
  ('23_predict_jpeg',): [85.87, 5.73, 8.4],
  ('24_train_longer',): [93.4, 6.6],
  ('25_mask_16bit_colour',): [85.87, 5.73, 8.4],
}
# What is refused, and keys that make it pass, as the message says.
REFUSED = {
  ('05_label_studio_png',): (
    '"masks": "label_studio_png", "pair_by": "order"',
    {'masks': 'label_studio_png', 'pair_by': 'order'},
  ),
  ('06_merge_values', 'twice'): (
    'name each class once, and list the values',
    {'classes': ['background', 'apple'], 'ids': [0, [*range(1, 10)]]},
  ),
  ('09_no_mask_means_empty',): (
    'state "missing_mask": "background" if nothing is on them',
    {'missing_mask': 'background'},
  ),
  ('10_lists_nested', 'paths', 'utf-16'): ('Out-File -Encoding utf8', None),
  **{
    ('14_multispectral', kind): (
      'state the values that become 0 and 255, "range": [0, 4095]',
      {'range': [0, 8000]},
    )
    for kind in ('rgb16', 'grey16')
  },
  ('14_multispectral', 'float32'): ('"range": "measured"', {'range': [0, 1]}),
  **{
    ('14_multispectral', kind): (
      'state which are red, green and blue, "bands": [1, 2, 3]',
      {'bands': [1, 2, 3]},
    )
    for kind in ('b5', 'rgbn8')
  },
}
# Its TIFFs are read with an optional package.
_NEEDS_TIFFFILE = '14_multispectral'


@pytest.fixture
def make(tmp_path):
  def make(case, *options):
    data = tmp_path / 'DATA'
    command = [sys.executable, '-B', CASES / case / 'make.py', data, *options]
    subprocess.run(list(map(str, command)), check=True)
    return data

  return make


def prepare(data, *options):
  options = options or ['--json']
  return processes.run_module(
    *('prepare', 'folder', f'--raw_dir={data}'),
    f'--data_dir={data.parent / "data"}',
    *options,
  )


def shares(done):
  """Percent of all pixels of each class."""
  assert done.returncode == 0, done.stderr
  splits = json.loads(done.stdout)['splits'].values()
  names = [n for n in next(iter(splits))['classes'] if n != 'void']
  pixels = [sum(s['classes'][n]['pixels'] for s in splits) for n in names]
  return 100 * np.array(pixels) / sum(pixels)


@pytest.mark.parametrize('case', READ, ids=' '.join)
def test_it_is_read(make, case):
  data = make(*case)
  np.testing.assert_allclose(shares(prepare(data)), READ[case], atol=0.06)


@pytest.mark.parametrize(
  'case', [case for case in READ if case[0] not in ('22_polygon_text',)][:3]
)
def test_it_is_read_without_a_description_too(make, case):
  data = make(*case)
  (data / 'dataset.json').unlink()
  np.testing.assert_allclose(shares(prepare(data)), READ[case], atol=0.06)
  assert (data / 'dataset.json').is_file()


@pytest.mark.parametrize('case', REFUSED, ids=' '.join)
def test_it_is_refused_until_the_remedy_is_stated(make, case):
  sentence, keys = REFUSED[case]
  data = make(*case)
  done = prepare(data)
  assert done.returncode in (2, 3) and sentence in done.stderr
  assert 'Traceback' not in done.stderr
  if keys is None:
    return
  if case[0] == _NEEDS_TIFFFILE:
    pytest.importorskip('tifffile')
  file = data / 'dataset.json'
  file.write_text(json.dumps({**json.loads(file.read_text()), **keys}))
  assert len(shares(prepare(data))) >= 2


def test_a_read_only_folder_gets_its_description_beside_the_data(
  make, monkeypatch
):
  data = make('04_coco_json')
  (data / 'dataset.json').unlink()
  write = recognised.files.write_text

  def write_text(path, text):  # Root may write into any folder.
    if str(path).startswith(str(data)):
      raise PermissionError(13, 'Permission denied', path)
    write(path, text)

  monkeypatch.setattr(recognised.files, 'write_text', write_text)
  done = prepare(data, '--samples=3')
  assert done.returncode == 0, done.stderr
  assert not (data / 'dataset.json').exists()
  (written,) = data.parent.glob('data/**/dataset.json')
  assert json.loads(written.read_text())['masks'] == 'coco'
  assert f'Folder.description = "{written}"' in done.stdout


def test_pixels_of_a_drawn_case(make):
  """The squares of COCO: half-open, as pycocotools draws them."""
  data = make('04_coco_json')
  done = prepare(data)
  train = json.loads(done.stdout)['splits']['train']['classes']
  assert train['cup']['pixels'] == train['box']['pixels'] == 8 * 20 * 20


@pytest.mark.slow
def test_a_case_is_trained_and_predicts(make, tmp_path):
  data = make('22_polygon_text', 'yolo')
  run = tmp_path / 'run'
  done = processes.run_module(
    'train',
    '--gin_file=gin_configs/camvid/softmax_scratch.gin',
    '--gin_file=gin_configs/datasets/own.gin',
    '--gin_file=gin_configs/tiny.gin',
    f"--gin_bindings=OWN_DATA = '{data}'",
    f'--data_dir={tmp_path / "data"}',
    f'--model_dir={run}',
    cwd=processes.ROOT,
  )
  assert done.returncode == 0, done.stderr
  for expected in ('3 predicted, 0 already', '0 predicted, 3 already there'):
    done = processes.run_module(
      *('predict', f'--saved_model={run}', f'--out={tmp_path / "out"}'),
      data / 'images/val',
    )
    assert done.returncode == 0, done.stderr
    assert expected in done.stdout
