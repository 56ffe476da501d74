"""The processes that TF_CONFIG names, and how they find each other.

They meet before TensorFlow joins them: it waits for a cluster inside C++,
where it ignores signals, and cannot say which task is missing.
"""

import contextlib
import dataclasses
import json
import os
import socket
import sys
import time

from deeplab_contrast.utils import errors

VARIABLE = 'TF_CONFIG'

_JOBS = ('chief', 'worker')
_PAUSE = 0.2  # Seconds between two attempts to reach missing tasks.
_PATIENCE = 5.0  # Seconds to wait for one connection.


@dataclasses.dataclass(frozen=True)
class Cluster:
  """All tasks, in the order of TensorFlow.

  Attributes:
    tasks: {name, such as 'worker 1': 'host:port'}; the first is the chief.
    index: the position of this process among them.
  """

  tasks: dict[str, str]
  index: int

  def title(self, index: int) -> str:
    """A task as messages name it: 'worker 1 (host:port)'."""
    name = list(self.tasks)[index]
    return f'{name} ({self.tasks[name]})'

  def meet(self, seconds: float) -> None:
    """Waits until every other task listens at its address.

    Args:
      seconds: how long at most.

    Raises:
      SystemFault: the port of this task is in use, or other tasks are missing
        after that time; names them.
    """
    names = list(self.tasks)
    own = self.tasks[names[self.index]]
    missing = {name: self.tasks[name] for name in names}
    del missing[names[self.index]]
    until, is_reported = time.monotonic() + seconds, False
    with _listening(own):
      while missing := {n: a for n, a in missing.items() if not _answers(a)}:
        who = ', '.join(f'{n} ({a})' for n, a in missing.items())
        if time.monotonic() > until:
          raise errors.SystemFault(
            f'TF_CONFIG names {who}, not reached within {seconds:.0f} s: '
            'start all tasks, with addresses that they can reach.'
          )
        if not is_reported:
          text = f'Waiting up to {seconds:.0f} s for {who}.'
          print(text, file=sys.stderr, flush=True)
          is_reported = True
        time.sleep(_PAUSE)


def read(text: str | None) -> Cluster:
  """Reads and checks the description of a cluster.

  Args:
    text: JSON, as TF_CONFIG has it; None or '' if the variable is not set.

  Raises:
    ConfigError: it is not a description that contains this process.
  """
  if not text:
    raise errors.ConfigError(
      'strategy multi_worker needs the environment variable TF_CONFIG, JSON'
      ' with the addresses of all workers and the index of this one.'
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
  _check_addresses([a for hosts in jobs.values() for a in hosts])
  tasks = {
    f'{name} {i}': address
    for name in _JOBS
    for i, address in enumerate(jobs.get(name, ()))
  }
  return Cluster(tasks, list(tasks).index(f'{job} {index}'))


def here() -> Cluster:
  """The cluster of TF_CONFIG; see `read`."""
  return read(os.environ.get(VARIABLE))


def _check_task(jobs, job, index):
  others = sorted(set(jobs) - set(_JOBS))
  if others:
    raise errors.ConfigError(
      f'TF_CONFIG has the jobs {others}; only chief and worker are supported.'
    )
  if len(jobs.get('chief', ())) > 1:
    raise errors.ConfigError('TF_CONFIG has several chiefs; there must be one.')
  if not 0 <= index < len(jobs.get(job, ())):
    raise errors.ConfigError(
      f'TF_CONFIG says that this is {job} {index}, but its cluster has'
      f' { ({name: len(hosts) for name, hosts in jobs.items()}) }.'
    )


def _check_addresses(addresses):
  for address in addresses:
    port = str(address).rpartition(':')[2]
    if not (port.isdigit() and 0 < int(port) < 65536):
      raise errors.ConfigError(f'TF_CONFIG: {address} is not host:port.')
    if addresses.count(address) > 1:
      raise errors.ConfigError(f'TF_CONFIG gives {address} to several tasks.')


@contextlib.contextmanager
def _listening(address):
  """Listens at an address, until TensorFlow takes over."""
  port = _parts(address)[1]
  with socket.socket() as listener:
    # Connections of an earlier task may linger; TensorFlow does the same.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
      listener.bind(('', port))
      listener.listen()
    except OSError as error:
      raise errors.SystemFault(
        f'TF_CONFIG gives this task the address {address}, but port {port} '
        f'cannot be used ({error.strerror}): end the process that uses it, or '
        'give another port to all tasks.'
      ) from error
    yield


def _answers(address):
  try:
    with socket.create_connection(_parts(address), _PATIENCE) as connection:
      # With a port from the system's own range, a socket can connect to itself.
      return connection.getsockname() != connection.getpeername()
  except OSError:
    return False


def _parts(address):
  host, _, port = address.rpartition(':')
  return host.strip('[]'), int(port)
