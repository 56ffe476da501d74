r"""Chooses settings for your own images, and writes them as a recipe.

  python -m deeplab_contrast.configure --raw_dir=my_data --data_dir=data \
    --minutes=60 --out=mine.gin
  python -m deeplab_contrast.recipe --gin_file=mine.gin --data_dir=data \
    --model_dir=runs/mine

Reads all masks (and prepares the data, if `prepare` has not), times a few
training steps, and chooses scale, crop, batch, network, weights, steps and
arms. The file says why for each number. Whatever would make the recipe fail is
reported now; exit codes as in docs/faq.md.
"""

import argparse
import os
import sys
from collections.abc import Sequence

# TensorFlow reports the absence of a GPU as an error.
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')


def main(argv: Sequence[str] | None = None) -> int:
  """Runs the command; returns its exit code."""
  arguments = _parse(argv)
  # TensorFlow takes seconds to import: first check the command line.
  from deeplab_contrast.utils import errors, quiet, signals

  signals.end_at_once()
  with quiet.no_stderr():
    from deeplab_contrast.conversion import known_weights
    from deeplab_contrast.planning import configuring
  quiet.warnings_only()
  request = configuring.Request(**vars(arguments))
  weights = known_weights.packaged('efficientnet_lite0').path
  return errors.exit_code(
    lambda: configuring.run(request, has_weights=weights is not None)
  )


def _parse(argv):
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  add = parser.add_argument
  add('--raw_dir', required=True, help='folder of images and masks')
  add('--out', required=True, help='the gin file to write')
  add('--minutes', type=_minutes, default=60.0, help='of the whole recipe')
  add('--data_dir', help="folder of prepared datasets; default: TFDS's")
  add('--description', help='JSON of classes; default: dataset.json')
  add(
    '--arms',
    type=lambda text: tuple(text.split(',')),
    help='softmax,contrastive,consistency or some; default: what is possible',
  )
  return parser.parse_args(argv)


def _minutes(text):
  value = float(text)
  if not 0 < value < float('inf'):
    raise argparse.ArgumentTypeError(f'{text!r} is not a number > 0')
  return value


if __name__ == '__main__':
  sys.exit(main())
