import os
import signal
import subprocess
import sys

from deeplab_contrast.utils import errors, heartbeat
from tests import processes

# Beats five times at intervals shorter than the limit of 3 s, then hangs.
_COMMAND = """
import time
from deeplab_contrast.utils import heartbeat
heartbeat.limit(0.05)
for step in range(5):
  heartbeat.beat(f'computing step {step}', heartbeat.DEVICE)
  print(step, flush=True)
  time.sleep(0.2)
time.sleep(600)
"""


def start():
  return subprocess.Popen(
    [sys.executable, '-c', _COMMAND],
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
    env=processes.environment(),
  )


def test_without_progress_a_process_ends_and_says_where():
  with start() as process:
    printed, told = process.communicate(timeout=120)
  assert process.returncode == errors.Stuck.exit_code == 142
  assert printed == '0\n1\n2\n3\n4\n'
  assert told.startswith(
    'error: No progress for 0.05 minutes while computing step 4: a device or '
    'its driver hangs. Run the same command again'
  )
  assert told.count('\n') == 1


def test_the_time_of_a_stopped_process_does_not_count():
  with start() as process:
    assert process.stdout.readline() == '0\n'
    process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
    try:
      process.wait(4)
    except subprocess.TimeoutExpired:
      process.send_signal(signal.SIGCONT)
    printed, _ = process.communicate(timeout=120)
  assert printed.endswith('4\n')  # It continued to the end of its work.


def test_without_a_limit_nothing_is_watched():
  heartbeat.limit(0)
  heartbeat.beat('doing nothing', heartbeat.DISK)
  assert heartbeat._watch is None


def test_nothing_is_watched_once_a_command_ends():
  heartbeat.limit(60)
  watch = heartbeat._watch
  heartbeat.beat('doing something', heartbeat.DISK)
  heartbeat.stop()
  watch.join(60)
  assert not watch.is_alive()
