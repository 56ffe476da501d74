"""What the processes of one training tell each other.

All of them must call the same methods in the same order: each is a collective,
in which the first to come waits for the others.

TensorFlow and NumPy are imported by the functions: most commands are one
process, and some do without.
"""

import contextlib
import functools
import hashlib
import re
import struct

from deeplab_contrast.distributed import cluster, distribution
from deeplab_contrast.utils import errors


class Alone:
  """One process: it agrees with itself, at no cost.

  Attributes:
    is_chief: whether this process writes files for all.
    count: how many processes train together.
  """

  count = 1

  def __init__(self, is_chief=True):
    self.is_chief = is_chief

  def agree(self, parts, advice):
    """See `Team`."""

  def loudest(self, number):
    """See `Team`."""
    return number

  def part(self):
    """See `Team`."""

  def told(self):
    """See `Team`."""
    return contextlib.nullcontext()


class Team:
  """Several processes.

  Args:
    tasks: the `cluster.Cluster` of them.
    total: maps an int64 array to the sum of those that the processes give.
  """

  def __init__(self, tasks, total):
    self._tasks = tasks
    self._total = total
    self.count = len(tasks.tasks)
    self.is_chief = tasks.index == 0

  def agree(self, parts, advice):
    """Refuses to go on when the processes differ; each says the same.

    Args:
      parts: {what it is: text}, compared by digest; the names are the same for
        all.
      advice: what to do, as the end of a sentence.

    Raises:
      ConfigError: names the tasks and parts that differ from the chief's.
    """
    table = self._gather([_digest(text) for text in parts.values()])
    faults = []
    for place, name in enumerate(parts):
      others = [
        self._tasks.tell(i)
        for i in range(1, self.count)
        if (table[i, place] != table[0, place]).any()
      ]
      if others:
        faults.append(f'{", ".join(others)} in the {name}')
    if faults:
      self._linger()
      raise errors.ConfigError(
        f'Not all workers have what {self._tasks.tell(0)} has: '
        f'{"; ".join(faults)} differs; {advice}'
      )

  def loudest(self, number):
    """The largest of the numbers that the processes give: ints >= 0."""
    return int(self._gather(number).max())

  def part(self):
    """Waits for all, before this process ends.

    Raises:
      tf.errors.OpError: one of them has ended before, well or not.
    """
    self._gather(0)

  def _linger(self):
    """Waits for all before this process ends with what all know.

    Else it might take with it what another one still waits for.
    """
    import tensorflow as tf

    with contextlib.suppress(tf.errors.OpError):
      self._gather(0)

  @contextlib.contextmanager
  def told(self):
    """Says in a sentence that another process was lost while inside.

    TensorFlow notices within some ten seconds and then fails all collectives.

    Raises:
      WorkerLost: instead of what TensorFlow raises.
    """
    import tensorflow as tf

    try:
      yield
    except tf.errors.OpError as error:
      if not is_loss(error.message):
        raise
      lost = self._lost(error.message) or 'another worker'
      raise errors.WorkerLost(
        f'Lost {lost}, whose own output says why; start all workers again to go'
        ' on from the last checkpoint.'
      ) from error

  def _lost(self, message):
    """The tasks that a message blames; this one is none of them."""
    own = list(self._tasks.tasks)[self._tasks.index]
    found = re.findall(r'/job:(\w+)(?:/replica:\d+)?/task:(\d+)', message)
    names = {f'{job} {index}' for job, index in found} - {own}
    places = [i for i, x in enumerate(self._tasks.tasks) if x in names]
    return ', '.join(map(self._tasks.tell, places))

  def _gather(self, values):
    """int64 [processes, ...]: what each of them gives."""
    import numpy as np

    values = np.asarray(values, np.int64)
    table = np.zeros([self.count, *values.shape], np.int64)
    table[self._tasks.index] = values
    return self._total(table)


@functools.cache
def of(strategy):
  """The processes that train by a strategy: `Alone` or a `Team`.

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


def is_loss(message):
  """Whether TensorFlow's message is of a process that was lost."""
  return 'Collective ops is aborted' in message or 'heartbeat' in message


def _summing(strategy, count):
  """A function that sums int64 arrays over processes."""
  import tensorflow as tf

  replicas = strategy.num_replicas_in_sync // count

  def on_replica(values):
    context = tf.distribute.get_replica_context()
    # The devices of a process would give the same once more.
    is_first = context.replica_id_in_sync_group % replicas == 0
    share = tf.where(is_first, values, tf.zeros_like(values))
    return context.all_reduce(tf.distribute.ReduceOp.SUM, share)

  @tf.function
  def total(values):
    sums = strategy.run(on_replica, args=(values,))
    return strategy.experimental_local_results(sums)[0]

  return lambda values: total(tf.constant(values, tf.int64)).numpy()


def _digest(text):
  """Two numbers of 64 bits that stand for a text."""
  digest = hashlib.sha256(text.encode()).digest()
  return struct.unpack('<2q', digest[:16])
