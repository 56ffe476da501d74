"""Checks a dataset, prepares it for training, and shows what is in it.

  python -m deeplab_contrast.prepare voc2012 --raw_dir=VOCdevkit --data_dir=data
  python -m deeplab_contrast.prepare folder --raw_dir=my_data --data_dir=data

Every image and mask is read before anything is written, so wrong files are
found here and not after an hour of training. The results are report.txt,
report.json and contact_sheet.png next to the prepared data: look at the
picture. Training with the same --data_dir uses the prepared data.

Killed? Run the same command again: checked files are not checked again.
"""

import argparse
import os
import sys
from collections.abc import Sequence

# TensorFlow reports the absence of a GPU as an error; workers inherit this.
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

from deeplab_contrast.utils import arguments as types

NAMES = ('voc2012', 'cityscapes', 'ade20k', 'folder', 'scenes')


def main(argv: Sequence[str] | None = None) -> int:
  """Runs the command; returns its exit code."""
  arguments = _parse(argv)
  # TensorFlow takes seconds to import: first check the command line.
  from deeplab_contrast.utils import errors, quiet

  with quiet.no_stderr():
    from deeplab_contrast.datasets.preparation import prepare
  quiet.warnings_only()
  return errors.exit_code(lambda: prepare.run(arguments))


def _parse(argv):
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  _add_arguments(parser.add_argument)
  arguments = parser.parse_args(argv)
  for option, name in (
    ('description', 'folder'),
    ('sbd_dir', 'voc2012'),
    ('download', 'voc2012'),
  ):
    if getattr(arguments, option) and arguments.name != name:
      parser.error(f'--{option} is for {name}')
  if arguments.name == 'scenes' and (arguments.raw_dir or arguments.archive):
    parser.error('scenes are drawn: they have no raw files')
  if arguments.download and (arguments.raw_dir or arguments.archive):
    parser.error('--download needs neither --raw_dir nor --archive')
  return arguments


def _add_arguments(add):
  add('name', choices=NAMES, help='the dataset')
  add('--raw_dir', help='folder of the raw files; default: downloads/manual')
  add('--data_dir', help="folder of prepared datasets; default: TFDS's")
  add('--description', help='folder: JSON of classes; default: dataset.json')
  add('--sbd_dir', help='voc2012: SBD, to make train_aug from both')
  add(
    '--archive',
    action='append',
    default=[],
    help='tar or zip to unpack into --raw_dir first; may be repeated',
  )
  add('--download', action='store_true', help='voc2012: get train and val')
  add(
    '--on_error',
    choices=('fail', 'skip'),
    default='fail',
    help='skip leaves bad pairs out and lists them in quarantine.txt',
  )
  add(
    '--max_skipped',
    type=types.share,
    default=0.05,
    help='fraction of pairs that skip may leave out; default: 0.05',
  )
  add(
    '--workers', type=types.count, help='processes; 0: threads; default: cores'
  )
  add('--samples', type=types.count, default=12, help='images to show')
  add('--json', action='store_true', help='print the report as JSON')


if __name__ == '__main__':
  sys.exit(main())
