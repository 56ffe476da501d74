"""Evaluates a trained run on the split that its experiment names.

python -m deeplab_contrast.eval --model_dir=runs/a [--best]

Prints IoU per class and their mean, and writes `results.json` and the confusion
matrix as CSV and PNG to `runs/a/eval`, with numbers and pictures for
TensorBoard. For a contrastive pretraining it evaluates the features instead,
see `embedding_judge`, and writes `runs/a/embedding/results.json`.

python -m deeplab_contrast.eval --model_dir=runs/a --watch [--timeout=3600]

evaluates every checkpoint of a training that runs elsewhere, until it is done,
and keeps the best one in `runs/a/checkpoints/best`.
"""

from deeplab_contrast import launch


def main(launched: launch.Launch, best: bool = False) -> None:
  """Evaluates one checkpoint; see `run_evaluation.evaluate`.

  Args:
    launched: the `launch.Launch` of this process.
    best: takes the best checkpoint that was kept, not the newest.
  """
  from deeplab_contrast.inference import run_evaluation
  from deeplab_contrast.utils import signals

  with signals.stop_request() as stop:
    run_evaluation.evaluate(
      launched.experiment,
      launched.strategy,
      launched.model_dir or '',
      best,
      stop.poll,
    )


def watch(
  launched: launch.Launch,
  timeout: float | None = None,
  interval: float = 10.0,
) -> None:
  """Evaluates checkpoints as they are written; see `run_evaluation.watch`.

  Args:
    launched: the `launch.Launch` of this process.
    timeout: gives up after this many seconds without a new checkpoint; None
      waits forever.
    interval: seconds between checks for new checkpoints.
  """
  from deeplab_contrast.inference import run_evaluation
  from deeplab_contrast.utils import signals

  with signals.stop_request() as stop:
    run_evaluation.watch(
      launched.experiment,
      launched.strategy,
      launched.model_dir or '',
      timeout,
      interval,
      stop.poll,
    )


if __name__ == '__main__':
  from absl import flags

  flags.DEFINE_bool(
    'best', False, 'Evaluate the best checkpoint, not the newest.'
  )
  flags.DEFINE_bool(
    'watch', False, 'Evaluate checkpoints as they come, and keep the best.'
  )
  flags.DEFINE_float(
    'timeout',
    None,
    'With --watch: give up after this many seconds without a new checkpoint;'
    ' default: never.',
    lower_bound=0,
  )
  flags.DEFINE_float(
    'interval',
    10.0,
    'With --watch: seconds between checks for new checkpoints.',
    lower_bound=0,
  )

  def _command(launched):
    values = flags.FLAGS
    if values.watch:
      return watch(launched, values.timeout, values.interval)
    return main(launched, values.best)

  launch.run(_command, needs_model_dir=True)
