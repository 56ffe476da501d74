"""Trains one experiment.

python -m deeplab_contrast.train --gin_file=gin_configs/... --model_dir=runs/a

Started again, it resumes from its newest checkpoint. With `--model_dir` alone
it resumes the experiment stored there.
"""

from deeplab_contrast import launch
from deeplab_contrast.utils import processor, results, tables


def main(launched: launch.Launch) -> None:
  """Trains until the last step, then evaluates the result.

  Args:
    launched: the `launch.Launch` of this process.
  """
  from deeplab_contrast.training import writers

  experiment = launched.experiment
  with launch.prepare_model_dir(launched) as model_dir:
    if results.is_done(model_dir):
      print(f'{model_dir} is already complete; nothing to do.')
      return
    if not launched.workers.is_chief:  # Only the chief writes.
      experiment.fit(launched.strategy, model_dir)
      return
    print(f'Machine: {processor.describe()}.', flush=True)
    if experiment.crop_note:
      print(experiment.crop_note, flush=True)
    writers.write_config(model_dir, launched.config)
    scores = experiment.fit(launched.strategy, model_dir)
    if scores is not None:
      _report(experiment, model_dir, scores)
    results.write_done(model_dir, experiment.trainer.steps)
    print(f'Done: {model_dir}')


def _report(experiment, model_dir, scores):
  """Writes and prints the scores of the last weights."""
  from deeplab_contrast.inference import confusion_picture
  from deeplab_contrast.training import writers

  steps = experiment.trainer.steps
  if not experiment.classifies:
    print(experiment.report_embedding(model_dir, steps, scores))
    return
  info = experiment.eval_source.info
  stored = {k: v for k, v in scores.items() if k != writers.SHOWN}
  result = results.write(model_dir, steps, stored, info)
  confusion_picture.write(model_dir, result)
  print(tables.per_class_table(result))


if __name__ == '__main__':
  launch.run(main, takes_workers=True)
