import os
import signal
import subprocess
import sys

import pytest

from tests import processes

_COMMAND = """
import os, sys, time
from deeplab_contrast.utils import signals
signals.end_at_once()
os.fork()  # A worker: it ends without a word.
os.write(1, b'up\\n')  # In one piece, whoever else writes.
time.sleep(60)
"""


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_before_there_is_anything_to_save(number):
  child = subprocess.Popen(
    [sys.executable, '-S', '-c', _COMMAND],
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
    env=processes.environment(),
    start_new_session=True,
  )
  for _ in range(2):
    assert child.stdout.readline() == 'up\n'
  os.killpg(child.pid, number)
  _, told = child.communicate(timeout=120)
  assert child.returncode == 143
  assert told == (
    f'error: Stopped by {number.name}; run the same command again.\n'
  )
