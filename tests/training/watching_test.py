import pathlib
import threading
import time

import pytest

from deeplab_contrast.training import checkpoints, watching
from deeplab_contrast.utils import errors, results


def save(folder, *steps):
  (folder / 'checkpoints').mkdir(parents=True, exist_ok=True)
  for step in steps:
    index = checkpoints.path_of(folder, step) + '.index'
    pathlib.Path(index).write_text('')


def watch(folder, known=(), poll=lambda: None, **kwargs):
  kwargs = {'interval': 0.01, 'timeout': 60.0, **kwargs}
  paths = watching.new_checkpoints(str(folder), set(known), poll, **kwargs)
  for path in paths:
    yield checkpoints.step_of(path)


def test_a_finished_run_gives_what_is_there_oldest_first(tmp_path):
  save(tmp_path, 100, 9, 20)
  results.write_done(str(tmp_path), 100)
  assert list(watch(tmp_path)) == [9, 20, 100]
  assert list(watch(tmp_path, known=[9, 100])) == [20]


def test_it_waits_until_the_run_is_done(tmp_path):
  def train():
    time.sleep(0.3)
    save(tmp_path, 1)
    time.sleep(0.3)
    save(tmp_path, 2)
    results.write_done(str(tmp_path), 2)

  thread = threading.Thread(target=train)
  thread.start()
  assert list(watch(tmp_path)) == [1, 2]
  thread.join()


def test_it_gives_up_after_a_time_without_anything_new(tmp_path):
  save(tmp_path, 1)
  paths = watch(tmp_path, timeout=0.3)
  assert next(paths) == 1
  time.sleep(0.4)  # The time an evaluation takes does not count.
  began = time.monotonic()
  with pytest.raises(errors.SystemFault, match='No new checkpoint .* 0.3 s'):
    next(paths)
  assert time.monotonic() - began > 0.25


def test_a_signal_ends_the_wait(tmp_path):
  calls = []

  def poll():
    calls.append(1)
    if len(calls) == 3:
      raise errors.Preempted('Stopped.')

  with pytest.raises(errors.Preempted):
    next(watch(tmp_path, poll=poll))
