"""Running commands and code, here or in another process."""

import contextlib
import io
import json
import os
import pathlib
import random
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
import traceback
import warnings

from absl import flags, logging
from absl.testing import flagsaver

from deeplab_contrast import launch
from tests import fixtures

ROOT = pathlib.Path(__file__).resolve().parents[1]


def environment(**extra):
  """The environment of a child: imports the repository, quiet TensorFlow."""
  path = os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')])
  return {
    **os.environ,
    'PYTHONPATH': path.rstrip(os.pathsep),
    'CUDA_VISIBLE_DEVICES': '-1',
    'TF_CPP_MIN_LOG_LEVEL': '2',
    **extra,
  }


def run_python(code, *arguments, **extra):
  """Runs a program text; fails the test with its output if it fails.

  Args:
    code: the text, indented or not.
    *arguments: of its command line.
    **extra: environment variables.

  Returns:
    What it printed.
  """
  command = [sys.executable, '-c', textwrap.dedent(code), *map(str, arguments)]
  done = subprocess.run(
    command,
    capture_output=True,
    text=True,
    env=environment(**extra),
    check=False,
  )
  assert done.returncode == 0, done.stdout + done.stderr
  return done.stdout


def run_module(module, *arguments, cwd=None):
  """Runs a command as `python -m deeplab_contrast.<module>` would, but here.

  Its file is executed as `__main__`, with its own command line, which saves the
  3 to 8 seconds of imports of another process.

  Returns:
    A `subprocess.CompletedProcess` with returncode, stdout and stderr.
  """
  name = f'deeplab_contrast.{module}'
  argv = [name, *map(str, arguments)]
  out, err = io.StringIO(), io.StringIO()
  with (
    _command_line(argv, cwd),
    contextlib.redirect_stdout(out),
    contextlib.redirect_stderr(err),
  ):
    code = _exit_code(name)
  return subprocess.CompletedProcess(argv, code, out.getvalue(), err.getvalue())


def _exit_code(name):
  """Runs a module as `__main__`; returns its exit code."""
  try:
    with warnings.catch_warnings():
      # A test may have imported the command before.
      warnings.filterwarnings('ignore', '.*found in sys.modules')
      runpy.run_module(name, run_name='__main__', alter_sys=True)
  except SystemExit as end:
    return end.code or 0
  except Exception:
    traceback.print_exc()
    return 1
  return 0


@contextlib.contextmanager
def _command_line(argv, cwd):
  """Sets the command line; restores what a command leaves changed."""
  import keras

  flag_values = flagsaver.save_flag_values(flags.FLAGS)
  handlers = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)}
  policy = keras.config.dtype_policy()
  before, environ, place = sys.argv, dict(os.environ), os.getcwd()
  end, launch._end = launch._end, sys.exit  # It would end this process.
  level = logging.get_verbosity()
  sys.argv = argv
  os.chdir(cwd or place)
  try:
    yield
  finally:
    launch._end = end
    os.chdir(place)
    sys.argv = before
    os.environ.clear()
    os.environ.update(environ)
    logging.set_verbosity(level)
    keras.config.set_dtype_policy(policy)
    for number, handler in handlers.items():
      signal.signal(number, handler)
    _restore_flags(flag_values)


def _restore_flags(before):
  """Restores the values of flags, and forgets those of the command itself."""
  values, own = flags.FLAGS, set()
  for module, defined in values.flags_by_module_dict().items():
    if module.endswith(
      '.py'
    ):  # It ran as __main__, so it is known by its path.
      own |= {flag.name for flag in defined}
  for name in own:
    delattr(values, name)
  # Modules imported meanwhile have defined flags that they still need, but not
  # the values of this command line, to which the next one would append.
  for name in set(values) - set(before):
    values[name].unparse()
  now = flagsaver.save_flag_values(values)
  flagsaver.restore_flag_values({**now, **before}, values)


def run_apart(module, *arguments, cwd=None, **extra):
  """Runs `python -m deeplab_contrast.<module>` in its own process.

  For tests that need one: of imports, of the environment, of several devices.
  See `run_module`.

  Returns:
    The ended process, with its output as text.
  """
  command = [sys.executable, '-m', f'deeplab_contrast.{module}']
  return subprocess.run(
    [*command, *map(str, arguments)],
    capture_output=True,
    text=True,
    env=environment(**extra),
    cwd=cwd,
    check=False,
  )


# For processes that compare one replica with several. One replica has the fused
# batch norm, several the synchronized one, and oneDNN's fused one rounds five
# times as much as TensorFlow's own: measured against float64, its outputs are
# off by 3e-5 to 1e-4 of their deviation rather than 5e-6 to 2e-5. Units that
# close to zero then change sides of ReLU's corner: one of them moved the norm
# of a gradient by 2.5e-3. Without oneDNN the norms agree to 2e-7.
EXACT = {'TF_ENABLE_ONEDNN_OPTS': '0'}


def two_replicas():
  """MirroredStrategy over two logical CPUs; call it first in a process."""
  import tensorflow as tf

  cpu = tf.config.list_physical_devices('CPU')[0]
  tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 2
  )
  return tf.distribute.MirroredStrategy(['CPU:0', 'CPU:1'])


# A process that runs several program texts, one for each line.
_TEXTS = """
  import contextlib, io, json, sys, traceback
  from tests import processes
  two = processes.two_replicas()
  for line in sys.stdin:
    code, *sys.argv[1:] = json.loads(line)
    printed, failed = io.StringIO(), ''
    try:
      with contextlib.redirect_stdout(printed):
        exec(code, {'__name__': '__main__', 'two': two})
    except BaseException:
      failed = traceback.format_exc()
    print(json.dumps([failed, printed.getvalue()]), flush=True)
"""


class TwoReplicas:
  """A process with the strategy of `two_replicas`, called `two` in there.

  The texts it runs also have the default strategy, of one replica. Starting it
  takes longer than most of them, so all tests share it.
  """

  def __init__(self):
    self._process = None
    self._log = tempfile.TemporaryFile('w+')  # noqa: SIM115 (closed by end)

  def __call__(self, code, *arguments):
    """Runs a text; fails the test if it fails. Returns what it printed."""
    if self._process is None:
      self._process = subprocess.Popen(
        [sys.executable, '-c', textwrap.dedent(_TEXTS)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=self._log,
        text=True,
        env=environment(**EXACT),
      )
    line = [textwrap.dedent(code), *map(str, arguments)]
    self._process.stdin.write(json.dumps(line) + '\n')
    self._process.stdin.flush()
    told = self._process.stdout.readline()
    if not told:
      self._log.seek(0)
      raise AssertionError(f'The process ended: {self._log.read()}')
    failed, printed = json.loads(told)
    assert not failed, printed + failed
    return printed

  def end(self):
    """Ends the process, if a test has started it."""
    if self._process is not None:
      self._process.kill()
      self._process.communicate()
    self._log.close()


def scenes_flags(experiment, data_dir, *bindings):
  """Flags of `train` for a tiny training on scenes.

  Args:
    experiment: a file of gin_configs/scenes, without its extension.
    data_dir: where the scenes are kept.
    *bindings: override the files.
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


def free_ports(count):
  """Unused ports of this machine, below those that the system chooses from.

  Otherwise an attempt to connect to a port where nothing listens can connect to
  itself.
  """
  found = []
  while len(found) < count:
    port = random.randrange(10_000, 30_000)
    with socket.socket() as probe, contextlib.suppress(OSError):
      probe.bind(('', port))
      found.append(port)
  return found


def wait_for_lines(process, path, count, seconds=600):
  """Waits until a file that a process writes has `count` lines."""
  deadline = time.monotonic() + seconds
  while not path.exists() or path.read_bytes().count(b'\n') < count:
    assert process.poll() is None, process.communicate()
    assert time.monotonic() < deadline, f'{path} took too long.'
    time.sleep(0.01)
