"""Runs commands on damaged input, and finds everything that must not happen.

A command may succeed, or refuse with one sentence and a documented exit code. A
traceback, a file written elsewhere, a process started, far too much memory or
time are findings.
"""

import contextlib
import dataclasses
import io
import os
import pathlib
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import hypothesis

from deeplab_contrast.utils import errors

# Far above what any input here needs, far below what a bomb would take.
MOST_MB = 2048
MOST_SECONDS = 60
# What waits for a pipe takes no processor time; what works on a busy machine
# takes more than this in each pause, in seconds.
_PAUSE = 30
_LEAST_SECONDS = 0.05
_MOST_LETTERS = 10_000
_CODES = (0, 2, 3, 4, 5, 6, 143)

# Of the audit events, those that change files or start something.
_CHANGES = (
  *('os.rename', 'os.remove', 'os.mkdir', 'os.rmdir', 'os.link', 'os.symlink'),
  *('os.truncate', 'os.chmod', 'os.chown', 'os.utime'),
)
_STARTS = (
  *('subprocess.Popen', 'os.system', 'os.exec', 'os.posix_spawn'),
  *('os.spawn', 'socket.connect'),
)
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Finding(Exception):
  """What must not happen; the message says what did."""


@dataclasses.dataclass(frozen=True)
class Kind:
  """A kind of input.

  Attributes:
    name: as `--kind` takes it.
    quota: the number of examples of a full run.
    cases: a Hypothesis strategy of damaged inputs, whose repr makes them again.
    run: writes a case to an empty folder and runs the commands on it, each
      within `command`.
    through: what the cases go through.
  """

  name: str
  quota: int
  cases: Any
  run: Callable[[Any, pathlib.Path], None]
  through: str


class _Watch:
  """Collects what is written outside a folder, or started."""

  def __init__(self):
    self.folder: str | None = None
    self.seen: list[str] = []
    sys.addaudithook(self._hear)  # It stays until the process ends.

  def _hear(self, event, arguments):
    if self.folder is None:
      return
    if event == 'open':
      path, _, flags = arguments
      if isinstance(path, int) or not flags & _WRITING:
        return
      self._check(event, path)
    elif event in _CHANGES:
      folders = [a for a in arguments if type(a) is int and a > 2]
      # What a link says is no place that is written.
      for path in arguments[1:2] if 'link' in event else arguments[:2]:
        if isinstance(path, (str, bytes, os.PathLike)):
          self._check(event, path, *folders[-1:])
    elif event in _STARTS:
      self.seen.append(f'{event} {arguments!r:.200}')

  def _check(self, event, path, descriptor=None):
    name = os.fsdecode(path)
    if not os.path.isabs(name) and descriptor is not None:
      name = os.path.join(f'/proc/self/fd/{descriptor}', name)
    # Of a link that is removed or replaced, its own place counts.
    place = os.path.realpath(os.path.dirname(name) or '.')
    if event == 'open':
      place = os.path.realpath(name)
    allowed = (f'{self.folder}/', f'{os.devnull}/', '/proc/')
    if not f'{place}/'.startswith(allowed):
      self.seen.append(f'{event} {place}')


_watch: list[_Watch] = []


@contextlib.contextmanager
def _timed() -> Iterator[None]:
  """Raises Finding in what waits for ever, or computes for too long."""
  began = last = time.process_time()

  def look(number, frame):
    nonlocal last
    del number, frame
    now = time.process_time()
    if now - last < _LEAST_SECONDS or now - began > MOST_SECONDS:
      raise Finding('it does not end')
    last = now
    signal.alarm(_PAUSE)

  before = signal.signal(signal.SIGALRM, look)
  signal.alarm(_PAUSE)
  try:
    yield
  finally:
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def confined(folder: pathlib.Path) -> Iterator[None]:
  """Raises Finding if anything is written outside a folder while inside."""
  if not _watch:
    _watch.append(_Watch())
  watch = _watch[0]
  watch.seen, watch.folder = [], os.path.realpath(folder)
  before, tempfile.tempdir = tempfile.tempdir, str(folder)
  try:
    yield
  finally:
    watch.folder, tempfile.tempdir = None, before
  if watch.seen:
    raise Finding(f'outside of its folder: {watch.seen[0]}')


def command(run: Callable[[], Any]) -> int:
  """Runs a command or a function of one.

  Args:
    run: returns an exit code, or anything else for success.

  Returns:
    The exit code; that of the UserError if one is raised.

  Raises:
    Finding: it does not end as documented.
  """
  err = io.StringIO()
  with (
    contextlib.redirect_stdout(io.StringIO()),
    contextlib.redirect_stderr(err),
  ):
    try:
      result = run()
    except errors.UserError as error:
      _check_sentence(str(error))
      return error.exit_code
    except SystemExit as end:
      result = end.code
  code = result if type(result) is int else 0
  said = err.getvalue()
  if code not in _CODES:
    raise Finding(f'exit code {code}')
  lines = [line for line in said.splitlines() if line.startswith('error: ')]
  if 'Traceback' in said or len(lines) > 1:
    raise Finding(f'on stderr: {said[-500:]}')
  if code and code != 2:
    if 'error: ' not in said:
      raise Finding(f'exit code {code} without a sentence')
    _check_sentence(said[said.index('error: ') + 7 :].rstrip('\n'))
  return code


def _check_sentence(text):
  first, *rest = text.rstrip('\n').split('\n')
  if len(text) > _MOST_LETTERS:
    raise Finding(f'a sentence of {len(text)} letters: {text[:200]}')
  if not first or not text.rstrip().endswith(('.', ')', '!', '`', ':', "'")):
    last = text.rstrip().rpartition('\n')[2]
    if not last.startswith('  '):  # The end of a list.
      raise Finding(f'not a sentence: {text[:300]!r}')
  if any(line and not line.startswith('  ') for line in rest):
    raise Finding(f'more than one line: {text[:300]!r}')


def play(kind: Kind, case: Any, base: pathlib.Path) -> dict[str, float]:
  """Runs one case; returns the seconds and MB that it took.

  Raises:
    Finding: with the signature of what must not happen.
  """
  folder = base / 'case'
  shutil.rmtree(folder, ignore_errors=True)
  folder.mkdir(parents=True)
  (base / 'last_case.txt').write_text(repr(case), encoding='utf-8')
  before, began, start = _listing(base), time.process_time(), _resident(True)
  try:
    with _timed(), confined(folder):
      kind.run(case, folder)
  except Finding:
    raise
  except Exception as error:
    raise Finding(_signature(error)) from error
  seconds = time.process_time() - began
  size = _resident(False) - start
  if _listing(base) != before:
    raise Finding('files outside of its folder have changed')
  if seconds > MOST_SECONDS or size > MOST_MB:
    raise Finding(f'takes {seconds:.0f} s and {size:.0f} MB')
  return {'seconds': seconds, 'mb': size}


def _signature(error):
  """The exception, and the last place of ours that it went through."""
  frames = traceback.extract_tb(error.__traceback__)
  ours = [f for f in frames if '/deeplab_contrast/' in f.filename] or frames
  place = ours[-1].filename.rpartition('deeplab_contrast/')[2]
  return f'{type(error).__name__} in {place}:{ours[-1].lineno}: {error!s:.150}'


def _listing(base):
  """What lies beside the folder of a case, and in `outside`."""
  found = {}
  for path in [*base.glob('*'), *base.glob('outside/**/*')]:
    stat = path.lstat()
    if path.name not in ('case', 'last_case.txt') and not path.is_dir():
      found[str(path)] = stat.st_size, stat.st_mtime_ns
  return found


def _resident(resets):
  """The resident MB of this process, or its peak since it was reset."""
  if resets:
    pathlib.Path('/proc/self/clear_refs').write_text('5')
  text = pathlib.Path('/proc/self/status').read_text(encoding='ascii')
  name = 'VmRSS:' if resets else 'VmHWM:'
  return int(text.partition(name)[2].split()[0]) / 1024


def explore(
  kind: Kind, examples: int, seed: int, base: pathlib.Path
) -> dict[str, Any]:
  """Tries cases of a kind.

  Args:
    kind: of the input.
    examples: the number of cases.
    seed: of the cases.
    base: an empty folder.

  Returns:
    {'examples', 'findings': {what happened: the shortest case},
    'seconds', 'mb': of the most expensive case}.
  """
  outside = base / 'outside'
  outside.mkdir(parents=True, exist_ok=True)
  (outside / 'secret.txt').write_text('secret')
  found: dict[str, str] = {}
  most = {'seconds': 0.0, 'mb': 0.0}
  count = 0

  @hypothesis.seed(seed)
  @hypothesis.settings(
    max_examples=examples,
    database=None,
    deadline=None,
    phases=[hypothesis.Phase.generate],
    suppress_health_check=list(hypothesis.HealthCheck),
  )
  @hypothesis.given(kind.cases)
  def run(case):
    nonlocal count
    count += 1
    try:
      for name, value in play(kind, case, base).items():
        most[name] = max(most[name], value)
    except Finding as error:
      # A quota is tried to its end, so that one run finds all there is.
      text = _without_numbers(str(error))
      if len(repr(case)) < len(found.get(text, repr(case) + ' ')):
        found[text] = repr(case)

  run()
  shutil.rmtree(base / 'case', ignore_errors=True)
  return {'examples': count, 'findings': found, **most}


def _without_numbers(text):
  """The same for the same cause, as far as one can say."""
  head, colon, rest = text.partition(': ')
  return f'{head}{colon}{rest[:60]}'
