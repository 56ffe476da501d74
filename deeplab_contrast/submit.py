"""Writes the files that a test server asks for; uploads nothing.

python -m deeplab_contrast.submit --model_dir=runs/a --split=test [--best]

predicts the split with a run on VOC 2012 or Cityscapes, checks the files, and
packs them: `runs/a/submit/test_300/voc2012_test.tgz`. Started again after a
kill, it resumes. The same files make the same archive, byte for byte.

python -m deeplab_contrast.submit --model_dir=runs/a --split=test --check=PATH

checks an archive, or a folder of files, whatever program made it.
"""

import os

from deeplab_contrast import launch
from deeplab_contrast.utils import run_files


def main(
  launched: launch.Launch,
  split: str = 'test',
  out: str | None = None,
  best: bool = False,
  competition: str = 'comp6',
) -> None:
  """Predicts, checks and packs.

  Args:
    launched: the `launch.Launch` of this process.
    split: split of the dataset that the run is evaluated on.
    out: the folder to write to; None is one for each checkpoint in the run's.
    best: takes the best checkpoint that was kept, not the newest.
    competition: VOC's 'comp5' or 'comp6'.

  Raises:
    ConfigError: the run has no classes or no split, there is no test server for
      its dataset, or the folder holds other files.
    DataError: the split does not exist.
  """
  from deeplab_contrast.inference import submission
  from deeplab_contrast.training import best as best_lib
  from deeplab_contrast.training import checkpoints
  from deeplab_contrast.utils import signals

  model_dir, experiment = launched.model_dir or '', launched.experiment
  experiment.check_can_be_evaluated(model_dir)
  examples, server = submission.open_split(experiment, split, competition)
  path = best_lib.path_of(model_dir) if best else None
  step = experiment.restore(launched.strategy, model_dir, path)
  path = path or checkpoints.path_of(model_dir, step)
  made_by = {
    **experiment.judged_by,
    'split': split,
    'competition': competition,
    'step': step,
    'checkpoint': checkpoints.digest(path),
  }
  out = out or os.path.join(model_dir, run_files.SUBMIT, f'{split}_{step}')
  with signals.stop_request() as stop:
    archive = submission.write(
      experiment, examples, server, out, made_by, stop.poll
    )
  print(f'{len(examples)} images at step {step}: {archive}')


def check(
  launched: launch.Launch,
  path: str,
  split: str = 'test',
  competition: str = 'comp6',
) -> None:
  """Checks existing files; see `test_servers.check`.

  Args:
    launched: the `launch.Launch` of this process; its experiment names the
      dataset.
    path: path of an archive or folder.
    split: split of the dataset.
    competition: VOC's 'comp5' or 'comp6'.
  """
  from deeplab_contrast.inference import submission

  examples, server = submission.open_split(
    launched.experiment, split, competition
  )
  count = submission.check(examples, server, path)
  print(f'{path}: {count} files, nothing missing, nothing wrong.')


if __name__ == '__main__':
  from absl import flags

  flags.DEFINE_string('split', 'test', 'Which images.')
  flags.DEFINE_string('out', None, 'Folder to write to; default: in model_dir.')
  flags.DEFINE_bool('best', False, 'Take the best checkpoint, not the newest.')
  flags.DEFINE_string('check', None, 'Only check this archive or folder.')
  flags.DEFINE_enum(
    'competition',
    'comp6',
    ['comp5', 'comp6'],
    'For VOC: comp5 if trained on VOC alone, else comp6.',
  )

  def _command(launched):
    values = flags.FLAGS
    if values.check is not None:
      return check(launched, values.check, values.split, values.competition)
    return main(
      launched, values.split, values.out, values.best, values.competition
    )

  launch.run(_command, needs_model_dir=True)
