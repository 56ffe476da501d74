"""The contrastive losses against the usual way of writing them.

Every candidate runs in a process of its own, so that its peak memory is its
own. All get the same features and labels, and their losses and gradients are
compared.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np

TEMPERATURE = 0.07
CHANNELS = 256
SCRIPT = pathlib.Path(__file__).resolve().parents[1] / 'benchmark.py'
NAIVE = ('naive_graph', 'naive_jit')
OURS = ('ours_f32', 'ours_bf16')


def add_command(commands):
  """Adds `loss` to the subparsers of an argparse parser."""
  parser = commands.add_parser('loss', help='the contrastive losses')
  parser.add_argument('--pixels', type=int, default=65, help='side of the map')
  parser.add_argument('--batch', type=int, default=4, help='images')
  parser.add_argument(
    '--loss',
    choices=['released', 'within', 'batch'],
    default='released',
    help="the authors' code's form of one view (default), the paper's eq. 1, "
    'or eq. 1 over all pixels of the batch',
  )
  parser.add_argument('--repeats', type=int, default=5, help='timed calls')
  parser.add_argument('--json', action='store_true', help='print JSON only')
  # What the processes of this benchmark are told.
  parser.add_argument('--candidate', help=argparse.SUPPRESS)
  parser.add_argument('--folder', help=argparse.SUPPRESS)
  parser.set_defaults(run=run)


def run(arguments):
  """Measures all candidates, or (in their processes) one."""
  if arguments.candidate:
    return _measure(arguments)
  with tempfile.TemporaryDirectory() as folder:
    np.savez(pathlib.Path(folder) / 'inputs', **_inputs(arguments))
    names = ['gemm', *OURS]
    if _naive_gigabytes(arguments) < 0.9 * _available_gigabytes():
      names += NAIVE
    results = {name: _start(name, folder, arguments) for name in names}
    report = _report(results, folder, arguments)
  print(json.dumps(report, indent=2) if arguments.json else _text(report))
  return 0


def _inputs(arguments):
  """Two views of unit features, and labels of blobs with a void between."""
  rng = np.random.default_rng(0)
  side, batch = arguments.pixels, arguments.batch
  cells = rng.integers(0, 5, (batch, 8, 8))
  cells[:, 3, 2:6] = 255
  index = np.arange(side) * 8 // side
  labels = cells[:, index][:, :, index].reshape(batch, -1)
  centers = rng.normal(size=(256, CHANNELS))
  noise = 2 * rng.normal(size=(2, *labels.shape, CHANNELS))
  features = (centers[labels] + noise).astype(np.float32)
  features /= np.linalg.norm(features, axis=-1, keepdims=True)
  if arguments.loss == 'batch':
    labels = labels.reshape(1, -1)
    features = features.reshape(2, 1, -1, CHANNELS)
  return {
    'anchors': features[0],
    'contrast': features[0 if arguments.loss == 'released' else 1],
    'labels': labels.astype(np.int32),
  }


def _pairs(arguments):
  """How many pairs of pixels meet."""
  pixels = arguments.pixels**2
  if arguments.loss == 'batch':
    return (arguments.batch * pixels) ** 2
  return arguments.batch * pixels**2


def _naive_gigabytes(arguments):
  """About what ten float32 matrices of all pairs take."""
  return 10 * 4 * _pairs(arguments) / 1e9


def _available_gigabytes():
  return os.sysconf('SC_AVPHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 1e9


def _start(name, folder, arguments):
  """Measures one candidate in a process of its own."""
  command = [sys.executable, str(SCRIPT), 'loss', f'--candidate={name}']
  for key in ('pixels', 'batch', 'loss', 'repeats'):
    command.append(f'--{key}={getattr(arguments, key)}')
  done = subprocess.run(
    [*command, f'--folder={folder}'],
    env={**os.environ, 'TF_CPP_MIN_LOG_LEVEL': '3', 'CUDA_VISIBLE_DEVICES': ''},
    capture_output=True,
    text=True,
    check=False,
  )
  if done.returncode:
    raise RuntimeError(f'{name} failed:\n{done.stderr}')
  return json.loads(done.stdout.splitlines()[-1])


def _measure(arguments):
  """In a process of its own: times a candidate, stores loss and gradients."""
  import tensorflow as tf

  folder = pathlib.Path(arguments.folder)
  with np.load(folder / 'inputs.npz') as arrays:
    inputs = [tf.constant(arrays[k]) for k in ('anchors', 'contrast', 'labels')]
  step = _candidate(arguments, tf)
  before = _reset_peak()
  step(*inputs)[0].numpy()
  seconds = []
  for _ in range(arguments.repeats):
    start = time.perf_counter()
    step(*inputs)[0].numpy()  # Reading waits for the step.
    seconds.append(time.perf_counter() - start)
  megabytes = _peak() - before
  outputs = [x.numpy() for x in step(*inputs)]
  # What is returned is not extra.
  megabytes -= sum(x.nbytes for x in outputs) / 1e6
  np.savez(folder / arguments.candidate, *outputs)
  print(json.dumps({'seconds': np.median(seconds), 'megabytes': megabytes}))
  return 0


def _candidate(arguments, tf):
  """A compiled function from the inputs to the loss and its gradients."""
  name = arguments.candidate
  if name == 'gemm':
    # One of the three products that every form has to make, for one image.
    return tf.function(
      lambda a, c, _: [tf.matmul(a[0], c[0], transpose_b=True)]
    )
  loss = _naive(arguments.loss) if name in NAIVE else _ours(arguments, name)

  def step(anchors, contrast, labels):
    # A single view is one variable: its two gradients are added.
    views = [anchors] if arguments.loss == 'released' else [anchors, contrast]
    with tf.GradientTape() as tape:
      tape.watch(views)
      value = loss(views[0], views[-1], labels, TEMPERATURE)
    return [value, *tape.gradient(value, views)]

  return tf.function(step, jit_compile=name == 'naive_jit', autograph=False)


def _naive(loss):
  from tools.benchmarks import naive_contrast

  if loss == 'released':
    return naive_contrast.released
  return naive_contrast.within


def _ours(arguments, name):
  import tensorflow as tf

  from deeplab_contrast.core import pair_kernel, pair_tile

  matmul = {'ours_f32': 'float32', 'ours_bf16': 'bfloat16'}[name]

  def loss(anchors, contrast, labels, temperature):
    rule = pair_tile.Rule(
      temperature, one_positive=arguments.loss == 'released', matmul=matmul
    )
    anchors = pair_kernel.Pixels(anchors, labels)
    contrast = pair_kernel.Pixels(contrast, labels)
    return tf.reduce_mean(pair_kernel.pair_losses(anchors, contrast, rule))

  return loss


def _reset_peak():
  """Forgets the peak of this process's memory; returns what it uses now."""
  pathlib.Path('/proc/self/clear_refs').write_text('5')
  return _status('VmRSS')


def _peak():
  return _status('VmHWM')


def _status(key):
  """Megabytes from /proc/self/status."""
  for line in pathlib.Path('/proc/self/status').read_text().splitlines():
    if line.startswith(f'{key}:'):
      return int(line.split()[1]) * 1024 / 1e6
  raise KeyError(key)


def _report(results, folder, arguments):
  """All figures by name; None where the naive forms could not run."""
  images = arguments.batch
  seconds = {k: v['seconds'] / images for k, v in results.items()}
  product = 2 * CHANNELS * _pairs(arguments)  # Operations of one product.
  gemm_s = results['gemm']['seconds']
  gemm_pairs = _pairs(arguments) / (1 if arguments.loss == 'batch' else images)
  gemm = 2 * CHANNELS * gemm_pairs / gemm_s
  ours = 3 * product / (seconds['ours_f32'] * images)
  report = {
    'loss': arguments.loss,
    'pixels': arguments.pixels,
    'batch': images,
    **{f'{k}_s': seconds.get(k) for k in (*NAIVE, *OURS)},
    **{f'{k}_extra_mb': _megabytes(results, k) for k in (*NAIVE, *OURS)},
    'ours_extra_mb': _megabytes(results, 'ours_f32'),
    'gemm_gflops': gemm / 1e9,
    'ours_gflops': ours / 1e9,
    'gemm_fraction': ours / gemm,
    'naive_s': None,
  }
  report |= _differences('ours_f32', 'ours_bf16', folder, '_bf16_to_f32')
  if all(name in results for name in NAIVE):
    report |= _against_naive(report, folder)
  return report


def _megabytes(results, name):
  return results[name]['megabytes'] if name in results else None


def _against_naive(report, folder):
  """Ratios to the better of the naive forms, differences from it."""
  best = min(NAIVE, key=lambda name: report[f'{name}_s'])
  return {
    'naive_best': best,
    'naive_s': report[f'{best}_s'],
    'naive_extra_mb': report[f'{best}_extra_mb'],
    'speedup_f32': report[f'{best}_s'] / report['ours_f32_s'],
    'speedup_bf16': report[f'{best}_s'] / report['ours_bf16_s'],
    'memory_ratio': report[f'{best}_extra_mb'] / report['ours_extra_mb'],
    **_differences(best, 'ours_f32', folder, ''),
    **_differences(best, 'ours_bf16', folder, '_bf16'),
  }


def _differences(reference, name, folder, ending):
  """How far a candidate's loss and gradients are from another's."""
  first, second = (
    list(np.load(pathlib.Path(folder) / f'{x}.npz').values())
    for x in (reference, name)
  )
  gradients = [
    np.linalg.norm(a - b) / np.linalg.norm(a)
    for a, b in zip(first[1:], second[1:], strict=True)
  ]
  return {
    f'loss_diff{ending}': float(abs(first[0] - second[0]) / abs(first[0])),
    f'grad_rel_diff{ending}': float(max(gradients)),
  }


def _text(report):
  """The figures, one a line."""
  lines = []
  for key, value in report.items():
    shown = f'{value:.4g}' if isinstance(value, float) else value
    lines.append(f'{key:26}{"not run: too large" if value is None else shown}')
  return '\n'.join(lines)
