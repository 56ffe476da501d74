"""The contrastive losses against the usual implementation.

Every candidate runs in its own process, so that its peak memory is its own. All
get the same features and labels, and their losses and gradients are
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

from deeplab_contrast.utils.arguments import positive, share

TEMPERATURE = 0.07
CHANNELS = 256
SCRIPT = pathlib.Path(__file__).resolve().parents[1] / 'benchmark.py'
NAIVE = ('naive_graph', 'naive_jit')
OURS = ('ours_f32', 'ours_bf16')


def add_command(commands):
  """Adds `loss` to the subparsers of an argparse parser."""
  parser = commands.add_parser('loss', help='the contrastive losses')
  parser.add_argument(
    '--pixels', type=positive, default=65, help='side of the map'
  )
  parser.add_argument('--batch', type=positive, default=4, help='images')
  parser.add_argument(
    '--loss',
    choices=['released', 'within', 'batch'],
    default='released',
    help="the authors' code's form of one view (default), the paper's eq. 1, "
    'or eq. 1 over all pixels of the batch',
  )
  parser.add_argument(
    '--padding',
    type=share,
    default=0.0,
    help='share of the rows that are padding, as in crops of small images',
  )
  parser.add_argument('--repeats', type=positive, default=5, help='timed calls')
  parser.add_argument('--json', action='store_true', help='print JSON only')
  # Passed to the processes of this benchmark.
  parser.add_argument('--candidate', help=argparse.SUPPRESS)
  parser.add_argument('--folder', help=argparse.SUPPRESS)
  parser.set_defaults(run=run)


def run(arguments):
  """Measures all candidates, or (in their processes) one."""
  if arguments.candidate:
    return _measure(arguments)
  with tempfile.TemporaryDirectory() as folder:
    np.savez(pathlib.Path(folder) / 'inputs', **_inputs(arguments))
    names = [*_gemms(arguments), *OURS]
    if _naive_gigabytes(arguments) < 0.9 * _available_gigabytes():
      names += NAIVE
    results = {name: _start(name, folder, arguments) for name in names}
    report = _report(results, folder, arguments)
  print(json.dumps(report, indent=2) if arguments.json else _text(report))
  return 0


def _inputs(arguments):
  """Two views of unit features, and labels: blobs with void between them."""
  rng = np.random.default_rng(0)
  side, batch = arguments.pixels, arguments.batch
  cells = rng.integers(0, 5, (batch, 8, 8))
  cells[:, 3, 2:6] = 255
  index = np.arange(side) * 8 // side
  labels = cells[:, index][:, :, index]
  labels[:, round(side * (1 - arguments.padding)) :] = 255
  labels = labels.reshape(batch, -1)
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


def _set_size(arguments):
  """The number of pixels that are compared with each other."""
  images = arguments.batch if arguments.loss == 'batch' else 1
  return images * arguments.pixels**2


def _pairs(arguments):
  """The number of pairs of pixels that are compared."""
  sets = 1 if arguments.loss == 'batch' else arguments.batch
  return sets * _set_size(arguments) ** 2


def _pairs_that_count(folder):
  """The number of pairs of labelled pixels that are compared."""
  with np.load(pathlib.Path(folder) / 'inputs.npz') as arrays:
    counts = np.sum(arrays['labels'] != 255, axis=1, dtype=np.int64)
  return int(np.sum(counts**2))


def _gemms(arguments):
  """Names of plain products: of all rows of a set, and of some, if they fit."""
  return [f'gemm_{r}' for r in (256, 1024, min(_set_size(arguments), 20_000))]


def _naive_gigabytes(arguments):
  """Gigabytes of about ten float32 matrices of all pairs."""
  return 10 * 4 * _pairs(arguments) / 1e9


def _available_gigabytes():
  return os.sysconf('SC_AVPHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 1e9


def _start(name, folder, arguments):
  """Measures one candidate in its own process."""
  command = [sys.executable, str(SCRIPT), 'loss', f'--candidate={name}']
  for key in ('pixels', 'batch', 'loss', 'padding', 'repeats'):
    command.append(f'--{key}={getattr(arguments, key)}')
  done = subprocess.run(
    [*command, f'--folder={folder}'],
    env={**os.environ, 'TF_CPP_MIN_LOG_LEVEL': '3', 'CUDA_VISIBLE_DEVICES': ''},
    capture_output=True,
    text=True,
    check=False,
  )
  if done.returncode:
    last = done.stderr.strip().splitlines()[-1:] or [f'code {done.returncode}']
    sys.exit(f'error: {name} failed: {last[0]}')
  return json.loads(done.stdout.splitlines()[-1])


def _measure(arguments):
  """Inside that process: times a candidate, stores loss and gradients."""
  import tensorflow as tf

  folder = pathlib.Path(arguments.folder)
  with np.load(folder / 'inputs.npz') as arrays:
    inputs = [tf.constant(arrays[k]) for k in ('anchors', 'contrast', 'labels')]
  step = _candidate(arguments, tf)
  before = _reset_peak()
  seconds = []
  for _ in range(arguments.repeats + 1):
    start = time.perf_counter()
    outputs = step(*inputs)
    float(tf.reshape(outputs[0], [-1])[0])  # Waits for the step.
    seconds.append(time.perf_counter() - start)
    # The outputs are not extra memory.
    returned = sum(4 * x.shape.num_elements() for x in outputs) / 1e6
    if len(seconds) <= arguments.repeats:
      del outputs
  megabytes = _peak() - before - returned
  if not arguments.candidate.startswith('gemm'):
    np.savez(folder / arguments.candidate, *(x.numpy() for x in outputs))
  seconds = seconds[1:]  # The first step traces and compiles.
  print(json.dumps({'seconds': np.median(seconds), 'megabytes': megabytes}))
  return 0


def _candidate(arguments, tf):
  """A compiled function from the inputs to the loss and its gradients."""
  name = arguments.candidate
  if name.startswith('gemm'):
    # One of the three products over all pairs of a set, or over `rows` of its
    # rows: scores times features, the fastest of the three here.
    rows = int(name.partition('_')[2])
    scores = tf.random.stateless_uniform([rows, _set_size(arguments)], (0, 0))
    return tf.function(
      lambda _a, contrast, _l: [tf.matmul(scores, contrast[0])], autograph=False
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

  from deeplab_contrast.core.losses import pair_kernel, pair_tile

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
  """Resets the peak of this process's memory; returns its current use."""
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
  gemm = _fastest_product(results, arguments)
  ours = 3 * 2 * CHANNELS * _pairs_that_count(folder)
  ours /= results['ours_f32']['seconds']
  report = {
    'loss': arguments.loss,
    'pixels': arguments.pixels,
    'batch': images,
    'padding': arguments.padding,
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


def _fastest_product(results, arguments):
  """Operations per second of the fastest plain matmul."""
  pixels, speeds = _set_size(arguments), []
  for name, result in results.items():
    kind, _, rows = name.partition('_')
    if kind == 'gemm':
      operations = 2 * CHANNELS * min(int(rows), pixels) * pixels
      speeds.append(operations / result['seconds'])
  return max(speeds)


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
