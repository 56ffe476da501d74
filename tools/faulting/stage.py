"""Where faults are played: folders, commands, and a run to compare with."""

import contextlib
import dataclasses
import functools
import json
import os
import pathlib
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from deeplab_contrast.training import checkpoints
from deeplab_contrast.utils import metrics, run_files
from tests import processes
from tools.faulting import forked

STEPS = 6
# Every task of a step that has a state: dropout, momentum, averages.
BINDINGS = (
  f'STEPS = {STEPS}',
  'SAVE_EVERY = 2',
  'EVAL_EVERY = 2',
  'trainer.Trainer.average_decay = 0.9',
)
_SECONDS = 900  # The longest that a command may take; nothing here is large.
_TICKS = os.sysconf('SC_CLK_TCK')


class Wrong(Exception):
  """A fault did not end as it should; the message says how it did."""


@dataclasses.dataclass(frozen=True)
class Fault:
  """One fault.

  Attributes:
    number: in the table of docs/reliability.md.
    about: a few words.
    expected: the exit codes that are right; () for a property of tests.
    play: makes it happen; returns the commands that met it.
    tests: names of tests that show what no command can show.
    note: how we differ from what one might expect, and why.
  """

  number: int
  about: str
  expected: tuple[int, ...] = ()
  play: Callable[['Stage'], Sequence['Ended']] | None = None
  tests: tuple[str, ...] = ()
  note: str = ''


@dataclasses.dataclass(frozen=True)
class Ended:
  """A command that has ended.

  Attributes:
    code: its exit code.
    out: what it printed.
    err: what it printed to stderr.
  """

  code: int
  out: str
  err: str

  @property
  def sentence(self) -> str:
    """Its error; without one, the last line that it printed."""
    _, found, text = f'\n{self.err}'.rpartition('\nerror: ')
    if found:
      return text.strip()
    lines = [line for line in self.out.splitlines() if line.strip()]
    return lines[-1].strip() if lines else ''


class Stage:
  """A folder for the faults, and what they share.

  Args:
    root: an empty folder.
    forks: whether commands are forks of this process, see `forked`.
  """

  def __init__(self, root: pathlib.Path, forks: bool = False):
    self.root = root
    self._forks = forks
    if forks:
      forked.prepare()
    self.data = root / 'data'
    self.shared: dict[str, Any] = {}  # What several faults are about.

  def folder(self, name: str) -> pathlib.Path:
    """A new folder."""
    path = self.root / name
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path

  def start(self, command: str, *arguments: Any, **settings: Any) -> Any:
    """Starts `python -m deeplab_contrast.<command>`.

    Args:
      command: the name of the command.
      *arguments: its command line.
      **settings: of `subprocess.Popen`; `env` is added to the environment.
    """
    more = settings.pop('env', {})
    settings['env'] = processes.environment(**more)
    words = list(map(str, arguments))
    # A module in the place of another one needs a new interpreter.
    if self._forks and 'PYTHONPATH' not in more:
      return forked.Forked(command, words, **settings)
    return subprocess.Popen(
      [sys.executable, '-m', f'deeplab_contrast.{command}', *words],
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
      errors='backslashreplace',
      **settings,
    )

  def run(self, command: str, *arguments: Any, **settings: Any) -> Ended:
    """Runs a command to its end; Wrong if there is a traceback."""
    return self.end(self.start(command, *arguments, **settings))

  def end(self, process: Any) -> Ended:
    """Waits for a command; Wrong if there is a traceback."""
    try:
      out, err = process.communicate(timeout=_SECONDS)
    except subprocess.TimeoutExpired:
      process.kill()
      raise Wrong(f'it did not end within {_SECONDS} s') from None
    if 'Traceback' in err:
      raise Wrong(f'a traceback: {err[-600:]}')
    if sum(line.startswith('error: ') for line in err.splitlines()) > 1:
      raise Wrong(f'more than one error: {err[-600:]}')
    return Ended(process.returncode, out, err)

  def flags(self, *bindings: str, experiment: str = 'softmax_scratch') -> list:
    """Flags of a tiny training on scenes."""
    return processes.scenes_flags(experiment, self.data, *BINDINGS, *bindings)

  def train(self, model_dir: Any, *bindings: str, **settings: Any) -> Ended:
    """Trains on scenes in a model_dir."""
    flags = [*self.flags(*bindings), f'--model_dir={model_dir}']
    return self.run('train', *flags, **settings)

  @functools.cached_property
  def whole(self) -> pathlib.Path:
    """A run that nothing has interrupted."""
    path = self.root / 'whole'
    if (path / run_files.DONE).exists():
      return path
    ended = self.train(path)
    if ended.code:
      raise Wrong(f'the run to compare with failed: {ended.err[-600:]}')
    return path

  @functools.cached_property
  def evaluated(self) -> tuple[Ended, float]:
    """`eval` of a copy of the whole run, and its seconds of CPU time."""
    began = _seconds_of_children()
    ended = self.run('eval', f'--model_dir={self.interrupted("evaluated")}')
    return ended, _seconds_of_children() - began

  @functools.cached_property
  def troubled(self) -> tuple[Ended, pathlib.Path]:
    """A run with several troubles at once, which resumes, and its folder.

    It was killed while saving (data without an index, drafts), the index of the
    newest checkpoint is lost, the clock was set back, TensorBoard's folder is a
    file, and no later score will reach the best one.
    """
    path = self.interrupted('troubled')
    folder = path / run_files.CHECKPOINTS
    name = f'ckpt-{STEPS}.data-00000-of-00001'
    half = (self.whole / run_files.CHECKPOINTS / name).read_bytes()[:1000]
    (folder / name).write_bytes(half)
    draft = folder / f'ckpt-{STEPS}_temp'
    draft.mkdir()
    (draft / 'part-00000-of-00001.data-00000-of-00001').write_bytes(half)
    newest(path, 'index').unlink()
    for file in folder.glob('ckpt-*.*'):
      # The newest is from before the others.
      step = checkpoints.step_of(str(file).partition('.')[0])
      os.utime(file, (1e9 - step, 1e9 - step))
    shutil.rmtree(path / run_files.TENSORBOARD)
    (path / run_files.TENSORBOARD).write_text('not a folder')
    # Of a step that is not evaluated again, which would replace it.
    for file in (path / run_files.BEST).glob('ckpt-*'):
      file.rename(file.with_name(f'ckpt-1.{file.name.partition(".")[2]}'))
    change_json(path / run_files.BEST_SCORE, score=0.99, step=1)
    best = contents(path / run_files.BEST)
    ended = self.resume(path)
    expect(not draft.exists(), f'{draft} was not swept')
    expect(contents(path / run_files.BEST) == best, 'the best was replaced')
    return ended, path

  def interrupted(self, name: str) -> pathlib.Path:
    """A copy of the whole run as if it had been killed after step 5."""
    path = self.root / name
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(self.whole, path)
    (path / run_files.DONE).unlink()
    for file in (path / run_files.CHECKPOINTS).glob(f'ckpt-{STEPS}.*'):
      file.unlink()
    shutil.rmtree(path / run_files.EVAL, ignore_errors=True)
    return path

  def resume(self, model_dir: pathlib.Path) -> Ended:
    """Starts it again; Wrong unless it ends as the whole run did."""
    ended = self.train(model_dir)
    if ended.code:
      raise Wrong(f'it did not resume: {ended.sentence}')
    self.check_same(model_dir)
    return ended

  def check_same(self, model_dir: pathlib.Path) -> None:
    """Wrong unless weights and log are those of the whole run."""
    expected, actual = weights(self.whole), weights(model_dir)
    if expected.keys() != actual.keys():
      raise Wrong('other variables than without an interruption')
    for name, value in expected.items():
      if not np.array_equal(value, actual[name]):
        raise Wrong(f'{name} differs from a run without an interruption')
    if logged(model_dir) != logged(self.whole):
      raise Wrong('the log differs from a run without an interruption')


def weights(model_dir: pathlib.Path) -> dict[str, Any]:
  """{name: array} of the newest checkpoint."""
  folder = str(model_dir / run_files.CHECKPOINTS)
  reader = tf.train.load_checkpoint(checkpoints.list_checkpoints(folder)[0])
  return {
    name: reader.get_tensor(name)
    for name in reader.get_variable_to_shape_map()
    if not name.startswith(('save_counter/', '_CHECKPOINTABLE'))
  }


def logged(model_dir: pathlib.Path) -> list[dict]:
  """The lines of the log, without times."""
  clocks = ('images_per_second', 'data_wait')
  return [
    {key: value for key, value in line.items() if key not in clocks}
    for line in metrics.read(model_dir)
  ]


def newest(model_dir: pathlib.Path, ending: str) -> pathlib.Path:
  """A file of the newest checkpoint."""
  folder = str(model_dir / run_files.CHECKPOINTS)
  prefix = checkpoints.list_checkpoints(folder)[0]
  return pathlib.Path(f'{prefix}.{ending}')


def flip(path: pathlib.Path, share: float = 0.5) -> None:
  """Flips one bit of a file."""
  data = bytearray(path.read_bytes())
  data[int(share * len(data))] ^= 1
  path.write_bytes(bytes(data))


def contents(folder: pathlib.Path) -> dict[str, bytes]:
  """{file: bytes}, without locks, which name the last process."""
  return {
    str(path.relative_to(folder)): path.read_bytes()
    for path in sorted(folder.rglob('*'))
    if path.is_file() and path.name != '.lock'
  }


@contextlib.contextmanager
def unchanged(folder: pathlib.Path) -> Iterator[None]:
  """Wrong if a file changes while inside."""
  before = contents(folder)
  yield
  if contents(folder) != before:
    raise Wrong(f'files in {folder} have changed')


def expect(is_right: object, complaint: str) -> None:
  """Wrong with this complaint, unless something is right."""
  if not is_right:
    raise Wrong(complaint)


def says(ended: Ended, *phrases: str) -> Ended:
  """Wrong unless the output has all phrases."""
  for phrase in phrases:
    text = ended.err + ended.out
    expect(phrase in text, f'{phrase!r} is missing in {text[-500:]!r}')
  return ended


def limited(**limits: int) -> Callable[[], None]:
  """A `preexec_fn` that sets limits, such as FSIZE=1000."""

  def set_limits():
    for name, value in limits.items():
      resource.setrlimit(getattr(resource, f'RLIMIT_{name}'), (value, value))

  return set_limits


def wait_for(process: Any, is_there: Callable[[], object]) -> None:
  """Waits until something is there; Wrong if the process ends before."""
  while not is_there():
    if process.poll() is not None:
      out, err = process.communicate()
      raise Wrong(f'it ended too early: {(out + err)[-500:]}')
    time.sleep(0.01)


def cpu_seconds(process: Any) -> float:
  """The processor time that a running process has taken."""
  try:
    text = pathlib.Path(f'/proc/{process.pid}/stat').read_text()
  except OSError:
    return float('inf')
  user, system = text.rpartition(')')[2].split()[11:13]
  return (int(user) + int(system)) / _TICKS


def _seconds_of_children():
  used = resource.getrusage(resource.RUSAGE_CHILDREN)
  return used.ru_utime + used.ru_stime


def change_json(path: pathlib.Path, **values: Any) -> None:
  """Sets keys of a JSON file."""
  stored = json.loads(path.read_text(encoding='utf-8'))
  path.write_text(json.dumps({**stored, **values}), encoding='utf-8')
