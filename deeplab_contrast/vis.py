"""Shows what a trained run predicts: image | truth | prediction.

python -m deeplab_contrast.vis --model_dir=runs/a [--num_images=8]

Writes `runs/a/vis/panels.png` and, for every image shown, `<id>_image.png`,
`<id>_truth.png` and `<id>_prediction.png`.
"""

import os

from deeplab_contrast import launch
from deeplab_contrast.utils import run_files


def main(launched, num_images=8):
  """Predicts images spread evenly over the split and draws them.

  Args:
    launched: the `launch.Launch` of this process.
    num_images: how many.
  """
  import numpy as np

  from deeplab_contrast.inference import pictures

  experiment = launched.experiment
  step = experiment.restore(launched.strategy, launched.model_dir)
  examples = experiment.eval_source.open(experiment.data_dir)
  count = min(num_images, len(examples))
  chosen = np.linspace(0, len(examples) - 1, count).astype(int).tolist()
  folder = os.path.join(launched.model_dir, run_files.VIS)
  path = pictures.draw(experiment, examples, chosen, folder)
  print(f'{count} images at step {step}: {path}')


if __name__ == '__main__':
  from absl import flags

  flags.DEFINE_integer(
    'num_images', 8, 'How many images to show.', lower_bound=0
  )
  launch.run(
    lambda launched: main(launched, flags.FLAGS.num_images),
    needs_model_dir=True,
  )
