"""A real training with its input, and the evaluation of what it has trained.

- images_per_second: of the training, over all lines of its log but the first.
- data_wait: the share of that time in which the step waited for data.
- evaluation_to_forward: the speed of evaluation (with reading, padding and
  counting) over that of the network alone on the same batches.
- labelling_to_forward: the same for pseudo-labelling, without its files.
"""

import json
import os
import statistics
import sys
import tempfile
import time

from deeplab_contrast.utils.arguments import positive

_GIN_FILE = 'gin_configs/scenes/softmax_scratch.gin'
_LINES = 6


def add_command(commands):
  """Adds `run` to the subparsers of an argparse parser."""
  parser = commands.add_parser('run', help='a real training and evaluation')
  parser.add_argument(
    '--gin_file', default=_GIN_FILE, help=f'default: {_GIN_FILE}'
  )
  parser.add_argument('--gin_bindings', action='append', default=[])
  parser.add_argument('--data_dir', help="prepared datasets; default: TFDS's")
  parser.add_argument('--steps', type=positive, default=60, help='of training')
  parser.add_argument('--json', action='store_true', help='print JSON only')
  parser.set_defaults(run=run)


def run(arguments):
  """Trains, evaluates, and prints the figures."""
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
  bindings = [
    *arguments.gin_bindings,
    f'STEPS = {arguments.steps}',
    f'LOG_EVERY = {max(1, arguments.steps // _LINES)}',
    f'SAVE_EVERY = {arguments.steps}',
    'EVAL_EVERY = 0',
  ]
  with tempfile.TemporaryDirectory() as folder:
    report = _measure(arguments, bindings, folder)
  if arguments.json:
    print(json.dumps(report, indent=2))
  else:
    for key, value in report.items():
      shown = f'{value:.4g}' if isinstance(value, float) else value
      print(f'{key:26}{"-" if value is None else shown}')
  return 0


def _measure(arguments, bindings, folder):
  import tensorflow as tf

  from deeplab_contrast import launch
  from deeplab_contrast.utils import metrics

  settings = {'data_dir': arguments.data_dir} if arguments.data_dir else {}
  built = launch.parse([arguments.gin_file], bindings, settings=settings)
  experiment, strategy = built.root, tf.distribute.get_strategy()
  output, sys.stdout = sys.stdout, sys.stderr
  try:
    experiment.eval_source, source = None, experiment.eval_source
    experiment.embedding_judge = None
    experiment.fit(strategy, folder)
  finally:
    sys.stdout = output
  lines = [x for x in metrics.read(folder) if 'images_per_second' in x][1:]
  experiment.eval_source = source
  return {
    'gin_file': arguments.gin_file,
    'batch': experiment.trainer.batch_size,
    **{
      key: statistics.median(line[key] for line in lines)
      for key in ('images_per_second', 'data_wait')
    },
    **(_evaluation(experiment, strategy) if experiment.classifies else {}),
    'cpus': len(os.sched_getaffinity(0)),
  }


def _evaluation(experiment, strategy):
  """Images per second of evaluation, pseudo-labelling and the network."""
  import numpy as np

  from deeplab_contrast.inference import (
    class_thresholds,
    evaluation,
    whole_images,
  )

  examples = experiment.eval_source.open(experiment.data_dir)
  judge = evaluation.Evaluation(experiment, strategy, examples)
  size = experiment.evaluator.batch_size
  batch = next(iter(judge.batches()))['image']
  predictor = experiment.evaluator.predictor
  forward = _forward(experiment.model, predictor)
  whole = whole_images.of(experiment, examples, size, labels=False)
  thresholds = np.full(examples.info.num_classes, 0.8, np.float32)
  predict = class_thresholds.make_predict(
    experiment.model, predictor, thresholds
  )
  count = min(len(examples), 8 * size)

  def label():
    for _ in whole.predict(predict, range(count), size):
      pass

  limited = len(examples)
  if experiment.evaluator.limit:
    limited = min(limited, experiment.evaluator.limit)
  rates = _rates(
    {
      'forward': (lambda: forward(batch), size),
      'evaluation': (judge.scores, limited),
      'labelling': (label, count),
    }
  )
  return {
    **{f'{name}_images_per_second': rate for name, rate in rates.items()},
    'evaluation_to_forward': rates['evaluation'] / rates['forward'],
    'labelling_to_forward': rates['labelling'] / rates['forward'],
  }


def _forward(model, predictor):
  """The passes of a predictor through the network, and nothing else."""
  import tensorflow as tf

  from deeplab_contrast.core import resize

  passes = 2 if predictor.flip else 1

  @tf.function
  def forward(images):
    outputs = [
      model(resize.by_factor(images, scale), training=False)
      for scale in predictor.scales
      for _ in range(passes)
    ]
    return [x[0, 0, 0, 0] for x in outputs]

  return forward


def _rates(works, rounds=4):
  """Images per second at best of {name: (function, images)}, in turn."""
  best = {}
  for turn in range(rounds):
    for name, (work, images) in works.items():
      start = time.perf_counter()
      work()
      rate = images / (time.perf_counter() - start)
      if turn:  # The first turn compiles.
        best[name] = max(best.get(name, 0.0), rate)
  return best
