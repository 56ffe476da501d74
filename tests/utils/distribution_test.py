import json
import signal
import socket
import subprocess
import sys
import types

import pytest

from deeplab_contrast.utils import distribution, errors
from tests import processes


def tf_config(cluster, job='worker', index=0):
  return json.dumps({'cluster': cluster, 'task': {'type': job, 'index': index}})


def test_a_right_tf_config_counts_its_tasks():
  cluster = {'chief': ['a:1'], 'worker': ['b:2', 'c:3']}
  assert distribution.check_tf_config(tf_config(cluster, index=1)) == 3
  assert distribution.check_tf_config(tf_config(cluster, 'chief')) == 3


@pytest.mark.parametrize(
  ('text', 'sentence'),
  [
    (None, 'needs the environment variable TF_CONFIG'),
    ('{', 'must be JSON'),
    ('[]', 'must be JSON'),
    ('{"cluster": {"worker": ["a:1"]}}', "fails at KeyError.'task'"),
    (tf_config({'worker': ['a:1']}, index=1), "is worker 1, .*'worker': 1"),
    (tf_config({'worker': ['a:1']}, index=-1), 'is worker -1'),
    (tf_config({'worker': ['a:1']}, 'chief'), 'is chief 0'),
    (tf_config({'worker': ['a:1'], 'ps': ['b:1']}), "has the jobs .'ps'."),
    (tf_config({'worker': ['a:99999']}), 'a:99999 is not host:port'),
    (tf_config({'worker': ['a']}), 'a is not host:port'),
  ],
)
def test_a_wrong_tf_config_is_one_sentence(text, sentence):
  with pytest.raises(errors.ConfigError, match=sentence) as caught:
    distribution.check_tf_config(text)
  assert '\n' not in str(caught.value)


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


def test_mirrored_takes_all_devices_and_is_made_once():
  code = """
    import tensorflow as tf
    from deeplab_contrast.utils import distribution
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
from deeplab_contrast.utils import distribution
with distribution._deadline(1):
  ctypes.PyDLL(None).sleep(30)
"""
  done = subprocess.run(
    [sys.executable, '-c', code],
    env=processes.environment(),
    timeout=20,
    check=False,
  )
  assert done.returncode == -signal.SIGALRM


def test_who_is_in_time_goes_on():
  before = signal.getsignal(signal.SIGALRM)
  with distribution._deadline(1):
    pass
  assert signal.getsignal(signal.SIGALRM) == before
  assert signal.alarm(0) == 0


@pytest.mark.slow
def test_a_port_that_is_taken_is_one_sentence():
  code = """
    from deeplab_contrast.utils import distribution, errors
    import os, socket
    try:
      distribution.strategy('multi_worker')
    except errors.SystemFault as error:
      print(error)
  """
  with socket.socket() as taken:
    taken.bind(('0.0.0.0', 0))
    taken.listen()
    addresses = [f'localhost:{taken.getsockname()[1]}', 'localhost:1']
    with pytest.MonkeyPatch.context() as patch:
      patch.setenv('TF_CONFIG', tf_config({'worker': addresses}))
      said = processes.run_python(code)
  assert 'Cannot start this worker' in said
