import os
import signal
import subprocess
import sys

import pytest

from deeplab_contrast.studies import processes
from deeplab_contrast.utils import errors
from tests import processes as test_processes

Task = processes.Task


def task(key, code='', needs=(), **kwargs):
  command = [sys.executable, '-S', '-c', code]
  return Task(key, command, f'Task {key}', needs, **kwargs)


def wait_until(condition):
  """Code that waits for a condition on files."""
  return (
    'import time\nfrom os.path import exists\n'
    f'while not ({condition}): time.sleep(0.01)\n'
  )


def test_a_task_waits_for_what_it_needs(tmp_path):
  def noted(key, needs=(), code=''):
    return task(key, code, needs, done=note(key))

  def note(key):
    def done(_):
      order.append(key)
      (tmp_path / key).touch()

    return done

  order = []
  first = noted('a', code=wait_until(f'exists({str(tmp_path / "c")!r})'))
  tasks = [first, noted('b', ('a',)), noted('c', ('gone',))]
  processes.run_all(tasks, at_once=2)
  assert order == ['c', 'a', 'b']
  order.clear()
  processes.run_all(tasks)
  assert order == ['a', 'b', 'c']


def test_two_run_at_a_time(tmp_path):
  # Each waits until the other is there.
  code = f'open({str(tmp_path)!r} + "/{{0}}", "w").close()\n'
  code += wait_until(f'exists({str(tmp_path)!r} + "/{{1}}")')
  pair = [task('a', code.format('a', 'b')), task('b', code.format('b', 'a'))]
  processes.run_all(pair, at_once=2)


def test_after_a_failure_no_other_is_started(tmp_path, capfd):
  log, pid = tmp_path / 'logs' / 'a.log', tmp_path / 'pid'
  # The first writes its process id, which exists until its failure is noticed;
  # the second ends after that.
  fails = (
    f'import os, sys; open({str(pid)!r} + "~", "w").write(str(os.getpid()))\n'
    f'os.rename({str(pid)!r} + "~", {str(pid)!r}); sys.exit("bad luck")'
  )
  outlives = (
    wait_until(f'exists({str(pid)!r})')
    + wait_until(f'not exists("/proc/" + open({str(pid)!r}).read())')
    + 'print("ended")'
  )
  tasks = [
    task('a', fails, log=str(log)),
    task('b', outlives),
    task('c', 'print("never")'),
  ]
  with pytest.raises(processes.ChildFailed, match=r'Task a .*\(see .*a.log\)'):
    processes.run_all(tasks, at_once=2)
  out = capfd.readouterr().out
  assert 'ended' in out and 'never' not in out.replace('print("never")', '')
  assert 'Task c' not in out
  assert log.read_text() == 'bad luck\n'


@pytest.mark.parametrize('code', [3, 4])
def test_bad_data_or_numbers_stop_only_what_needs_them(code, capfd):
  tasks = [
    task('a', f'import sys; sys.exit({code})'),
    task('b', needs=('a',)),
    task('d', needs=('b', 'c')),
    task('c', 'print("other " + "arm")'),
    task('e', f'import sys; sys.exit({7 - code})'),
  ]
  with pytest.raises(processes.ChildFailed) as caught:
    processes.run_all(tasks)
  assert caught.value.exit_code == code
  assert 'and so did Task e; not run: Task b, Task d; fix' in str(caught.value)
  out = capfd.readouterr().out
  assert 'other arm' in out
  assert 'Task b' not in out and 'Task d' not in out


def test_the_worst_failure_gives_the_exit_code():
  tasks = [task(str(c), f'import sys; sys.exit({c})') for c in (3, 4, 5, 0)]
  with pytest.raises(processes.ChildFailed, match='so did Task 3') as caught:
    processes.run_all(tasks)
  assert caught.value.exit_code == 5


@pytest.mark.parametrize('code', [1, 2, 5, 6, 143])
def test_other_failures_stop_all(code, capfd):
  tasks = [task('a', f'import sys; sys.exit({code})'), task('b')]
  with pytest.raises(processes.ChildFailed, match='not run: Task b;') as caught:
    processes.run_all(tasks)
  assert caught.value.exit_code == code
  assert 'Task b' not in capfd.readouterr().out


def test_the_seconds_of_a_failure_are_reported_too():
  found = []
  with pytest.raises(processes.ChildFailed) as caught:
    processes.run_all(
      [task('a', 'import time; time.sleep(0.3); 1/0', done=found.append)]
    )
  assert caught.value.exit_code == 1
  assert found[0] > 0.3


_PARENT = """
import sys
from deeplab_contrast.studies import processes
from deeplab_contrast.utils import errors
code = 'import os, time; os.write(1, b"up" + bytes([10])); time.sleep(60)'
try:
  processes.run_all([
    processes.Task(k, [sys.executable, '-S', '-c', code], k) for k in 'ab'
  ], at_once=2)
except errors.UserError as error:
  sys.exit(error.exit_code)
"""


def test_sigterm_reaches_all():
  with subprocess.Popen(
    [sys.executable, '-c', _PARENT],
    stdout=subprocess.PIPE,
    text=True,
    env=test_processes.environment(),
  ) as parent:
    seen = 0
    while seen < 2:
      line = parent.stdout.readline()
      assert line, 'It ended by itself.'
      seen += line == 'up\n'
    os.kill(parent.pid, signal.SIGTERM)
    # Long before its children would have ended by themselves.
    assert parent.wait(30) == 128 + signal.SIGTERM


def test_a_signal_between_two_tasks_stops(capfd):
  stop = lambda _: os.kill(os.getpid(), signal.SIGTERM)  # noqa: E731
  with pytest.raises(errors.Preempted, match='Stopped by SIGTERM; run the'):
    processes.run_all([task('a', done=stop), task('b')])
  out = capfd.readouterr().out
  assert 'Task a' in out and 'Task b' not in out


def test_it_can_be_caught_as_a_user_error():
  assert issubclass(processes.ChildFailed, errors.UserError)


def test_flags_that_are_handed_on():
  flags = processes.Flags('mirrored', '/data', True, ('mine',), 5.0)
  assert flags.command('vis', 'runs/a', '--num_images=2')[2:] == [
    'deeplab_contrast.vis',
    '--num_images=2',
    '--model_dir=runs/a',
    '--strategy=mirrored',
    '--data_dir=/data',
    '--allow_config_change',
    '--stuck_minutes=5.0',
    '--allow_import=mine',
  ]
  assert processes.Flags().command('eval', 'runs/a')[3:] == [
    '--model_dir=runs/a',
    '--strategy=one',
  ]
