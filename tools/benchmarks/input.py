"""Our input pipeline, two common alternatives, and decoding alone.

Every candidate runs in its own process and delivers batches of the same
images in the same order, as float32 [batch, 2, 513, 513, 3] and int32 labels:
random scale 0.5 to 2, pad, crop, flip, and a colour-distorted copy (jitter of
strength 1 with probability 0.8, then gray with 0.2).

- keras: tf.data with keras-cv layers for the colours. Neither keras-cv nor
  Keras can scale and crop an image with its mask without losing the ignore
  label, so scale, pad and crop are tf.image and TensorFlow ops there.
- albumentations: OpenCV in 2 worker processes, which fill float32 batches in
  shared memory. Its 8-bit colours are less work than float32 ones.
- decode_only: the same JPEG and PNG bytes, decoded and discarded.
- ours_softmax: our pipeline of softmax training, one view.
"""

import argparse
import io
import json
import os
import pathlib
import subprocess
import sys
import time

import numpy as np

from deeplab_contrast.utils.arguments import positive

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = ROOT / 'tools' / 'benchmark.py'
RAW_DIR = ROOT.parent / 'shared' / 'data' / 'VOCdevkit'
CANDIDATES = ('decode_only', 'ours', 'ours_softmax', 'keras', 'albumentations')
CROP = 513
WORKERS = 2
STRENGTH = 1.0


def add_command(commands):
  """Adds `input` to the subparsers of an argparse parser."""
  parser = commands.add_parser('input', help='the input pipeline')
  parser.add_argument(
    '--raw_dir',
    default=str(RAW_DIR),
    help='VOCdevkit, or its VOC2012: JPEGImages and SegmentationClassAug or '
    f'SegmentationClass (default: {RAW_DIR})',
  )
  for name, value, text in (
    ('batch', 4, 'images per batch'),
    ('images', 240, 'different images'),
    ('count', 480, 'images that are timed, per round'),
    ('rounds', 2, 'number of rounds, of which the best counts'),
  ):
    parser.add_argument(f'--{name}', type=positive, default=value, help=text)
  parser.add_argument('--json', action='store_true', help='print JSON only')
  # Passed to the processes of this benchmark.
  parser.add_argument('--candidate', help=argparse.SUPPRESS)
  parser.set_defaults(run=run)


def run(arguments):
  """Measures all candidates, or (in their processes) one."""
  if arguments.candidate:
    return _measure(arguments)
  _pairs(arguments.raw_dir, 1)  # Reports at once what is missing.
  speeds = {}
  for name in CANDIDATES:
    if name == 'albumentations' and not _has_albumentations():
      print(
        'albumentations is not installed: pip install -e ".[bench]"',
        file=sys.stderr,
      )
      speeds[name] = None
    else:
      speeds[name] = _start(name, arguments)
  report = _report(speeds, arguments)
  print(json.dumps(report, indent=2) if arguments.json else _text(report))
  return 0


def _report(speeds, arguments):
  """All figures by name; None where a peer could not run."""
  ours = speeds['ours']
  alb = speeds['albumentations']
  return {
    **{f'{name}_ips': speeds[name] for name in CANDIDATES},
    'ours_to_keras': ours / speeds['keras'],
    'ours_to_albumentations': ours / alb if alb else None,
    'decode_only_to_ours_softmax': (
      speeds['decode_only'] / speeds['ours_softmax']
    ),
    'decode_only_to_ours': speeds['decode_only'] / ours,
    'crop': CROP,
    'batch': arguments.batch,
    'cpus': len(os.sched_getaffinity(0)),
  }


def _text(report):
  lines = []
  for key, value in report.items():
    shown = f'{value:.4g}' if isinstance(value, float) else value
    lines.append(f'{key:30}{"not installed" if value is None else shown}')
  return '\n'.join(lines)


def _has_albumentations():
  from importlib import util

  return all(util.find_spec(name) for name in ('albumentations', 'cv2'))


def _start(name, arguments):
  """Measures one candidate in its own process: images per second."""
  command = [sys.executable, str(SCRIPT), 'input', f'--candidate={name}']
  for key in ('raw_dir', 'batch', 'images', 'count', 'rounds'):
    command.append(f'--{key}={getattr(arguments, key)}')
  quiet = {'TF_CPP_MIN_LOG_LEVEL': '3', 'CUDA_VISIBLE_DEVICES': ''}
  done = subprocess.run(
    command,
    env={**os.environ, **quiet, 'NO_ALBUMENTATIONS_UPDATE': '1'},
    capture_output=True,
    text=True,
    check=False,
  )
  if done.returncode:
    last = done.stderr.strip().splitlines()[-1:] or [f'code {done.returncode}']
    sys.exit(f'error: {name} failed: {last[0]}')
  return json.loads(done.stdout.splitlines()[-1])


def _measure(arguments):
  """Inside that process: images per second of a candidate."""
  from tools.benchmarks import input_candidates

  examples = read(arguments.raw_dir, arguments.images)
  candidate = getattr(input_candidates, arguments.candidate)
  batches = candidate(examples, arguments.batch)
  # The first pass over all images is not timed: it compiles and grows buffers.
  for _ in range(-(-arguments.images // arguments.batch)):
    next(batches)
  best = 0.0
  steps = -(-arguments.count // arguments.batch)
  for _ in range(arguments.rounds):
    start = time.perf_counter()
    for _ in range(steps):
      next(batches)
    seconds = time.perf_counter() - start
    best = max(best, steps * arguments.batch / seconds)
  batches.close()
  print(json.dumps(best))
  return 0


def read(raw_dir, count):
  """Examples as sources give them: encoded image, label of ids, name."""
  from PIL import Image

  examples = []
  for image, mask in _pairs(raw_dir, count):
    # As prepared datasets store labels: ids in one channel.
    stored = io.BytesIO()
    Image.fromarray(np.array(Image.open(mask))).save(stored, 'PNG')
    examples.append(
      {
        'image': image.read_bytes(),
        'label': stored.getvalue(),
        'id': image.stem.encode(),
      }
    )
  return examples


def _pairs(raw_dir, count):
  """The first `count` (image, mask) paths by name; exits if there are none."""
  root = pathlib.Path(raw_dir)
  if (root / 'VOC2012').is_dir():
    root = root / 'VOC2012'
  for folder in ('SegmentationClassAug', 'SegmentationClass'):
    masks = sorted((root / folder).glob('*.png'))
    if masks:
      break
  else:
    sys.exit(
      f'error: there are no VOC masks in {root}: give the folder VOCdevkit '
      'with --raw_dir.'
    )
  pairs = [(root / 'JPEGImages' / f'{m.stem}.jpg', m) for m in masks[:count]]
  for image, _ in pairs:
    if not image.exists():
      sys.exit(f'error: {image} is missing.')
  return pairs
