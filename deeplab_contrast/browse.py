"""Shows what the network will see: augmented crops and their labels.

python -m deeplab_contrast.browse --gin_file=x.gin [--count=8] [--out=a.png]

Draws the first examples of a run, after all transforms: the image, or both
views of contrastive pretraining; the label; and the label at the resolution of
the loss. Prints the share of each class, of void and of padding. The picture is
`--out`, or `browse/crops.png` in `--model_dir` (or here, without one). Nothing
is trained, and no weights are loaded: INIT may be left out.
"""

import os

from deeplab_contrast import launch
from deeplab_contrast.utils import run_files


def main(
  launched: launch.Launch, count: int = 8, out: str | None = None
) -> None:
  """Draws the first crops of a run.

  Args:
    launched: the `launch.Launch` of this process.
    count: how many.
    out: path of the PNG; None for browse/crops.png in the model_dir.
  """
  from deeplab_contrast.imaging import panels
  from deeplab_contrast.inference import crops as crops_lib

  experiment = launched.experiment
  info = experiment.train.source.info
  crops = crops_lib.collect(experiment, count)
  path = out or os.path.join(launched.model_dir or '', run_files.CROPS)
  panels.save(crops_lib.draw(crops, info), path)
  print(crops_lib.table(crops, info))
  print(f'{info.name}, seed {experiment.seed}, {count} crops: {path}')


if __name__ == '__main__':
  from absl import flags

  flags.DEFINE_integer(
    'count', 8, 'How many crops to show.', lower_bound=1, upper_bound=1000
  )
  flags.DEFINE_string(
    'out', None, 'The picture. Default: browse/crops.png in --model_dir.'
  )
  launch.run(
    lambda launched: main(launched, flags.FLAGS.count, flags.FLAGS.out),
    not_needed=('INIT',),
  )
