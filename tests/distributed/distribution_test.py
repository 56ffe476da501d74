import json
import signal
import subprocess
import sys
import types

import pytest
import tensorflow as tf

from deeplab_contrast.distributed import distribution
from deeplab_contrast.utils import errors
from tests import processes


@pytest.mark.parametrize(
  ('jobs', 'job', 'index', 'expected'),
  [
    ({'worker': 2}, 'worker', 0, True),
    ({'worker': 2}, 'worker', 1, False),
    ({'chief': 1, 'worker': 1}, 'chief', 0, True),
    ({'chief': 1, 'worker': 1}, 'worker', 0, False),
    ({}, None, None, True),
  ],
)
def test_one_process_is_the_chief(jobs, job, index, expected):
  resolver = types.SimpleNamespace(
    task_type=job,
    task_id=index,
    cluster_spec=lambda: types.SimpleNamespace(jobs=list(jobs)),
  )
  strategy = types.SimpleNamespace(cluster_resolver=resolver)
  assert distribution.is_chief(strategy) == expected


def test_an_unknown_name_is_refused_with_the_known_ones():
  with pytest.raises(errors.ConfigError, match='one, mirrored, multi_worker'):
    distribution.strategy('two')


def test_one_is_the_default_strategy_and_chief():
  strategy = distribution.strategy('one')
  assert strategy.num_replicas_in_sync == 1
  assert distribution.is_chief(strategy)


def test_without_a_tpu_the_fault_is_the_machines(monkeypatch):
  monkeypatch.delenv('TPU_NAME', raising=False)
  with pytest.raises(errors.SystemFault, match='Found no TPU'):
    distribution.strategy('tpu')


def test_workers_that_cannot_join_are_to_start_again(monkeypatch):
  def fail():
    raise tf.errors.UnavailableError(None, None, 'Connection\nreset')

  task = {'type': 'worker', 'index': 0}
  (port,) = processes.free_ports(1)
  cluster = {'worker': [f'localhost:{port}']}
  monkeypatch.setenv(
    'TF_CONFIG', json.dumps({'cluster': cluster, 'task': task})
  )
  monkeypatch.setattr(tf.distribute, 'MultiWorkerMirroredStrategy', fail)
  with pytest.raises(errors.WorkerLost, match='join .Connection reset'):
    distribution.strategy('multi_worker')


def test_mirrored_takes_all_devices_and_is_made_once():
  code = """
    import tensorflow as tf
    from deeplab_contrast.distributed import distribution
    cpu = tf.config.list_physical_devices('CPU')[0]
    tf.config.set_logical_device_configuration(
      cpu, [tf.config.LogicalDeviceConfiguration()] * 2
    )
    strategy = distribution.strategy('mirrored')
    assert strategy.num_replicas_in_sync == 2, strategy.num_replicas_in_sync
    assert distribution.strategy('mirrored') is strategy
    assert distribution.is_chief(strategy)
  """
  processes.run_python(code)


def test_who_waits_too_long_inside_c_is_ended():
  # A sleep in C with Python's lock held, as TensorFlow waits for workers.
  code = """
import ctypes
from deeplab_contrast.distributed import distribution
with distribution._deadline(1):
  ctypes.PyDLL(None).sleep(100)
"""
  done = subprocess.run(
    [sys.executable, '-c', code],
    env=processes.environment(),
    timeout=120,
    check=False,
  )
  assert done.returncode == -signal.SIGALRM


def test_a_block_that_ends_in_time_continues():
  numbers = (signal.SIGALRM, signal.SIGTERM, signal.SIGINT)
  before = [signal.getsignal(number) for number in numbers]
  with distribution._deadline(1):
    # No handler of Python can run inside TensorFlow.
    assert {signal.getsignal(n) for n in numbers} == {signal.SIG_DFL}
  assert [signal.getsignal(number) for number in numbers] == before
  assert signal.alarm(0) == 0
