import json
import subprocess
import sys

import pytest

from tests import processes

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


@pytest.mark.slow
@pytest.mark.parametrize('loss', ['released', 'within', 'batch'])
def test_loss_as_json(loss):
  settings = ('--pixels=17', '--batch=2', '--repeats=1', f'--loss={loss}')
  done = benchmark('loss', '--json', *settings)
  assert done.returncode == 0, done.stderr
  report = json.loads(done.stdout)
  assert set(report) >= KEYS
  for key in ('naive_s', 'ours_f32_s', 'ours_bf16_s', 'gemm_fraction'):
    assert report[key] > 0
  assert report['speedup_f32'] == report['naive_s'] / report['ours_f32_s']
  assert report['loss_diff'] < 1e-5 and report['grad_rel_diff'] < 1e-5
  assert 0 < report['grad_rel_diff_bf16'] < 2e-2


def test_a_wrong_size_is_refused():
  done = benchmark('loss', '--pixels=0')
  assert done.returncode == 2
  assert "argument --pixels: '0' is not a number above 0" in done.stderr
