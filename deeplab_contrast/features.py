"""Writes features of single val pixels, the same number of each class.

python -m deeplab_contrast.features --model_dir=runs/a [--pixels_per_class=200]

They are the input of the head: of the classifier, or of the projection of a
contrastive pretraining. `runs/a/features/penultimate.npz` holds `features`
float32 [n, d], `labels` int32 [n], `ids` of their images, `positions` on the
feature grid, and the `step` of the weights; no pickles. The same command writes
the same bytes, and takes the same pixels for all runs of one stride and scale.
TensorBoard's projector shows them, `--logdir runs/a`.
"""

import os

from deeplab_contrast import launch
from deeplab_contrast.utils import run_files


def main(
  launched: launch.Launch, pixels_per_class: int = 200, images: int = 100
) -> None:
  """Collects the features and writes them.

  Args:
    launched: the `launch.Launch` of this process.
    pixels_per_class: how many pixels of each class.
    images: from how many images, spread evenly over the split.

  Raises:
    ConfigError: the run has no split to evaluate on, or no features.
    SystemFault: the file cannot be written.
  """
  import numpy as np

  from deeplab_contrast.inference import (
    pixel_features,
    projector,
    whole_images,
  )
  from deeplab_contrast.utils import errors

  experiment, model_dir = launched.experiment, launched.model_dir or ''
  if experiment.eval_source is None:
    raise errors.ConfigError(
      f'The experiment of {model_dir} has no eval_source to take images from; '
      'bind experiment.Experiment.eval_source.'
    )
  step = experiment.restore(launched.strategy, model_dir, needs_classes=False)
  examples = experiment.eval_source.open(experiment.data_dir)
  chosen = whole_images.spread(len(examples), images)
  arrays = pixel_features.collect(
    experiment, examples, chosen, pixels_per_class
  )
  path = os.path.join(model_dir, run_files.FEATURES)
  pixel_features.write(path, {**arrays, 'step': np.int64(step)})
  info = examples.info
  projector.write(model_dir, arrays, info.class_names, info.colors)
  pixels, channels = arrays['features'].shape
  print(
    f'{pixels} pixels with {channels} features from {len(chosen)} images at '
    f'step {step}: {path}'
  )


if __name__ == '__main__':
  from absl import flags

  flags.DEFINE_integer(
    'pixels_per_class', 200, 'How many pixels of each class.', lower_bound=1
  )
  flags.DEFINE_integer(
    'images', 100, 'From how many images of the split.', lower_bound=1
  )
  launch.run(
    lambda launched: main(
      launched, flags.FLAGS.pixels_per_class, flags.FLAGS.images
    ),
    needs_model_dir=True,
  )
