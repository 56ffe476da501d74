"""Running code in another process: one distribution strategy for each."""

import os
import pathlib
import subprocess
import sys
import textwrap
import time

from tests import fixtures

ROOT = pathlib.Path(__file__).resolve().parents[1]


def environment(**extra):
  """The environment of a child: the repository importable, TensorFlow quiet."""
  path = os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')])
  return {
    **os.environ,
    'PYTHONPATH': path.rstrip(os.pathsep),
    'CUDA_VISIBLE_DEVICES': '-1',
    'TF_CPP_MIN_LOG_LEVEL': '2',
    **extra,
  }


def run_python(code, *arguments):
  """Runs a program text; fails the test with its output if it fails."""
  command = [sys.executable, '-c', textwrap.dedent(code), *map(str, arguments)]
  done = subprocess.run(
    command, capture_output=True, text=True, env=environment(), check=False
  )
  assert done.returncode == 0, done.stdout + done.stderr
  return done.stdout


def run_module(module, *arguments, cwd=None, **extra):
  """Runs `python -m deeplab_contrast.<module>`; returns the process."""
  command = [sys.executable, '-m', f'deeplab_contrast.{module}']
  return subprocess.run(
    [*command, *map(str, arguments)],
    capture_output=True,
    text=True,
    env=environment(**extra),
    cwd=cwd,
    check=False,
  )


def two_replicas():
  """MirroredStrategy over two logical CPUs; call it first in a process."""
  import tensorflow as tf

  cpu = tf.config.list_physical_devices('CPU')[0]
  tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 2
  )
  return tf.distribute.MirroredStrategy(['CPU:0', 'CPU:1'])


def scenes_flags(experiment, data_dir, *bindings):
  """Flags of `train` for a tiny training on scenes.

  Args:
    experiment: a file of gin_configs/scenes, without its ending.
    data_dir: where the scenes are kept.
    *bindings: laid on top.
  """
  files = [f'gin_configs/scenes/{experiment}.gin', 'gin_configs/tiny.gin']
  return [
    *(f'--gin_file={name}' for name in files),
    *(f'--gin_bindings={b}' for b in (*fixtures.TINY_SCENES, *bindings)),
    f'--data_dir={data_dir}',
  ]


def start_module(module, *arguments, **kwargs):
  """Starts `python -m deeplab_contrast.<module>`; returns the process."""
  command = [sys.executable, '-m', f'deeplab_contrast.{module}']
  return subprocess.Popen(
    [*command, *map(str, arguments)],
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
    env=environment(),
    **kwargs,
  )


def wait_for_lines(process, path, count, seconds=300):
  """Waits until a file that a process writes has so many lines."""
  deadline = time.monotonic() + seconds
  while not path.exists() or path.read_bytes().count(b'\n') < count:
    assert process.poll() is None, process.communicate()
    assert time.monotonic() < deadline, f'{path} took too long.'
    time.sleep(0.01)
