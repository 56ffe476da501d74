"""The exported ResNet-50 DeepLabV3+ against keras-cv's and PyTorch's.

Every candidate runs at every size in its own process: one uint8 image in,
labels of its size out. Weights are random; trained ones cost the same.

- ours_f32, ours_bf16: the SavedModel that export_model writes, loaded with
  TensorFlow alone.
- keras_cv: DeepLabV3Plus on a ResNet-50 in a tf.function, float32, at the
  nearest size that is a multiple of 32. Its network differs: stride 32,
  and x8, x4 upsampling.
- torch_f32, torch_bf16 (autocast): our architecture, layer by layer
  (`torch_deeplab`), in inference mode with channels last.
"""

import argparse
import functools
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np

from deeplab_contrast.utils.arguments import positive

SCRIPT = pathlib.Path(__file__).resolve().parents[1] / 'benchmark.py'
OURS = {'ours_f32': 'float32', 'ours_bf16': 'mixed_bfloat16'}
TORCH = ('torch_f32', 'torch_bf16')
CANDIDATES = (*OURS, 'keras_cv', *TORCH)
CLASSES = 21


def add_command(commands):
  """Adds `predict` to the subparsers of an argparse parser."""
  parser = commands.add_parser('predict', help='prediction of whole images')
  parser.add_argument(
    '--sizes',
    type=_size,
    nargs='+',
    default=[(513, 513), (1025, 2049)],
    metavar='HEIGHTxWIDTH',
    help='of the images (default: 513x513 1025x2049)',
  )
  parser.add_argument(
    '--repeats', type=positive, default=5, help='timed images'
  )
  parser.add_argument('--json', action='store_true', help='print JSON only')
  # Passed to the processes of this benchmark.
  parser.add_argument('--candidate', help=argparse.SUPPRESS)
  parser.add_argument('--folder', help=argparse.SUPPRESS)
  parser.add_argument('--write', action='store_true', help=argparse.SUPPRESS)
  parser.set_defaults(run=run)


def run(arguments):
  """Measures all candidates, or (in their processes) one."""
  if arguments.write:
    return _write(arguments)
  if arguments.candidate:
    return _measure(arguments)
  names = [n for n in CANDIDATES if n not in TORCH or _has_torch()]
  if len(names) < len(CANDIDATES):
    print('torch is not installed: pip install -e ".[bench]"', file=sys.stderr)
  sizes = {}
  with tempfile.TemporaryDirectory() as folder:
    for name in OURS:
      _start(name, folder, arguments, arguments.sizes[0], '--write')
    for size in arguments.sizes:
      sizes[_name(size)] = {
        name: _start(name, folder, arguments, size) for name in names
      }
  report = _report(sizes)
  print(json.dumps(report, indent=2) if arguments.json else _text(report))
  return 0


def _size(text):
  sides = [positive(side) for side in text.split('x')]
  if len(sides) != 2:
    raise argparse.ArgumentTypeError(f'{text!r} is not HEIGHTxWIDTH')
  return tuple(sides)


def _name(size):
  return 'x'.join(map(str, size))


def _has_torch():
  from importlib import util

  return util.find_spec('torch') is not None


def _report(sizes):
  """Figures of the first size by name, and those of all below 'sizes'."""
  flat = {
    size: {
      f'{name}_{key}': (found.get(name) or {}).get(key)
      for name in CANDIDATES
      for key in ('ips', 'peak_mb', 'parameters')
    }
    for size, found in sizes.items()
  }
  for of in flat.values():
    ours = of['ours_f32_ips']
    of['ours_to_keras_cv'] = ours / of['keras_cv_ips']
    torch = of['torch_f32_ips']
    of['ours_to_torch'] = ours / torch if torch else None
  first = next(iter(flat.values()))
  return {**first, 'sizes': flat, 'cpus': len(os.sched_getaffinity(0))}


def _text(report):
  lines = []
  for size, figures in report['sizes'].items():
    lines.append(size)
    for key, value in figures.items():
      shown = f'{value:.4g}' if isinstance(value, float) else value
      lines.append(f'  {key:28}{"not installed" if value is None else shown}')
  return '\n'.join(lines)


def _start(name, folder, arguments, size, *more):
  """Measures one candidate in its own process."""
  command = [sys.executable, str(SCRIPT), 'predict', f'--candidate={name}']
  command += [f'--repeats={arguments.repeats}', f'--folder={folder}', *more]
  quiet = {'TF_CPP_MIN_LOG_LEVEL': '3', 'CUDA_VISIBLE_DEVICES': ''}
  done = subprocess.run(
    [*command, '--sizes', _name(size)],
    env={**os.environ, **quiet},
    capture_output=True,
    text=True,
    check=False,
  )
  if done.returncode:
    last = done.stderr.strip().splitlines()[-1:] or [f'code {done.returncode}']
    sys.exit(f'error: {name} failed: {last[0]}')
  return json.loads(done.stdout.splitlines()[-1])


def _write(arguments):
  """Inside its own process: exports our network."""
  import keras

  from deeplab_contrast.core.network import folding, heads, model, resnet_v1
  from deeplab_contrast.export import formats, serving
  from deeplab_contrast.inference import predictor

  keras.mixed_precision.set_global_policy(OURS[arguments.candidate])
  trunk = model.Trunk(resnet_v1.ResNetV1('resnet_v1_50_beta'))
  network = model.DeepLab(trunk, heads.Classifier(CLASSES))
  network.build_variables()
  with folding.folded(network):
    frozen = serving.Serving(network, predictor.Predictor()).frozen()
  folder = pathlib.Path(arguments.folder) / arguments.candidate
  formats.write_saved_model(frozen, {}, str(folder))
  count = sum(w.shape.num_elements() for w in network.trainable_weights)
  (folder / 'parameters').write_text(str(count))
  print(json.dumps(count))
  return 0


def _measure(arguments):
  """Inside its own process: the best speed of a candidate, and its memory."""
  candidate = {
    'ours_f32': _ours,
    'ours_bf16': _ours,
    'keras_cv': _keras_cv,
    'torch_f32': functools.partial(_torch, is_half=False),
    'torch_bf16': functools.partial(_torch, is_half=True),
  }[arguments.candidate]
  size = arguments.sizes[0]
  predict, size, parameters = candidate(arguments, size)
  images = np.random.default_rng(0).integers(0, 256, (1, *size, 3), np.uint8)
  best = float('inf')
  predict(images)  # Compiles; not timed.
  for _ in range(arguments.repeats):
    start = time.perf_counter()
    labels = predict(images)
    best = min(best, time.perf_counter() - start)
  if labels.shape != (1, *size):
    sys.exit(f'error: labels of {labels.shape} for an image of {size}')
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
  print(
    json.dumps({'ips': 1 / best, 'peak_mb': peak, 'parameters': parameters})
  )
  return 0


def _ours(arguments, size):
  import tensorflow as tf

  folder = pathlib.Path(arguments.folder) / arguments.candidate
  module = tf.saved_model.load(str(folder))
  function = module.signatures['labels']

  def predict(images):
    assert module  # Keeps its functions alive.
    outputs = function(ImageTensor=tf.constant(images))
    return outputs['SemanticPredictions'].numpy()

  return predict, size, int((folder / 'parameters').read_text())


def _keras_cv(arguments, size):
  del arguments
  import tensorflow as tf
  from keras_cv import models

  # ResNet50Backbone would download its settings.
  backbone = models.ResNetBackbone(
    stackwise_filters=(64, 128, 256, 512),
    stackwise_blocks=(3, 4, 6, 3),
    stackwise_strides=(1, 2, 2, 2),
    include_rescaling=True,
  )
  network = models.DeepLabV3Plus(num_classes=CLASSES, backbone=backbone)

  @tf.function
  def labels(images):
    outputs = network(tf.cast(images, tf.float32), training=False)
    return tf.argmax(outputs, -1, output_type=tf.int32)

  size = tuple(max(32, round(side / 32) * 32) for side in size)
  count = sum(w.shape.num_elements() for w in network.trainable_weights)
  return lambda images: labels(tf.constant(images)).numpy(), size, count


def _torch(arguments, size, is_half):
  del arguments
  import torch

  from tools.benchmarks import torch_deeplab

  network = torch_deeplab.DeepLab(CLASSES).eval()
  network = network.to(memory_format=torch.channels_last)

  def predict(images):
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2)
    with (
      torch.inference_mode(),
      torch.autocast('cpu', torch.bfloat16, enabled=is_half),
    ):
      return network(pixels).numpy()

  count = sum(p.numel() for p in network.parameters())
  return predict, size, count
