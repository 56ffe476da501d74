"""tf.distribute strategies by name; their errors become one sentence.

Functions import TensorFlow: the names alone must not take seconds.
"""

import contextlib
import functools
import os
import signal
import threading
from typing import Any

from deeplab_contrast.distributed import cluster
from deeplab_contrast.utils import errors

NAMES = ('one', 'mirrored', 'multi_worker', 'tpu')

# How long to wait for all workers of a cluster, and then for TensorFlow to join
# them.
CLUSTER_SECONDS = 900
JOIN_SECONDS = 120


@functools.cache
def strategy(name: str) -> Any:
  """Makes a strategy, once per process: a second one breaks collectives.

  Args:
    name: 'one' (one device), 'mirrored' (all GPUs of this machine),
      'multi_worker' (the cluster that TF_CONFIG describes), or 'tpu' (that of
      the environment variable TPU_NAME; untested: no TPU was available).

  Returns:
    A `tf.distribute.Strategy`.

  Raises:
    ConfigError: an unknown name, or a wrong TF_CONFIG.
    SystemFault: the devices do not exist or cannot be reached, or another
      worker did not start.
    WorkerLost: another worker started and was lost again.
  """
  if name not in NAMES:
    raise errors.ConfigError(
      f'strategy is {name!r}; known: {", ".join(NAMES)}.'
    )
  makers = {'mirrored': _mirrored, 'multi_worker': _multi_worker, 'tpu': _tpu}
  return makers.get(name, _one)()


def is_chief(strategy_: Any) -> bool:
  """Whether this process is the one that writes files for all."""
  resolver = strategy_.cluster_resolver
  if resolver is None or resolver.task_type in (None, '', 'chief'):
    return True
  has_chief = 'chief' in resolver.cluster_spec().jobs
  return not has_chief and resolver.task_id == 0


def _one():
  import tensorflow as tf

  return tf.distribute.get_strategy()


def _mirrored():
  import tensorflow as tf

  # Without GPUs, all logical CPUs, so that two replicas can be tried anywhere.
  devices = tf.config.list_logical_devices('GPU')
  devices = devices or tf.config.list_logical_devices('CPU')
  return tf.distribute.MirroredStrategy([device.name for device in devices])


def _multi_worker():
  tasks = cluster.here()
  import tensorflow as tf

  # After the import, which takes seconds, so that all are ready together.
  tasks.meet(CLUSTER_SECONDS)
  try:
    with _deadline(JOIN_SECONDS):
      result = tf.distribute.MultiWorkerMirroredStrategy()
  except tf.errors.OpError as error:
    message = ' '.join(error.message.split())
    raise errors.WorkerLost(
      f'The workers of TF_CONFIG met, but cannot join ({message[:200]}); one of'
      ' an earlier start may still be running: start all again.'
    ) from error
  # All batches are full. Asking whether they are would take a collective per
  # batch, which never ends once a worker is lost.
  result.extended.experimental_enable_get_next_as_optional = False
  return result


def _tpu():
  import tensorflow as tf

  try:
    # A TPU VM sets it to 'local'.
    name = os.environ.get('TPU_NAME', '')
    resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=name)
    tf.config.experimental_connect_to_cluster(resolver)
    tf.tpu.experimental.initialize_tpu_system(resolver)
  except (ValueError, tf.errors.OpError) as error:
    message = ' '.join(str(error).split())
    raise errors.SystemFault(f'Found no TPU ({message}).') from error
  return tf.distribute.TPUStrategy(resolver)


@contextlib.contextmanager
def _deadline(seconds):
  """Ends the process (SIGALRM, exit code 142) if this takes longer.

  TensorFlow joins a cluster inside C++ while holding Python's lock: no thread
  and no handler can run, so only the kernel can end the process. Hence SIGTERM
  and SIGINT get their default action as well.
  """
  if threading.current_thread() is not threading.main_thread():
    yield
    return
  numbers = (signal.SIGALRM, signal.SIGTERM, signal.SIGINT)
  previous = [signal.signal(number, signal.SIG_DFL) for number in numbers]
  signal.alarm(seconds)
  try:
    yield
  finally:
    signal.alarm(0)
    for number, handler in zip(numbers, previous, strict=True):
      signal.signal(number, handler or signal.SIG_DFL)
