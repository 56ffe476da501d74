"""Commands as forks of a process that has imported TensorFlow already.

They run what `python -m deeplab_contrast.<command>` runs, with a command line,
an environment and files of their own, but start in milliseconds.
"""

import importlib
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence

_IMPORTED = (
  *('tensorflow', 'keras', 'tensorflow_datasets', 'matplotlib.pyplot'),
  'deeplab_contrast.experiment',
  'deeplab_contrast.datasets.preparation.prepare',
  'deeplab_contrast.export.predictions',
  'deeplab_contrast.conversion.importing',
)


def prepare() -> None:
  """Imports what most commands need; computes nothing with it."""
  for name in _IMPORTED:
    importlib.import_module(name)


class Forked:
  """As much of `subprocess.Popen` as faults need.

  Args:
    command: the name of the command.
    arguments: its command line.
    env: the whole environment.
    cwd: the folder it runs in; None for this one.
    preexec_fn: called in the new process.
  """

  def __init__(
    self,
    command: str,
    arguments: Sequence[str],
    env: Mapping[str, str],
    cwd: str | os.PathLike | None = None,
    preexec_fn: Callable[[], None] | None = None,
  ):
    self.returncode: int | None = None
    self._files = [tempfile.TemporaryFile() for _ in range(2)]  # noqa: SIM115
    sys.stdout.flush()
    self.pid = os.fork()
    if self.pid == 0:
      code = 1
      try:
        for number, file in zip((1, 2), self._files, strict=True):
          os.dup2(file.fileno(), number)
        os.chdir(cwd or os.getcwd())
        os.environ.clear()
        os.environ.update(env)
        if preexec_fn is not None:
          preexec_fn()
        code = _run(command, arguments)
      finally:
        os._exit(code)

  def poll(self) -> int | None:
    """The exit code, or None while it runs."""
    if self.returncode is None:
      pid, status = os.waitpid(self.pid, os.WNOHANG)
      if pid:
        self.returncode = os.waitstatus_to_exitcode(status)
    return self.returncode

  def send_signal(self, number: int) -> None:
    """Sends a signal, unless it has ended."""
    if self.poll() is None:
      os.kill(self.pid, number)

  def kill(self) -> None:
    """Kills it."""
    self.send_signal(signal.SIGKILL)

  def communicate(self, timeout: float = 1e9) -> tuple[str, str]:
    """Waits for its end; returns what it wrote to stdout and stderr."""
    deadline = time.monotonic() + timeout
    while self.poll() is None:
      if time.monotonic() > deadline:
        raise subprocess.TimeoutExpired(str(self.pid), timeout)
      time.sleep(0.01)
    said = []
    for file in self._files:
      file.seek(0)
      said.append(file.read().decode('utf-8', 'backslashreplace'))
    return said[0], said[1]


def _run(command, arguments):
  """Runs a command as `__main__`; returns its exit code."""
  name = f'deeplab_contrast.{command}'
  sys.argv = [name, *arguments]
  code: object = 0
  try:
    with warnings.catch_warnings():
      warnings.filterwarnings('ignore', '.*found in sys.modules')
      runpy.run_module(name, run_name='__main__', alter_sys=True)
  except SystemExit as end:
    code = end.code or 0
  except BaseException:
    traceback.print_exc()
    code = 1
  sys.stdout.flush()
  sys.stderr.flush()
  return code if isinstance(code, int) else 1
