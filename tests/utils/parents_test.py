"""What happens to a stage whose recipe is killed."""

import os
import signal
import subprocess
import sys
import time

from deeplab_contrast.utils import errors, locking
from tests import processes

# Follows its parent, holds a lock, and needs a moment to let go of it.
_STAGE = """
import signal, sys, time
from deeplab_contrast.utils import locking, parents, signals
print('followed', parents.follow(), flush=True)
with signals.stop_request() as stop, locking.model_dir_lock(sys.argv[1]):
  print('locked', flush=True)
  while not stop.came():
    time.sleep(0.05)
  time.sleep(1)
  print('saved', flush=True)
"""

_RECIPE = """
import sys
from deeplab_contrast.studies import processes
processes.run([sys.executable, '-c', sys.argv[1], sys.argv[2]], 'stage')
"""


def start(*arguments):
  return subprocess.Popen(
    [sys.executable, '-c', *arguments],
    stdout=subprocess.PIPE,
    text=True,
    env=processes.environment(),
  )


def wait_for(process, line):
  for found in iter(process.stdout.readline, ''):
    if found == f'{line}\n':
      return
  raise AssertionError(f'{line!r} never came.')


def test_a_stage_ends_with_a_recipe_that_is_killed(tmp_path):
  folder = str(tmp_path)
  recipe = start(_RECIPE, _STAGE, folder)
  wait_for(recipe, 'followed True')
  wait_for(recipe, 'locked')
  os.kill(recipe.pid, signal.SIGKILL)
  recipe.wait(30)
  began = time.monotonic()
  # The next one waits until the first has saved.
  try:
    locking.wait_for_others(30)
    with locking.model_dir_lock(folder):
      waited = time.monotonic() - began
  finally:
    locking.wait_for_others(0)
  wait_for(recipe, 'saved')  # The pipe outlives its first owner.
  recipe.stdout.close()
  assert waited > 0.5


def test_waiting_for_a_lock_ends(tmp_path):
  holder = start(_STAGE, str(tmp_path))
  wait_for(holder, 'followed False')
  wait_for(holder, 'locked')
  began = time.monotonic()
  try:
    locking.wait_for_others(0.5)
    with locking.model_dir_lock(str(tmp_path)):
      raise AssertionError('The lock was given.')
  except errors.BusyError as error:
    assert f'Process {holder.pid} ' in str(error)
  finally:
    locking.wait_for_others(0)
  assert time.monotonic() - began >= 0.5
  holder.terminate()
  holder.wait(30)
  holder.stdout.close()


def test_one_that_nobody_started_follows_nobody():
  code = 'from deeplab_contrast.utils import parents; print(parents.follow())'
  assert processes.run_python(code) == 'False\n'
