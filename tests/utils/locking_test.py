import os
import socket
import subprocess
import sys
import threading

import pytest

from deeplab_contrast.utils import errors, locking
from tests import processes

# Waits for a common start, tries, and holds the lock until asked to end.
CONTENDER = """
import os, sys, time
from deeplab_contrast.utils import errors, locking
folder, start = sys.argv[1:]
print('ready', flush=True)
while not os.path.exists(start):
  time.sleep(0.001)
try:
  with locking.model_dir_lock(folder):
    print('won', os.getpid(), flush=True)
    sys.stdin.read()
except errors.BusyError as error:
  print('lost', error, flush=True)
"""


def contender(folder, start):
  process = subprocess.Popen(
    [sys.executable, '-c', CONTENDER, str(folder), str(start)],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    text=True,
    env=processes.environment(),
  )
  assert process.stdout.readline() == 'ready\n'
  return process


def assert_refused(folder, error, match):
  with pytest.raises(error, match=match), locking.model_dir_lock(str(folder)):
    raise AssertionError('The lock was given.')


def test_of_eight_processes_exactly_one_wins_and_is_named(tmp_path):
  folder, start = tmp_path / 'run', tmp_path / 'start'
  racers = [contender(folder, start) for _ in range(8)]
  start.touch()
  said = [racer.stdout.readline().split() for racer in racers]
  for racer in racers:
    racer.communicate()
  (winner,) = [words[1] for words in said if words[0] == 'won']
  losers = [words for words in said if words[0] == 'lost']
  assert len(losers) == 7
  for words in losers:
    assert words[1:5] == ['Process', winner, 'on', socket.gethostname()]


def test_the_lock_of_a_killed_process_is_free(tmp_path):
  folder, start = tmp_path / 'run', tmp_path / 'start'
  start.touch()
  owner = contender(folder, start)
  assert owner.stdout.readline().startswith('won')
  assert_refused(folder, errors.BusyError, f'Process {owner.pid} on')
  owner.kill()
  owner.communicate()
  with locking.model_dir_lock(str(folder)):
    assert str(os.getpid()) in (folder / locking.FILE).read_text()


def test_a_lock_ends_with_its_block_also_by_an_error(tmp_path):
  with pytest.raises(KeyError), locking.model_dir_lock(str(tmp_path)):
    raise KeyError
  with locking.model_dir_lock(str(tmp_path)):
    pass


def test_a_file_in_place_of_the_folder_is_a_system_fault(tmp_path):
  (tmp_path / 'file').touch()
  for path in (tmp_path / 'file', tmp_path / 'file' / 'run'):
    assert_refused(path, errors.SystemFault, 'Cannot write to')


@pytest.mark.skipif(os.geteuid() == 0, reason='root may write anywhere')
def test_a_read_only_folder_is_a_system_fault(tmp_path):
  tmp_path.chmod(0o500)
  assert_refused(tmp_path, errors.SystemFault, 'Permission denied')


def test_training_continues_on_a_file_system_without_locks(
  tmp_path, monkeypatch, caplog
):
  def no_locks(*_):
    raise OSError(locking.errno.ENOLCK, 'No locks available')

  monkeypatch.setattr(locking.fcntl, 'flock', no_locks)
  with locking.model_dir_lock(str(tmp_path)):
    assert 'has no locks' in caplog.text


def test_a_waiting_lock_comes_after_the_owner(tmp_path, capsys):
  folder, start = tmp_path / 'run', tmp_path / 'start'
  start.touch()
  owner = contender(folder, start)
  assert owner.stdout.readline().startswith('won')
  threading.Timer(0.3, owner.kill).start()
  with locking.waiting_lock(str(folder), 'Waiting.') as is_locked:
    assert is_locked
    assert owner.poll() is not None or owner.wait(5) is not None
  owner.communicate()
  assert capsys.readouterr().err == 'Waiting.\n'


def test_a_remote_folder_is_not_locked():
  with locking.waiting_lock('gs://bucket/data') as is_locked:
    assert not is_locked
