"""Judges a trained run on the split its experiment names.

python -m deeplab_contrast.eval --model_dir=runs/a

Prints IoU per class and their mean, and writes `runs/a/eval/results.json`. Of a
contrastive pretraining it judges the features instead, see `embedding_judge`,
and writes `runs/a/embedding/results.json`.
"""

from deeplab_contrast import launch


def main(launched):
  """Restores the newest checkpoint, scores it, and writes the result.

  Args:
    launched: the `launch.Launch` of this process.
  """
  experiment, model_dir = launched.experiment, launched.model_dir
  step = experiment.restore(
    launched.strategy, model_dir, needs_classes=experiment.classifies
  )
  scores = experiment.evaluate(launched.strategy)
  print(experiment.report(model_dir, step, scores))


if __name__ == '__main__':
  launch.run(main)
