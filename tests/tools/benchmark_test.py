import argparse
import contextlib
import importlib.util
import io
import json
import subprocess
import sys
import types

import numpy as np
import pytest
from PIL import Image

from tests import processes
from tools import benchmark as tool
from tools.benchmarks import (
  convolutions,
  loss,
  predict,
  step,
  step_candidates,
)
from tools.benchmarks import input as inputs

OURS = 'ours_f32'
KEYS = {
  *('naive_s', 'ours_f32_s', 'ours_bf16_s', 'speedup_f32', 'speedup_bf16'),
  *('naive_extra_mb', 'ours_extra_mb', 'loss_diff', 'grad_rel_diff'),
  'gemm_fraction',
}


def benchmark(*arguments):
  return subprocess.run(
    [sys.executable, 'tools/benchmark.py', *arguments],
    capture_output=True,
    text=True,
    cwd=processes.ROOT,
    check=False,
  )


class Starts:
  """Measures candidates here rather than in their processes, but for one.

  Each would import TensorFlow, and take its memory from then on.
  """

  def __init__(self, benchmark, apart):
    self._benchmark, self._apart = benchmark, apart
    self._start = benchmark._start

  def __call__(self, name, *rest):
    if name == self._apart:
      return self._start(name, *rest)
    *folder, arguments = rest
    values = {**vars(arguments), 'candidate': name}
    if folder:
      (values['folder'],) = folder
    with contextlib.redirect_stdout(io.StringIO()) as out:
      assert self._benchmark._measure(argparse.Namespace(**values)) == 0
    return json.loads(out.getvalue().splitlines()[-1])


@pytest.fixture
def here(monkeypatch, capsys):
  """Runs a benchmark in this process; only one candidate has its own."""

  def run(module, name, *arguments, apart):
    monkeypatch.setattr(module, '_start', Starts(module, apart))
    monkeypatch.setattr(sys, 'argv', ['benchmark.py', name, *arguments])
    assert tool.main() == 0
    return capsys.readouterr()

  return run


@pytest.mark.slow
def test_loss_as_json(here):
  settings = ('--pixels=17', '--batch=2', '--repeats=1', '--loss=batch')
  settings += ('--padding=0.3',)
  report = json.loads(here(loss, 'loss', '--json', *settings, apart=OURS).out)
  assert set(report) >= KEYS
  for key in ('naive_s', 'ours_f32_s', 'ours_bf16_s', 'gemm_fraction'):
    assert report[key] > 0
  assert report['speedup_f32'] == report['naive_s'] / report['ours_f32_s']
  assert report['loss_diff'] < 1e-5 and report['grad_rel_diff'] < 1e-5
  assert 0 < report['grad_rel_diff_bf16'] < 2e-2


def test_a_wrong_size_is_refused():
  done = benchmark('loss', '--pixels=0')
  assert done.returncode == 2
  assert "argument --pixels: '0' is not a whole number > 0" in done.stderr
  done = benchmark('loss', '--padding=1')
  assert done.returncode == 2
  assert "argument --padding: '1' is not a share in" in done.stderr


@pytest.mark.slow
def test_input_as_json(tmp_path, here):
  root = tmp_path / 'VOC2012'
  rng = np.random.default_rng(0)
  for name in ('a', 'b', 'c'):
    for folder, ending, shape in (
      ('JPEGImages', 'jpg', (60, 90, 3)),
      ('SegmentationClassAug', 'png', (60, 90)),
    ):
      (root / folder).mkdir(parents=True, exist_ok=True)
      pixels = rng.integers(0, 21, shape, dtype=np.uint8)
      Image.fromarray(pixels).save(root / folder / f'{name}.{ending}')
  counts = ('--images=3', '--count=4', '--batch=2', '--rounds=1')
  flags = ('--json', f'--raw_dir={tmp_path}', *counts)
  done = here(inputs, 'input', *flags, apart='decode_only')
  report = json.loads(done.out)
  for name in ('ours', 'keras', 'decode_only', 'ours_softmax'):
    assert report[f'{name}_ips'] > 0
  assert report['ours_to_keras'] == report['ours_ips'] / report['keras_ips']
  if importlib.util.find_spec('albumentations'):
    assert report['albumentations_ips'] > 0
  else:
    assert report['albumentations_ips'] is None
    assert 'albumentations is not installed' in done.err


@pytest.mark.slow
def test_our_pipeline_is_timed_with_its_check_of_labels(tmp_path, monkeypatch):
  # This shows when a label is not of any class.
  for folder, ending, mode in (
    ('JPEGImages', 'jpg', 'RGB'),
    ('SegmentationClass', 'png', 'L'),
  ):
    path = tmp_path / 'VOC2012' / folder / f'a.{ending}'
    path.parent.mkdir(parents=True)
    Image.new(mode, (90, 60), 21).save(path)
  for name in ('ours', 'ours_softmax'):
    counts = ('--images=1', '--count=1', '--batch=1', '--rounds=1')
    flags = (f'--candidate={name}', f'--raw_dir={tmp_path}', *counts)
    monkeypatch.setattr(sys, 'argv', ['benchmark.py', 'input', *flags])
    sentence = 'The mask of a has the label 21, but voc2012 has 21'
    with pytest.raises(Exception, match=sentence):
      tool.main()


def test_input_without_images_says_so(tmp_path):
  done = benchmark('input', f'--raw_dir={tmp_path}')
  assert done.returncode == 1
  assert f'there are no VOC masks in {tmp_path}' in done.stderr


def test_the_report_of_predict():
  measured = {'ips': 4.0, 'peak_mb': 1.0, 'parameters': 2}
  slower = {**measured, 'ips': 2.0}
  names = ('ours_f32', 'ours_bf16', 'keras_cv')
  sizes = {
    '65x65': dict.fromkeys(names, measured) | {'keras_cv': slower},
    '9x9': dict.fromkeys(predict.CANDIDATES, measured),
  }
  report = predict._report(sizes)
  assert report['ours_f32_ips'] == 4 and report['keras_cv_ips'] == 2
  assert report['torch_f32_ips'] is report['torch_bf16_ips'] is None
  assert report['ours_to_keras_cv'] == 2 and report['ours_to_torch'] is None
  assert report['sizes']['9x9']['ours_to_torch'] == 1


def test_the_report_of_step():
  names = ('network', 'width', 'crop', 'batch', 'precision', 'task')
  arguments = argparse.Namespace(**dict.fromkeys(names, 1))
  conv = convolutions.Convolution((1, 9, 9, 8), 8, 3, 1, 1, 'same', False, 2)
  first = conv._replace(shape=(1, 9, 9, 3), count=1)

  def measured(*turns, convolutions=None):
    return types.SimpleNamespace(
      seconds=turns, peak_mb=5.0, convolutions=convolutions
    )

  processes = {
    'ours': measured([4.0, 2.0], [6.0, 3.0]),
    'keras': measured([3.0]),
    'convs_tf': measured([0.1] * 6, [0.2] * 6, convolutions=[conv, first]),
    'convs_torch': measured([0.3, 0.05, 0.3, 0.3, 0.0, 0.3]),
  }
  report = step._report(processes, arguments)
  assert (report['ours_s'], report['ours_median_s']) == (2.0, 3.5)
  assert report['keras_to_ours'] == 1.5 and report['peak_mb'] == 5.0
  assert report['torch_s'] is report['torch_to_ours'] is None
  # The faster of both kernels, twice; images need no gradient.
  assert report['convs_s'] == pytest.approx(2 * 0.25 + 0.2)
  assert report['conv_share'] == report['convs_s'] / 2.0


class Here:
  """A candidate of `step`, measured here rather than in its own process."""

  def __init__(self, name, arguments):
    self.name = name
    values = {**vars(arguments), 'task': 'softmax'}
    if name == 'ours':
      values['task'] = arguments.task
    given = argparse.Namespace(**values)
    of_convolutions = name.startswith('convs')
    module = convolutions if of_convolutions else step_candidates
    self._turn = getattr(module, {'softmax': 'ours'}.get(name, name))(given)
    self._turn(2)
    self._steps = arguments.steps
    if of_convolutions:
      self.convolutions = convolutions.of_network(given)
    self.seconds, self.peak_mb = [], 1.0

  def measure(self):
    self.seconds.append(self._turn(self._steps))

  def close(self):
    pass


@pytest.mark.slow
@pytest.mark.parametrize(
  ('task', 'apart', 'peer'),
  [('softmax', 'convs_tf', 'keras'), ('contrastive', 'ours', 'softmax')],
)
def test_step_as_json(monkeypatch, capsys, task, apart, peer):
  def start(name, others, arguments):
    if name == apart:
      return in_process(name, others, arguments)
    return Here(name, arguments)

  size = ('--network=resnet_v1_18_beta', '--width=0.125', '--crop=33')
  turns = ('--batch=1', '--rounds=1', '--steps=1', f'--task={task}', '--json')
  only = () if task == 'contrastive' else ('--only', 'ours', 'keras', apart)
  in_process = step._Process
  monkeypatch.setattr(step, '_Process', start)
  monkeypatch.setattr(sys, 'argv', ['benchmark.py', 'step', *size, *turns])
  sys.argv += only
  assert tool.main() == 0
  report = json.loads(capsys.readouterr().out)
  assert report[f'{peer}_to_ours'] == report[f'{peer}_s'] / report['ours_s']
  assert report['peak_mb'] > 0
