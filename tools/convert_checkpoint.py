"""Runs `python -m deeplab_contrast.convert` in a checkout."""

import pathlib
import runpy
import sys

if __name__ == '__main__':
  sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
  runpy.run_module('deeplab_contrast.convert', run_name='__main__')
