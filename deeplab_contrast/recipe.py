"""Runs a recipe: its stages one after the other, then compares the arms.

python -m deeplab_contrast.recipe --gin_file=gin_configs/quickstart.gin \
  --model_dir=runs/quickstart

Every stage is its own process, whose command line is printed. Finished stages
are skipped and interrupted ones resume, so the same command can be given again.
At the end: a table as text, `results.json`, and `comparison.png`; after every
arm: `results.csv` and `study.json`, which `report` draws. `--gin_bindings` are
passed on to every stage that uses them. `--processes=2` runs two stages at a
time where neither needs the other; their output goes to `logs`.
"""

import time

from deeplab_contrast import launch
from deeplab_contrast.studies import processes, runner
from deeplab_contrast.utils import errors


def main(launched: launch.Launch, at_once: int = 1) -> None:
  """Runs what is not finished yet and compares the results.

  Args:
    launched: what this process was started with; its root is a `Recipe`.
    at_once: how many stages may run at a time.

  Raises:
    UserError: with the exit code of the stage that failed.
  """
  if launched.model_dir is None:
    raise errors.ConfigError('Give --model_dir, the folder to work in.')
  began = time.monotonic()
  unused = launched.unused_bindings
  runner.Runner(
    launched.experiment,
    launched.model_dir,
    processes.Flags(
      launched.strategy_name,
      launched.data_dir,
      launched.allow_config_change,
      launched.allow_imports,
      launched.stuck_minutes,
    ),
    [b for b in launched.gin_bindings if b.partition('=')[0].strip() in unused],
    unused,
    at_once,
  ).run(launched.config)
  print(f'{(time.monotonic() - began) / 60:.1f} minutes')


if __name__ == '__main__':
  from absl import flags

  flags.DEFINE_integer(
    'processes', 1, 'How many stages may run at a time.', lower_bound=1
  )
  launch.run(
    lambda launched: main(launched, flags.FLAGS.processes),
    root='deeplab_contrast.studies.stages.Recipe',
    distribute=False,
    tolerate_unused_bindings=True,
  )
