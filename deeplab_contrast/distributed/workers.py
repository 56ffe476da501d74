"""Communication between the processes of one training.

All of them must call the same methods in the same order: each is a collective,
in which the first process waits for the others.

Functions import TensorFlow and NumPy: most commands are one process, and some
need neither.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from deeplab_contrast.distributed import cluster, distribution
from deeplab_contrast.utils import errors, heartbeat

if TYPE_CHECKING:
  import numpy as np


class Alone:
  """One process: it always agrees with itself.

  Attributes:
    is_chief: whether this process writes files for all.
    count: the number of processes that train together.
  """

  count = 1

  def __init__(self, is_chief: bool = True):
    self.is_chief = is_chief

  def agree(self, texts: Mapping[str, str], advice: str) -> None:
    """See `Team`."""

  def largest(self, number: int) -> int:
    """See `Team`."""
    return number

  def leave(self) -> None:
    """See `Team`."""

  def explained(self) -> contextlib.AbstractContextManager[None]:
    """See `Team`."""
    return contextlib.nullcontext()


class Team:
  """Several processes.

  Args:
    tasks: the cluster.
    total: maps an int64 array to its sum over all processes.
  """

  def __init__(
    self, tasks: cluster.Cluster, total: Callable[[np.ndarray], np.ndarray]
  ):
    self._tasks = tasks
    self._total = total
    self.count = len(tasks.tasks)
    self.is_chief = tasks.index == 0

  def agree(self, texts: Mapping[str, str], advice: str) -> None:
    """Refuses to continue if the processes differ; all raise the same error.

    Args:
      texts: {name: text}, compared by digest; names are the same everywhere.
      advice: what to do, as the end of a sentence.

    Raises:
      ConfigError: names the tasks and texts that differ from the chief's.
    """
    table = self._gather([_digest(text) for text in texts.values()])
    faults = []
    for place, name in enumerate(texts):
      others = [
        self._tasks.title(i)
        for i in range(1, self.count)
        if (table[i, place] != table[0, place]).any()
      ]
      if others:
        faults.append(f'{", ".join(others)} in the {name}')
    if faults:
      self._linger()
      raise errors.ConfigError(
        f'Workers differ from {self._tasks.title(0)}: {"; ".join(faults)}; '
        f'{advice}'
      )

  def largest(self, number: int) -> int:
    """The largest number of all processes: ints >= 0."""
    return int(self._gather(number).max())

  def leave(self) -> None:
    """Waits for all before this process ends.

    Raises:
      tf.errors.OpError: one of them has already ended, successfully or not.
    """
    heartbeat.beat('waiting for the other processes', heartbeat.OTHERS)
    self._gather(0)

  def _linger(self):
    """Waits for all before this process ends with an error that all raise.

    Otherwise another one might lose a result that it still waits for.
    """
    import tensorflow as tf

    with contextlib.suppress(tf.errors.OpError):
      self._gather(0)

  @contextlib.contextmanager
  def explained(self) -> Iterator[None]:
    """Explains in a sentence that another process was lost while inside.

    TensorFlow notices within about ten seconds and then fails all collectives.

    Raises:
      WorkerLost: in place of TensorFlow's error.
    """
    import tensorflow as tf

    try:
      yield
    except tf.errors.OpError as error:
      if not is_loss(error.message):
        raise
      lost = self._lost(error.message) or 'another worker'
      raise errors.WorkerLost(
        f'Lost {lost} (its own output has the reason); start all workers again'
        ' to resume from the last checkpoint.'
      ) from error

  def _lost(self, message):
    """The tasks that a message blames, without this one."""
    own = list(self._tasks.tasks)[self._tasks.index]
    found = re.findall(r'/job:(\w+)(?:/replica:\d+)?/task:(\d+)', message)
    names = {f'{job} {index}' for job, index in found} - {own}
    places = [i for i, x in enumerate(self._tasks.tasks) if x in names]
    return ', '.join(map(self._tasks.title, places))

  def _gather(self, values):
    """int64 [processes, ...]: the values of each process."""
    import numpy as np

    values = np.asarray(values, np.int64)
    table = np.zeros([self.count, *values.shape], np.int64)
    table[self._tasks.index] = values
    return self._total(table)


@functools.cache
def of(strategy: Any) -> Alone | Team:
  """The processes that train together under a strategy.

  Args:
    strategy: a `tf.distribute.Strategy`; None for a command without one.
  """
  if strategy is None:
    return Alone()
  import tensorflow as tf

  if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
    tasks = cluster.here()
    if len(tasks.tasks) > 1:
      return Team(tasks, _summing(strategy, len(tasks.tasks)))
  return Alone(distribution.is_chief(strategy))


@contextlib.contextmanager
def scope(strategy: Any) -> Iterator[None]:
  """The scope of a strategy; several workers make the same variables inside.

  Raises:
    WorkerLost: while inside, another process was lost.
  """
  with of(strategy).explained(), strategy.scope():
    yield


def is_loss(message: str) -> bool:
  """Whether TensorFlow's message says that a process was lost."""
  return 'Collective ops is aborted' in message or 'heartbeat' in message


def _summing(strategy, count):
  """A function that sums int64 arrays over processes."""
  import tensorflow as tf

  replicas = strategy.num_replicas_in_sync // count

  def on_replica(values):
    context = tf.distribute.get_replica_context()
    # The other devices of a process would add the same values again.
    is_first = context.replica_id_in_sync_group % replicas == 0
    share = tf.where(is_first, values, tf.zeros_like(values))
    return context.all_reduce(tf.distribute.ReduceOp.SUM, share)

  @tf.function(autograph=False)
  def total(values):
    sums = strategy.run(on_replica, args=(values,))
    return strategy.experimental_local_results(sums)[0]

  return lambda values: total(tf.constant(values, tf.int64)).numpy()


def _digest(text):
  """Two 64-bit numbers that identify a text."""
  digest = hashlib.sha256(text.encode()).digest()
  return struct.unpack('<2q', digest[:16])
