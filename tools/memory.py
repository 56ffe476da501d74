"""Measures whether memory grows: a tiny training with many evaluations.

  python tools/memory.py --steps=10000 --evaluations=500 --work_dir=runs/memory

Prints the resident size of the process at every evaluation and, at the end, how
much it grew between the first tenth, which warms up, and the last. Exit code 0:
by at most 3 %.
"""

import argparse
import os
import pathlib
import resource
import sys
import tempfile

# Run as a script, so the repository is not on the path by itself.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from deeplab_contrast.utils.arguments import positive  # noqa: E402

_LIMIT = 0.03
_FILES = ('gin_configs/scenes/softmax_scratch.gin', 'gin_configs/tiny.gin')
_BINDINGS = (
  'scenes.Scenes.train = 8',
  'scenes.Scenes.val = 2',
  'scenes.Scenes.height = 33',
  'scenes.Scenes.width = 49',
  'LABELS = 8',
  'CROP = (33, 33)',
  'FILTERS = 8',
  'LOG_EVERY = 50',
)


def main():
  """Trains and measures; returns the exit code."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--steps', type=positive, default=10_000)
  parser.add_argument('--evaluations', type=positive, default=500)
  parser.add_argument('--work_dir', help='default: a new temporary folder')
  arguments = parser.parse_args()
  folder = arguments.work_dir or tempfile.mkdtemp(prefix='memory_')
  sizes = _train(arguments.steps, arguments.evaluations, folder)
  tenth = max(1, len(sizes) // 10)
  # The largest of each, since the size goes up and down between steps.
  early, late = max(sizes[:tenth]), max(sizes[-tenth:])
  growth = late / early - 1
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
  print(
    f'{arguments.steps} steps, {len(sizes)} evaluations: {early:.0f} MiB in '
    f'the first tenth, {late:.0f} MiB in the last ({growth:+.1%}), peak '
    f'{peak:.0f}.'
  )
  return int(growth > _LIMIT)


def _train(steps, evaluations, folder):
  """Trains; the resident size in MiB at every evaluation."""
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
  from deeplab_contrast import train
  from deeplab_contrast.inference import evaluation

  sizes, call = [], evaluation.Evaluation.__call__

  def measured(self, *arguments):
    scores = call(self, *arguments)
    sizes.append(_resident())
    print(f'{len(sizes)} {sizes[-1]:.1f} MiB', flush=True)
    return scores

  evaluation.Evaluation.__call__ = measured
  bindings = (
    *_BINDINGS,
    f'STEPS = {steps}',
    f'SAVE_EVERY = {max(1, steps // 100)}',
    f'EVAL_EVERY = {max(1, steps // evaluations)}',
  )
  training = train.build(_FILES, bindings, data_dir=f'{folder}/data')
  training.fit(f'{folder}/run')
  return sizes


def _resident():
  """The resident size of this process, in MiB."""
  with open('/proc/self/statm', encoding='ascii') as file:
    return int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE') / 2**20


if __name__ == '__main__':
  sys.exit(main())
