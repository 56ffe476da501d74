"""The disturbances: what is done to a run, when, and what must come of it."""

import contextlib
import dataclasses
import os
import random
import signal
import time

from deeplab_contrast.utils import run_files
from tools.soaking import lives

ALONE = 'SIGKILL, the recipe'

# {kind: the exit codes that it may end with}. 0: the run had nothing left to
# write. A negative one is a signal: for a shell, 128 + its number.
KINDS = {
  'SIGKILL, all processes': {-signal.SIGKILL},
  'SIGKILL, the stage': {128 + signal.SIGKILL},
  ALONE: {-signal.SIGKILL},
  'SIGTERM': {143, -signal.SIGTERM, 0},
  'full disk': {5, 0},
  'bit flipped in the newest checkpoint': {-signal.SIGKILL},
  'second start': {6},
}
MOMENTS = ('starting', 'working', 'saving')

_WEIGHTS = (5, 3, 3, 4, 4, 3, 1)
_MOST_EVENTS = 6
# The longest wait once a moment has come, in seconds.
_PAUSES = {'starting': 0.0, 'working': 0.3, 'saving': 0.02}
_FREE = (0, 4096, 100_000, 1_000_000, 3_000_000)
_PATIENCE = 60  # Seconds for killed processes to disappear.


@dataclasses.dataclass(frozen=True)
class Plan:
  """One disturbance.

  Attributes:
    number: counts them.
    kind: one of `KINDS`.
    moment: one of `MOMENTS`.
    events: pieces of progress to wait for before 'working'.
    share: of the time a start takes, for 'starting'.
    pause: seconds to wait after that.
    free: bytes that a full disk has left.
    places: two numbers in [0, 1): the byte of a file, and whether its index.
  """

  number: int
  kind: str
  moment: str
  events: int
  share: float
  pause: float
  free: int
  places: tuple[float, float]


def plan(seed, number):
  """The disturbance of a number, a function of the seed."""
  draw = random.Random(f'{seed} {number}')
  (kind,) = draw.choices(list(KINDS), _WEIGHTS)
  moment = draw.choice(MOMENTS)
  return Plan(
    number,
    kind,
    moment,
    draw.randint(1, _MOST_EVENTS),
    draw.random(),
    draw.uniform(0, _PAUSES[moment]),
    draw.choice(_FREE),
    (draw.random(), draw.random()),
  )


def wait(planned, life, folder, start_seconds):
  """Waits for the moment; False if the life has ended before.

  Args:
    planned: the `Plan`.
    life: the `lives.Life`.
    folder: the folder of the recipe.
    start_seconds: how long a start takes until its first step.
  """
  if planned.kind.startswith('bit') and not life.until(
    lambda: _newest(folder) is not None
  ):
    return False
  if planned.moment == 'starting' and not planned.kind.startswith('bit'):
    due = planned.share * start_seconds
    return life.until(lambda: life.seconds > due)
  if planned.moment == 'working' and not life.until_progress(planned.events):
    return False
  if planned.moment == 'saving' and not (
    life.until_progress(1) and life.until_saving()
  ):
    return False
  time.sleep(planned.pause)
  return True


def disturb(planned, life, folder, disk, again):
  """Does what is planned.

  Args:
    planned: the `Plan`.
    life: the `lives.Life`.
    folder: the folder of the recipe.
    disk: the `disks.Disk` that holds it.
    again: starts the same command once more; returns a `lives.Life`.

  Returns:
    (exit code, whether the life goes on, the name and step of the checkpoint
    that was damaged or None).
  """
  kind = planned.kind
  if kind == 'second start':
    code = again().wait()
    is_late = life.process.poll() is not None
    # The first may end while the second imports TensorFlow.
    return (6 if is_late and code == 0 else code), not is_late, None
  if kind == 'full disk':
    disk.fill(life.process, planned.free)
    code = life.wait()
    disk.clear()
    return code, False, None
  stage = life.stage()
  if kind == 'SIGTERM':
    life.process.terminate()
  elif kind == 'SIGKILL, the stage' and stage is not None:
    with contextlib.suppress(ProcessLookupError):
      os.kill(stage, signal.SIGKILL)
  elif kind == ALONE:
    life.process.kill()
  else:
    end_all(life.process.pid)
  code = life.wait()
  if kind == 'SIGKILL, the stage' and stage is None:
    code = 128 - code  # There was none.
  damaged = _flip(planned, folder) if kind.startswith('bit') else None
  return code, False, damaged


def end_all(group):
  """Kills a group of processes, and waits until they are gone."""
  until = time.monotonic() + _PATIENCE
  with contextlib.suppress(ProcessLookupError, PermissionError):
    while time.monotonic() < until:
      os.killpg(group, signal.SIGKILL)
      if not any(map(_runs, _members(group))):
        return
      time.sleep(0.05)


def _members(group):
  for name in os.listdir('/proc'):
    with contextlib.suppress(OSError, ValueError):
      if os.getpgid(int(name)) == group:
        yield int(name)


def _runs(pid):
  try:
    with open(f'/proc/{pid}/stat', encoding='utf-8') as file:
      return file.read().rpartition(')')[2].split()[0] != 'Z'
  except OSError:
    return False


def _newest(folder):
  """(stage, step) of the newest checkpoint of a stage at work, if not alone."""
  for stage in lives.stages(folder)[-1:]:
    steps = lives.saved(stage)
    if len(steps) > 1 and not (stage / run_files.DONE).exists():
      return stage, steps[-1]
  return None


def _flip(planned, folder):
  """Flips one bit, where it is stored; returns (stage's name, step) or None."""
  found = _newest(folder)
  if found is None:
    return None
  stage, step = found
  place, kind = planned.places
  ending = 'index' if kind < 0.3 else 'data-00000-of-00001'
  path = stage / run_files.CHECKPOINTS / f'ckpt-{step}.{ending}'
  with open(path, 'r+b') as file:
    at = int(place * path.stat().st_size)
    file.seek(at)
    byte = file.read(1)[0] ^ (1 << planned.number % 8)
    file.seek(at)
    file.write(bytes([byte]))
  return stage.name, step
