"""tf.distribute strategies by name, with their faults told in a sentence.

TensorFlow is imported by the functions: the names alone must not cost seconds.
"""

import contextlib
import functools
import json
import os
import signal
import sys
import threading

from deeplab_contrast.utils import errors

NAMES = ('one', 'mirrored', 'multi_worker', 'tpu')

# How long to wait until all workers of a cluster have come.
CLUSTER_SECONDS = 900


@functools.cache
def strategy(name: str):
  """Makes a strategy, once in a process: a second one breaks collectives.

  Args:
    name: 'one' (one device), 'mirrored' (all GPUs of this machine),
      'multi_worker' (the cluster that TF_CONFIG describes), or 'tpu' (untested:
      no TPU was at hand).

  Returns:
    A `tf.distribute.Strategy`.

  Raises:
    ConfigError: no such name, or a wrong TF_CONFIG.
    SystemFault: the devices are not there, or cannot be reached.
  """
  if name not in NAMES:
    raise errors.ConfigError(
      f'strategy is {name!r}; known: {", ".join(NAMES)}.'
    )
  makers = {'mirrored': _mirrored, 'multi_worker': _multi_worker, 'tpu': _tpu}
  return makers.get(name, _one)()


def is_chief(strategy_) -> bool:
  """Whether this process is the one that writes files for all."""
  resolver = strategy_.cluster_resolver
  if resolver is None or resolver.task_type in (None, '', 'chief'):
    return True
  has_chief = 'chief' in resolver.cluster_spec().jobs
  return not has_chief and resolver.task_id == 0


def check_tf_config(text: str | None) -> int:
  """Checks the description of a cluster, as TF_CONFIG has it.

  Args:
    text: JSON; None or '' if the variable is not set.

  Returns:
    The number of its tasks.

  Raises:
    ConfigError: not a description in which this process has a place.
  """
  if not text:
    raise errors.ConfigError(
      'strategy multi_worker needs the environment variable TF_CONFIG, JSON'
      ' with the addresses of all workers and the place of this one.'
    )
  try:
    config = json.loads(text)
    jobs = {job: list(hosts) for job, hosts in config['cluster'].items()}
    job, index = config['task']['type'], int(config['task']['index'])
  except (ValueError, KeyError, TypeError, AttributeError) as error:
    raise errors.ConfigError(
      'TF_CONFIG must be JSON like {"cluster": {"worker": ["host:port", ...]},'
      f' "task": {{"type": "worker", "index": 0}}}}; it fails at {error!r}.'
    ) from error
  _check_task(jobs, job, index)
  return sum(len(hosts) for hosts in jobs.values())


def _check_task(jobs, job, index):
  others = sorted(set(jobs) - {'chief', 'worker'})
  if others:
    raise errors.ConfigError(
      f'TF_CONFIG has the jobs {others}; only chief and worker are supported.'
    )
  if not 0 <= index < len(jobs.get(job, ())):
    raise errors.ConfigError(
      f'TF_CONFIG says that this is {job} {index}, but its cluster has'
      f' { ({name: len(hosts) for name, hosts in jobs.items()}) }.'
    )
  for address in (a for hosts in jobs.values() for a in hosts):
    port = str(address).rpartition(':')[2]
    if not (port.isdigit() and 0 < int(port) < 65536):
      raise errors.ConfigError(f'TF_CONFIG: {address} is not host:port.')


def _one():
  import tensorflow as tf

  return tf.distribute.get_strategy()


def _mirrored():
  import tensorflow as tf

  # Without GPUs, all logical CPUs: so two replicas can be tried anywhere.
  devices = tf.config.list_logical_devices('GPU')
  devices = devices or tf.config.list_logical_devices('CPU')
  return tf.distribute.MirroredStrategy([device.name for device in devices])


def _multi_worker():
  tasks = check_tf_config(os.environ.get('TF_CONFIG'))
  import tensorflow as tf

  print(
    f'Waiting up to {CLUSTER_SECONDS} s for the {tasks} tasks of TF_CONFIG; '
    'then this ends with code 142.',
    file=sys.stderr,
    flush=True,
  )
  try:
    with _deadline(CLUSTER_SECONDS):
      return tf.distribute.MultiWorkerMirroredStrategy()
  except tf.errors.OpError as error:
    raise errors.SystemFault(
      f'Cannot start this worker ({error.message}); is its port in TF_CONFIG'
      ' taken, or another worker missing?'
    ) from error


def _tpu():
  import tensorflow as tf

  try:
    resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu='')
    tf.config.experimental_connect_to_cluster(resolver)
    tf.tpu.experimental.initialize_tpu_system(resolver)
  except (ValueError, tf.errors.OpError) as error:
    message = ' '.join(str(error).split())
    raise errors.SystemFault(f'Found no TPU ({message}).') from error
  return tf.distribute.TPUStrategy(resolver)


@contextlib.contextmanager
def _deadline(seconds):
  """Ends the process (SIGALRM, exit code 142) if this takes longer.

  TensorFlow waits for a cluster inside C++, holding the lock of Python: no
  thread and no handler can run, only the kernel can end it.
  """
  if threading.current_thread() is not threading.main_thread():
    yield
    return
  previous = signal.signal(signal.SIGALRM, signal.SIG_DFL)
  signal.alarm(seconds)
  try:
    yield
  finally:
    signal.alarm(0)
    signal.signal(signal.SIGALRM, previous or signal.SIG_DFL)
