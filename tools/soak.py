"""Disturbs a recipe again and again, and compares it with one left in peace.

  python tools/soak.py --kills=100 --work_dir=runs/soak

A recipe with every task (tools/soaking/recipe.gin) is run once without being
disturbed. Then it is killed, stopped, started twice or run on a full disk, and
its newest checkpoint is damaged, at random moments. After each of these the
same command is given again, until the recipe is done. Rounds of this follow one
another until --kills disturbances have been made. After each round every
variable of every checkpoint, all metrics and all label PNGs must be those of
the undisturbed run, bit by bit; and no start may resume from anything but the
newest intact checkpoint.

The same command continues where it was stopped. Exit code 0: all is identical.
"""

import argparse
import pathlib
import signal
import sys
import tempfile

# Run as a script, so the repository is not on the path by itself.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from deeplab_contrast.utils.arguments import positive  # noqa: E402
from tools.soaking import results, rounds  # noqa: E402

_RECIPE = 'tools/soaking/recipe.gin'


def main():
  """Runs the soak of the command line; returns the exit code."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--kills', type=positive, default=100)
  parser.add_argument('--recipe', default=_RECIPE, help=f'default: {_RECIPE}')
  parser.add_argument('--seed', type=int, default=0, help='of the disturbances')
  parser.add_argument('--work_dir', help='default: a new temporary folder')
  arguments = parser.parse_args()
  folder = arguments.work_dir or tempfile.mkdtemp(prefix='soak_')
  soak = rounds.Soak(folder, arguments.recipe, arguments.seed)
  signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
  try:
    soak.run(arguments.kills)
  finally:
    soak.close()
  print(results.table(soak.records))
  return int(results.faults(soak.records) > 0)


if __name__ == '__main__':
  sys.exit(main())
