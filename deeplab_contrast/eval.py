"""Judges a trained run on the split its experiment names.

python -m deeplab_contrast.eval --model_dir=runs/a

Prints IoU per class and their mean, and writes `runs/a/eval/results.json`.
"""

from deeplab_contrast import launch


def main(launched):
  """Restores the newest checkpoint, scores it, and writes the result.

  Args:
    launched: the `launch.Launch` of this process.
  """
  from deeplab_contrast.utils import results

  experiment = launched.experiment
  step = experiment.restore(launched.strategy, launched.model_dir)
  scores = experiment.evaluate(launched.strategy)
  info = experiment.eval_source.info
  result = results.write(launched.model_dir, step, scores, info)
  print(f'{info.name}, step {step}, {result["pixels"]} pixels')
  print(results.per_class_table(result))


if __name__ == '__main__':
  launch.run(main)
