"""Labels images with a trained run, where it is confident (paper, section 6).

python -m deeplab_contrast.pseudo_label \
  --gin_file=gin_configs/tasks/pseudo_label.gin \
  --gin_bindings="INIT = 'runs/a'" --model_dir=runs/pseudo

Writes `labels/<id>.png` for every image that the label budget of the run leaves
out, IGNORE_LABEL where the run is not confident, and `manifest.json`: its
checkpoint, thresholds, coverage, and agreement with true labels where there are
any. Finished images are not repeated. Several processes can share the work,
with `--num_shards=3` and `--shard=0`, 1, 2; the labels are the same.
"""

import os

from deeplab_contrast import launch
from deeplab_contrast.utils import run_files

ROOT = 'deeplab_contrast.inference.pseudo_labeler.PseudoLabeler'


def main(launched: launch.Launch, shard: int = 0, num_shards: int = 1) -> None:
  """Labels one shard of the images; see `pseudo_labelling.label`.

  Args:
    launched: the `launch.Launch` of this process; its root is a
      `PseudoLabeler`.
    shard: which shard.
    num_shards: how many there are.

  Raises:
    ConfigError: there is no folder, or the shard does not exist.
  """
  from deeplab_contrast.config import run_folder
  from deeplab_contrast.inference import pseudo_labelling
  from deeplab_contrast.utils import errors, results, signals

  folder = launched.model_dir
  if folder is None:
    raise errors.ConfigError('Give --model_dir, the folder for the labels.')
  if shard >= num_shards:
    raise errors.ConfigError(
      f'--shard={shard} is not below --num_shards={num_shards}; shards count '
      'from 0.'
    )
  part = os.path.join(run_files.SHARDS, f'{shard}_of_{num_shards}')
  config, may_change = launched.config, launched.allow_config_change
  with (
    run_folder.prepare(folder, config, may_change, part),
    signals.stop_request() as stop,
  ):
    if results.is_done(folder):
      print(f'{folder} is already complete; nothing to do.')
      return
    pseudo_labelling.label(
      launched.experiment,
      launched.strategy,
      folder,
      shard,
      num_shards,
      launched.allow_imports,
      stop.poll,
    )


if __name__ == '__main__':
  from absl import flags

  flags.DEFINE_integer('shard', 0, 'Which shard to label.', lower_bound=0)
  flags.DEFINE_integer(
    'num_shards', 1, 'How many shards share the work.', lower_bound=1
  )
  launch.run(
    lambda launched: main(launched, flags.FLAGS.shard, flags.FLAGS.num_shards),
    root=ROOT,
  )
