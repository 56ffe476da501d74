import os
import signal
import subprocess
import sys
import time

import pytest

from deeplab_contrast.datasets.raw import parallel
from deeplab_contrast.utils import errors
from tests import processes


def square(value):
  return value * value


def die(value):
  if value == 5:
    os.kill(os.getpid(), signal.SIGKILL)
  return value


def fail(value):
  if value == 5:
    raise errors.DataError('five.')
  return value


@pytest.mark.parametrize(
  'workers', [0, pytest.param(2, marks=pytest.mark.slow)]
)
def test_results_are_in_order(workers):
  items = list(range(300))
  found = list(parallel.in_order(square, items, workers))
  assert found == [value * value for value in items]


def test_no_items_start_no_workers():
  assert list(parallel.in_order(square, [], workers=4)) == []


def test_few_are_read_ahead():
  started = []
  results = parallel.in_order(started.append, list(range(100_000)))
  next(results)
  results.close()
  assert len(started) < 1000


@pytest.mark.parametrize(
  'workers', [0, pytest.param(1, marks=pytest.mark.slow)]
)
def test_errors_of_the_function_come_through(workers):
  with pytest.raises(errors.DataError, match='five'):
    list(parallel.in_order(fail, list(range(9)), workers))


@pytest.mark.slow
def test_a_dead_worker_is_reported():
  with pytest.raises(errors.SystemFault, match='fewer workers'):
    list(parallel.in_order(die, list(range(9)), 1))


_PROGRAM = """
import os, sys, time
from deeplab_contrast.datasets.raw import parallel

def wait(value):
  if value == 0:
    print(os.getpid(), flush=True)
  time.sleep(0.01)

if __name__ == '__main__':
  list(parallel.in_order(wait, range(100_000), 1))
"""


@pytest.mark.slow
def test_workers_do_not_outlive_a_killed_parent(tmp_path):
  program = tmp_path / 'program.py'
  program.write_text(_PROGRAM)
  parent = subprocess.Popen(
    [sys.executable, program],
    stdout=subprocess.PIPE,
    text=True,
    env=processes.environment(),
  )
  worker = int(parent.stdout.readline())
  parent.kill()
  parent.wait()
  deadline = time.monotonic() + 120
  while os.path.exists(f'/proc/{worker}'):
    with open(f'/proc/{worker}/stat') as file:
      if file.read().rpartition(')')[2].split()[0] == 'Z':
        break  # Dead, but not reaped.
    assert time.monotonic() < deadline
    time.sleep(0.1)
