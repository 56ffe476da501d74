"""Converts checkpoints of the original DeepLab to ours, and ours back.

  python -m deeplab_contrast.convert import --checkpoint=x65/model.ckpt \
    --gin_file=gin_configs/voc2012/softmax_scratch.gin \
    --gin_file=gin_configs/models/xception_65.gin --model_dir=runs/x65
  python -m deeplab_contrast.eval --model_dir=runs/x65

  python -m deeplab_contrast.convert import --checkpoint=imagenet/resnet50.h5 \
    --gin_file=gin_configs/voc2012/softmax_scratch.gin \
    --gin_file=gin_configs/models/resnet_v1_50.gin --model_dir=runs/imagenet_r50

  python -m deeplab_contrast.convert export --model_dir=runs/finetune \
    --checkpoint=out/model.ckpt

  python -m deeplab_contrast.convert list    # backbones with ImageNet weights

Every variable on both sides is listed with what happens to it. If one cannot be
matched, the command ends before anything is written (exit code 2; 3 if a file
cannot be read). Weights are copied bit for bit, except those of Keras' ResNets,
which need some arithmetic; see conversion/keras_resnet.py.
"""

import argparse
import os
import sys
from collections.abc import Sequence

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

from deeplab_contrast.utils import errors, quiet  # noqa: E402

with quiet.no_stderr():
  from deeplab_contrast.conversion import exporting, importing, pretrained


def main(argv: Sequence[str] | None = None) -> int:
  """Runs `import`, `export` or `list`; returns the exit code."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  commands = parser.add_subparsers(required=True)
  importing.add_command(commands)
  exporting.add_command(commands)
  pretrained.add_command(commands)
  arguments = parser.parse_args(argv)
  return errors.exit_code(lambda: arguments.run(arguments))


if __name__ == '__main__':
  quiet.warnings_only()
  sys.exit(main())
