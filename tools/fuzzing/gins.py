"""Gin files and bindings, as `train --print_config` takes them."""

import pathlib
import sys
from typing import Any

from absl import flags
from hypothesis import strategies as st

from deeplab_contrast import launch
from tests import fixtures, processes
from tools.fuzzing import damage, folders, harness

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_FILES = (
  'gin_configs/scenes/softmax_scratch.gin',
  'gin_configs/scenes/contrastive_pretrain.gin',
  'gin_configs/tiny.gin',
  'gin_configs/quickstart.gin',
)
_LINES = (
  'import os',
  'from os import path',
  'import deeplab_contrast.train',
  "include '/etc/passwd'",
  "include 'a.gin'",
  "include '../../outside/secret.txt'",
  'from __gin__ import dynamic_registration',
  'STEPS = @os.system',
  "STEPS = @os.system('id')",
  'STEPS = %gin.REQUIRED',
  'STEPS = %STEPS',
  'A = %B\nB = %A',
  'trainer.Trainer.steps = 3',
  'trainer.Trainer.step = 3',
  'a/b/trainer.Trainer.steps = 3',
  'trainer.Trainer:\n  steps = 3\n  save_every = None',
  'trainer.Trainer.steps = @trainer.Trainer()',
  'x' * 300 + ' = 1',
  'STEPS = ' + '[' * 300 + ']' * 300,
  'STEPS = ' + '9' * 5000,
  'STEPS = 1e400',
  'STEPS = "\\x00"',
  'STEPS = __import__("os")',
  'STEPS = b"x"',
  'STEPS = {1: 2, 1: 3}',
  'STEPS = (1, )\n \t= 2',
  "NAME = '''",
  '# coding: utf-7',
)
# Values of macros and parameters that an experiment has.
_NAMES = (
  *('STEPS', 'BATCH_SIZE', 'LABELS', 'CROP', 'LEARNING_RATE', 'FILTERS'),
  *('BACKBONE', 'WIDTH', 'OUTPUT_STRIDE', 'PRECISION', 'SAVE_EVERY'),
  *('TEMPERATURE', 'PRETRAINED', 'WEIGHT_DECAY', 'EVAL_CROP', 'INIT'),
  *('trainer.Trainer.steps', 'trainer.Trainer.batch_size', 'trainer.Trainer'),
  *('scenes.Scenes.train', 'scenes.Scenes.height', 'softmax.Softmax.weights'),
)
_VALUES = st.one_of(
  st.sampled_from(
    ('-1', '0', '10**9', '1e20', '"eight"', 'None', 'True', '()', '(0, 0)')
  ),
  st.sampled_from(damage.ODD).map(repr),
  st.integers().map(str),
  st.floats().map(repr),
  st.text(max_size=12).map(repr),
  st.text(max_size=12),
  st.sampled_from(
    ('%gin.REQUIRED', '%NOTHING', '@trainer.Trainer', '@trainer.Trainer()')
  ),
)
_BINDING = st.one_of(
  st.tuples(st.sampled_from(_NAMES), _VALUES).map(' = '.join),
  st.sampled_from(_LINES),
  st.text(max_size=30),
)


def run(case: Any, folder: pathlib.Path) -> None:
  """`train --print_config` with a damaged file or odd bindings."""
  name, damages, bindings = case
  path = folder / 'a.gin'
  path.write_bytes((_ROOT / name).read_bytes())
  damage.do(path, damages)
  given = (*fixtures.TINY_SCENES, 'STEPS = 3', *bindings)
  files = [str(path)] if path.exists() or damages else [name]
  if name.startswith('gin_configs/scenes'):
    files.append('gin_configs/tiny.gin')
  if folders.is_tenth(case):
    flags_ = [f'--gin_file={file}' for file in files]
    flags_ += [f'--gin_bindings={binding}' for binding in given]
    harness.command(lambda: _train([*flags_, '--print_config']))
  else:
    harness.command(lambda: launch.parse(files, given))


def _train(arguments):
  done = processes.run_module('train', *arguments)
  sys.stderr.write(done.stderr)
  return done.returncode


def kinds() -> tuple[harness.Kind, ...]:
  """Gin files and bindings."""
  flags.FLAGS.mark_as_parsed()
  lines = st.tuples(st.just('line'), damage.BYTES.map(lambda d: d[1]), _BINDING)
  damages = st.lists(
    st.one_of(damage.BYTES, damage.TEXTS, lines, damage.FILES), max_size=3
  ).map(tuple)
  return (
    harness.Kind(
      'gin',
      2000,
      st.tuples(
        st.sampled_from(_FILES),
        damages,
        st.lists(_BINDING, max_size=2).map(tuple),
      ),
      run,
      'build.parse of train; every tenth: train --print_config',
    ),
  )
