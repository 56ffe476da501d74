"""What a run leaves for TensorBoard, read back from a real TensorBoard."""

import contextlib
import io
import json
import pathlib
import re
import subprocess
import sys
import time
import urllib.parse
import urllib.request

import numpy as np
import pytest
from PIL import Image

from tests import browser as browsing
from tests import processes

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def run(tmp_path_factory):
  """A tiny training with evaluations, evaluated once more at the end."""
  folder = tmp_path_factory.mktemp('tensorboard')
  data = f'--data_dir={folder}/data'
  flags = processes.scenes_flags(
    'softmax_scratch',
    f'{folder}/data',
    'EVAL_EVERY = 1',
    'trainer.Trainer.profile_steps = 1',
  )
  run = f'--model_dir={folder}/run'
  for command in (
    ('train', *flags, run),
    ('eval', run, data),
    ('features', run, data, '--pixels_per_class=5'),
  ):
    done = processes.run_module(*command)
    assert done.returncode == 0, done.stderr
  return folder / 'run'


@pytest.fixture(scope='module')
def address(run):
  """Where a TensorBoard serves the run."""
  with serving(run) as found:
    yield found


@contextlib.contextmanager
def serving(folder):
  command = [sys.executable, '-m', 'tensorboard.main', f'--logdir={folder}']
  command += ['--host=127.0.0.1', '--port=0', '--load_fast=false']
  child = subprocess.Popen(
    command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
  )
  try:
    lines = iter(child.stdout.readline, '')
    found = filter(None, (re.search(r'http://[\d.:]+/', x) for x in lines))
    yield next(found).group()
  finally:
    child.terminate()
    child.wait(30)
    child.stdout.close()


def fetch(address, path, **query):
  url = f'{address}data/plugin/{path}?{urllib.parse.urlencode(query)}'
  with urllib.request.urlopen(url, timeout=30) as answer:
    return answer.read()


def ask(address, path, **query):
  return json.loads(fetch(address, path, **query))


@pytest.fixture(scope='module')
def scalars(address):
  """{run: names}; TensorBoard needs a moment to read the files."""
  deadline = time.monotonic() + 60
  while True:
    found = ask(address, 'scalars/tags')
    if set(found) >= {'tensorboard', 'eval/tensorboard'}:
      return {name: set(tags) for name, tags in found.items()}
    assert time.monotonic() < deadline, found
    time.sleep(0.5)


def test_numbers(address, run, scalars):
  trained = {
    f'train/{x}'
    for x in (
      'loss',
      'softmax',
      'learning_rate',
      'gradient_norm',
      'weight_norm',
      'images_per_second',
      'data_wait',
    )
  }
  assert trained | {'val/miou', 'val/iou/road'} <= scalars['tensorboard']
  assert {'val/miou', 'val/iou/road'} <= scalars['eval/tensorboard']
  points = ask(
    address, 'scalars/scalars', run='tensorboard', tag='train/weight_norm'
  )
  lines = (run / 'metrics.jsonl').read_text().splitlines()
  logged = [x for x in map(json.loads, lines) if x['split'] == 'train']
  assert [p[1] for p in points] == [x['step'] for x in logged]
  norms = [x['weight_norm'] for x in logged]
  np.testing.assert_allclose([p[2] for p in points], norms, 1e-5)
  assert all(0 <= x['data_wait'] <= 1 for x in logged)


@pytest.mark.parametrize('place', ['tensorboard', 'eval/tensorboard'])
def test_pictures(address, scalars, place):
  tags = ask(address, 'images/tags')[place]
  sizes = {}
  for name in ('image_truth_prediction', 'confusion_matrix'):
    assert f'val/{name}' in tags
    query = {'run': place, 'tag': f'val/{name}', 'sample': 0}
    found = ask(address, 'images/images', **query)[-1]
    png = fetch(address, f'images/individualImage?{found["query"]}&')
    sizes[name] = Image.open(io.BytesIO(png)).size
  # Three columns of 256 pixels.
  assert sizes['image_truth_prediction'][0] == 4 * 6 + 3 * 256
  assert min(sizes['confusion_matrix']) > 300


def test_the_configuration(address, run, scalars):
  text = ask(address, 'text/text', run='tensorboard', tag='config.gin')
  shown = text[0]['text']
  assert 'optimizers.SGD.momentum = 0.9' in shown
  assert '<pre>' in shown


def test_the_projector(address, run, scalars):
  info = ask(address, 'projector/info', run='tensorboard')
  (embedding,) = info['embeddings']
  query = {'run': 'tensorboard', 'name': embedding['tensorName']}
  pixels, channels = embedding['tensorShape']
  raw = np.frombuffer(fetch(address, 'projector/tensor', **query), '<f4')
  with np.load(run / 'features' / 'penultimate.npz') as arrays:
    features, labels = arrays['features'], arrays['labels']
  np.testing.assert_array_equal(raw.reshape(pixels, channels), features)
  table = fetch(address, 'projector/metadata', **query).decode().splitlines()
  assert table[0] == 'class\timage\trow\tcolumn'
  assert len(table) == 1 + pixels
  sprite = fetch(address, 'projector/sprite_image', **query)
  colors = np.asarray(Image.open(io.BytesIO(sprite)))
  per_row = colors.shape[1] // 12
  results = json.loads((run / 'eval' / 'results.json').read_text())['colors']
  names = list(results)
  for i in (0, pixels // 2, pixels - 1):
    name = table[1 + i].split('\t')[0]
    assert name == names[labels[i]]
    y, x = divmod(i, per_row)
    assert colors[12 * y + 6, 12 * x + 6].tolist() == results[name]


def test_the_profile(run):
  (trace,) = pathlib.Path(run, 'tensorboard').glob(
    'plugins/profile/*/*.xplane.pb'
  )
  assert b'train' in trace.read_bytes()


def test_in_a_browser(address, scalars, tmp_path):
  with browsing.opened(tmp_path) as browser:
    for page, text in (
      ('timeseries', 'gradient_norm'),
      ('images', 'image_truth_prediction'),
      ('text', 'optimizers.SGD.momentum'),
      ('projector', 'metadata.tsv'),
    ):
      browser.get(f'{address}#{page}')
      browser.refresh()
      deadline = time.monotonic() + 30
      while text not in _text(browser):
        assert time.monotonic() < deadline, (page, _text(browser)[:2000])
        time.sleep(0.5)
      assert not browsing.errors(browser)


def _text(browser):
  """All text of a page, including its shadow trees and frames."""
  return browser.execute_script("""
    const texts = [];
    const visit = (node) => {
      if (node.nodeType === Node.TEXT_NODE) texts.push(node.textContent);
      if (node.shadowRoot) visit(node.shadowRoot);
      const inner = node.contentDocument;
      if (inner && inner.body) visit(inner.body);  // None while it loads.
      for (const child of node.childNodes) visit(child);
    };
    if (document.body) visit(document.body);
    return texts.join('\\n');
  """)
