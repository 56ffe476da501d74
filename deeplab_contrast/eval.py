"""Judges a trained run on the split its experiment names.

python -m deeplab_contrast.eval --model_dir=runs/a [--best]

Prints IoU per class and their mean, and writes `results.json` and the confusion
matrix as CSV and PNG to `runs/a/eval`, with numbers and pictures for
TensorBoard. Of a contrastive pretraining it judges the features instead, see
`embedding_judge`, and writes `runs/a/embedding/results.json`.

python -m deeplab_contrast.eval --model_dir=runs/a --watch [--timeout=3600]

judges every checkpoint of a training that goes on elsewhere, until it is done,
and keeps the best one in `runs/a/checkpoints/best`.
"""

import contextlib
import os

from deeplab_contrast import launch
from deeplab_contrast.utils import run_files


def main(launched, best=False):
  """Restores one checkpoint, scores it, and writes the result.

  Args:
    launched: the `launch.Launch` of this process.
    best: takes the best checkpoint that was kept, not the newest.
  """
  from deeplab_contrast.training import best as best_lib
  from deeplab_contrast.utils import signals

  experiment, model_dir = launched.experiment, launched.model_dir
  path = best_lib.path_of(model_dir) if best else None
  step = experiment.restore(
    launched.strategy, model_dir, path, needs_classes=experiment.classifies
  )
  with signals.stop_request() as stop:
    if not experiment.classifies:
      scores = experiment.evaluate(launched.strategy, stop.poll)
      print(experiment.report_embedding(model_dir, step, scores))
      return
    with _writer(model_dir) as writer:
      _judge(launched, step, writer, stop.poll)


def watch(launched, timeout=None, interval=10.0):
  """Judges checkpoints as they come, until the training is done.

  Args:
    launched: the `launch.Launch` of this process.
    timeout: gives up when nothing came for so many seconds; None never does.
    interval: seconds between two looks.

  Raises:
    BusyError: another process watches this run.
    SystemFault: after `timeout`.
  """
  from deeplab_contrast.training import watching
  from deeplab_contrast.utils import files, locking, signals

  model_dir, experiment = launched.model_dir, launched.experiment
  experiment.check_can_be_judged(model_dir)
  file = os.path.join(model_dir, run_files.EVALUATED)
  judged = files.read_json(file) or {}
  how = experiment.judged_by
  same = judged.get('judged_by') == files.as_json(how)
  known = set(judged['steps'] if same else ())
  with (
    locking.model_dir_lock(os.path.join(model_dir, run_files.EVAL)),
    signals.stop_request() as stop,
    _writer(model_dir) as writer,
  ):
    for path in watching.new_checkpoints(
      model_dir, known, stop.poll, timeout, interval
    ):
      _judge_and_keep(launched, path, writer, stop.poll)
      steps = {'judged_by': how, 'steps': sorted(known)}
      files.write_json(file, steps)
  print(f'{model_dir} is done; all of its checkpoints are judged.')


def _judge_and_keep(launched, path, writer, poll):
  """Judges a checkpoint that may be removed or damaged meanwhile."""
  from deeplab_contrast.training import best
  from deeplab_contrast.utils import errors

  model_dir = launched.model_dir
  with best.held(model_dir, path) as held:
    if held is None:
      print(f'{path} was removed before it was judged.', flush=True)
      return
    try:
      step = launched.experiment.restore(launched.strategy, model_dir, held)
    except errors.SystemFault as error:
      print(f'{path} is left out: {error}', flush=True)
      return
    scores = _judge(launched, step, writer, poll)
    if best.keep(model_dir, held, scores):
      print(f'The best so far: step {step}.', flush=True)


def _judge(launched, step, writer, poll):
  """Scores the restored model; writes and prints the result."""
  from deeplab_contrast.inference import confusion_picture
  from deeplab_contrast.training import writers
  from deeplab_contrast.utils import results, tables

  experiment = launched.experiment
  scores = experiment.judge(launched.strategy, poll)
  shown = scores.pop(writers.SHOWN)
  info = experiment.eval_source.info
  result = results.write(launched.model_dir, step, scores, info)
  confusion_picture.write(launched.model_dir, result)
  split = result['judged_by']['split']
  numbers = {**results.numbers(scores), **results.numbers(shown)}
  seen = {k: v for k, v in shown.items() if k not in numbers}
  writer.write(step, split, numbers, seen)
  print(f'{info.name} {split}, step {step}, {result["pixels"]} pixels')
  print(tables.per_class_table(result), flush=True)
  return scores


def _writer(model_dir):
  """Appends to `eval/metrics.jsonl` and `eval/tensorboard`."""
  from deeplab_contrast.training import writers

  folder = os.path.join(model_dir, run_files.EVAL)
  # Not the files of the training, which may be writing them.
  return contextlib.closing(writers.MetricWriter(folder, step=None))


if __name__ == '__main__':
  from absl import flags

  flags.DEFINE_bool('best', False, 'Judge the best checkpoint, not the newest.')
  flags.DEFINE_bool(
    'watch', False, 'Judge every checkpoint as it comes, and keep the best.'
  )
  flags.DEFINE_float(
    'timeout',
    None,
    'With --watch: give up after so many seconds without a new checkpoint;'
    ' default: never.',
    lower_bound=0,
  )
  flags.DEFINE_float(
    'interval', 10.0, 'With --watch: seconds between two looks.', lower_bound=0
  )

  def _command(launched):
    values = flags.FLAGS
    if values.watch:
      return watch(launched, values.timeout, values.interval)
    return main(launched, values.best)

  launch.run(_command, needs_model_dir=True)
