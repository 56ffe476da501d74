"""Measures speed and memory of losses, input, prediction and training steps.

  python tools/benchmark.py loss                      # 65x65 pixels, batch 4
  python tools/benchmark.py loss --pixels=129 --batch=1 --json
  python tools/benchmark.py loss --loss=batch --batch=16
  python tools/benchmark.py input                     # 513 crops, two views
  python tools/benchmark.py predict                   # exported network
  python tools/benchmark.py step --crop=257           # one training step
  python tools/benchmark.py run                       # a training, evaluation

Every figure is measured in the run that prints it, against a peer; nothing is
stored. Compare ratios rather than seconds, since machines differ.
"""

import argparse
import pathlib
import sys

# Run as a script, so the repository is not on the path by itself.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from tools.benchmarks import input as input_benchmark  # noqa: E402
from tools.benchmarks import loss, predict, run, step  # noqa: E402


def main():
  """Runs the benchmark named by the first argument."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  commands = parser.add_subparsers(required=True)
  loss.add_command(commands)
  input_benchmark.add_command(commands)
  predict.add_command(commands)
  step.add_command(commands)
  run.add_command(commands)
  arguments = parser.parse_args()
  return arguments.run(arguments)


if __name__ == '__main__':
  sys.exit(main())
