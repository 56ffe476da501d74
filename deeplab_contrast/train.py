"""Trains one experiment.

python -m deeplab_contrast.train --gin_file=gin_configs/... --model_dir=runs/a

Started again, it goes on from its newest checkpoint. With `--model_dir` alone
it goes on with the experiment stored there.
"""

from deeplab_contrast import launch
from deeplab_contrast.utils import processor


def main(launched):
  """Trains until the last step, then judges the result.

  Args:
    launched: the `launch.Launch` of this process.
  """
  from deeplab_contrast.inference import run_evaluation
  from deeplab_contrast.training import writers
  from deeplab_contrast.utils import results

  model_dir, experiment = launched.model_dir, launched.experiment
  with launch.prepare_model_dir(launched):
    if results.is_done(model_dir):
      print(f'{model_dir} is already complete; nothing to do.')
      return
    if not launched.workers.is_chief:  # Which writes for all.
      experiment.fit(launched.strategy, model_dir)
      return
    print(f'Machine: {processor.describe()}.', flush=True)
    if experiment.crop_note:
      print(experiment.crop_note, flush=True)
    writers.write_config(model_dir, launched.config)
    steps = experiment.trainer.steps
    scores = experiment.fit(launched.strategy, model_dir)
    if scores is not None:
      print(run_evaluation.report(experiment, model_dir, steps, scores))
    results.write_done(model_dir, steps)
    print(f'Done: {model_dir}')


if __name__ == '__main__':
  launch.run(main, takes_workers=True)
