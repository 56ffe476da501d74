"""Writes features of single val pixels, as many of each class.

python -m deeplab_contrast.features --model_dir=runs/a [--pixels_per_class=200]

They are what the head takes in: the classifier, or the projection of a
contrastive pretraining. `runs/a/features/penultimate.npz` holds
`features` float32 [n, d], `labels` int32 [n], `ids` of their images,
`positions` on the features' grid, and the `step` of the weights; no pickles.
The same command writes the same bytes, and runs of one stride and scale are
asked about the same pixels. TensorBoard's projector shows them, `--logdir
runs/a`.
"""

import os

from deeplab_contrast import launch
from deeplab_contrast.utils import run_files


def main(launched, pixels_per_class=200, images=100):
  """Collects the features and writes them.

  Args:
    launched: the `launch.Launch` of this process.
    pixels_per_class: how many pixels of each class.
    images: from how many images, spread evenly over the split.

  Raises:
    ConfigError: the run has no split that judges, or no features.
    SystemFault: the file cannot be written.
  """
  import numpy as np

  from deeplab_contrast import experiment as experiment_lib
  from deeplab_contrast.inference import pixel_features, projector

  experiment = launched.experiment
  _check_split(launched)
  step = experiment.restore(
    launched.strategy, launched.model_dir, needs_classes=False
  )
  examples = experiment.eval_source.open(experiment.data_dir)
  count = min(images, len(examples))
  chosen = np.linspace(0, len(examples) - 1, count).astype(int).tolist()
  with experiment_lib.data_errors():
    arrays = pixel_features.collect(
      experiment, examples, chosen, pixels_per_class
    )
  path = os.path.join(launched.model_dir, run_files.FEATURES)
  _write(path, {**arrays, 'step': np.int64(step)})
  info = examples.info
  projector.write(launched.model_dir, arrays, info.class_names, info.colors)
  pixels, channels = arrays['features'].shape
  print(
    f'{pixels} pixels with {channels} features from {count} images at step '
    f'{step}: {path}'
  )


def _check_split(launched):
  from deeplab_contrast.utils import errors

  if launched.experiment.eval_source is None:
    raise errors.ConfigError(
      f'The experiment of {launched.model_dir} has no eval_source, whose '
      'images are looked at; bind experiment.Experiment.eval_source.'
    )


def _write(path, arrays):
  """Writes an .npz in one piece."""
  import numpy as np

  from deeplab_contrast.utils import errors, files

  try:
    with files.replacing(path) as temporary, temporary.open('wb') as file:
      np.savez(file, allow_pickle=False, **arrays)
  except OSError as error:
    raise errors.SystemFault(
      f'Cannot write {path} ({error.strerror}); make room or mend the folder.'
    ) from error


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
