"""One start of a recipe, watched from outside."""

import contextlib
import os
import pathlib
import re
import subprocess
import sys
import time

from deeplab_contrast.utils import run_files
from tools.soaking import disks

ROOT = pathlib.Path(__file__).resolve().parents[2]

# How the files of a save that is under way are called.
_UNFINISHED = ('_temp', '.tmp', '.tempstate')
_NAP = 0.02
_SHORT_NAP = 0.001


class Stuck(Exception):
  """A life neither ended nor made progress."""


class Life:
  """A process of `recipe`, and those that it starts.

  Args:
    command: the command line.
    folder: the folder of the recipe.
    log: the file its output is appended to.
    patience: seconds without an end after which it counts as stuck.
  """

  def __init__(self, command, folder, log, patience=6 * 3600):
    self._folder = pathlib.Path(folder)
    self._log = pathlib.Path(log)
    self._patience = patience
    self._from = self._log.stat().st_size if self._log.exists() else 0
    self._began = time.monotonic()
    with open(self._log, 'ab') as output:
      # A session of its own, so that all of it can be killed at once.
      self.process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=output,
        stderr=output,
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
        start_new_session=True,
      )

  @property
  def seconds(self):
    """Since its start."""
    return time.monotonic() - self._began

  def stage(self):
    """The process of the stage that runs, or None."""
    found = disks.children(self.process.pid)
    return found[0] if found else None

  def output(self):
    """What it has printed so far."""
    with open(self._log, 'rb') as file:
      file.seek(self._from)
      return file.read().decode(errors='replace')

  def wait(self):
    """Waits for its end, and for that of its stage; returns the exit code."""
    self.until(lambda: False)
    return self.process.returncode

  def until(self, reached, nap=_NAP):
    """Waits until something is true; False if the life has ended before."""
    while self.process.poll() is None:
      if reached():
        return True
      if self.seconds > self._patience:
        raise Stuck(f'No end after {self.seconds:.0f} s; see {self._log}.')
      time.sleep(nap)
    return False

  def until_progress(self, events):
    """Waits for some lines of logs, checkpoints, labels and finished stages."""
    goal = progress(self._folder) + events
    return self.until(lambda: progress(self._folder) >= goal)

  def until_saving(self):
    """Waits until a file is being written."""
    return self.until(lambda: is_saving(self._folder), _SHORT_NAP)


def command(recipe, folder, data_dir):
  """The command line of a recipe."""
  return [
    *(sys.executable, '-m', 'deeplab_contrast.recipe'),
    *(
      f'--gin_file={recipe}',
      f'--model_dir={folder}',
      f'--data_dir={data_dir}',
    ),
  ]


def stages(folder):
  """The folders of the stages so far, the latest last."""
  found = [p.parent for p in pathlib.Path(folder).glob('*/config.gin')]
  return sorted(found, key=lambda p: (p / run_files.CONFIG).stat().st_mtime_ns)


def saved(stage):
  """The steps of the complete checkpoints of a stage, ascending."""
  return sorted(
    int(path.stem.partition('-')[2])
    for path in stage.glob(f'{run_files.CHECKPOINTS}/ckpt-*.index')
  )


def logged(stage):
  """The last step of training in the log of a stage; 0 if there is none."""
  with contextlib.suppress(OSError):
    text = (stage / run_files.METRICS).read_text(errors='replace')
    return max(
      map(int, re.findall(r'"step": (\d+), "split": "train"', text)), default=0
    )
  return 0


def progress(folder):
  """A number that grows with the work done."""
  total = 0
  for stage in stages(folder):
    total += logged(stage) + 1 + (stage / run_files.DONE).exists()
    with contextlib.suppress(OSError):
      total += len(os.listdir(stage / run_files.LABELS))
  return total


def is_saving(folder):
  """Whether the latest stage writes a checkpoint or another file."""
  for stage in stages(folder)[-1:]:
    for place in ('', run_files.CHECKPOINTS, run_files.LABELS):
      with contextlib.suppress(OSError):
        names = os.listdir(stage / place)
        if any(part in name for name in names for part in _UNFINISHED):
          return True
  return False


def resumed(output):
  """{name of a stage: step that it resumed from}, of a life's output."""
  found = re.findall(r'Resuming from .*/([^/]+)/checkpoints/ckpt-(\d+)', output)
  return {name: int(step) for name, step in found}
