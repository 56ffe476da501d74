"""Shows what a trained run predicts: image | truth | prediction.

python -m deeplab_contrast.vis --model_dir=runs/a [--num_images=8]

Writes `runs/a/vis/panels.png` and, for every image shown, `<id>_image.png`,
`<id>_truth.png` and `<id>_prediction.png`.
"""

import os

from deeplab_contrast import launch
from deeplab_contrast.utils import run_files


def main(launched: launch.Launch, num_images: int = 8) -> None:
  """Draws predictions of images that are spread evenly over the split.

  Args:
    launched: the `launch.Launch` of this process.
    num_images: how many.
  """
  from deeplab_contrast.inference import pictures, whole_images

  experiment = launched.experiment
  step = experiment.restore(launched.strategy, launched.model_dir)
  examples = experiment.eval_source.open(experiment.data_dir)
  chosen = whole_images.spread(len(examples), num_images)
  folder = os.path.join(launched.model_dir or '', run_files.VIS)
  path = pictures.draw(experiment, examples, chosen, folder)
  print(f'{len(chosen)} images at step {step}: {path}')


if __name__ == '__main__':
  from absl import flags

  flags.DEFINE_integer(
    'num_images', 8, 'How many images to show.', lower_bound=0
  )
  launch.run(
    lambda launched: main(launched, flags.FLAGS.num_images),
    needs_model_dir=True,
  )
