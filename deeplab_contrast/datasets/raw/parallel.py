"""Work on many files at once, in threads or processes."""

import concurrent.futures
import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import process
from typing import TypeVar

from deeplab_contrast.utils import errors, quiet

_Item = TypeVar('_Item')
_Result = TypeVar('_Result')

# How many results may wait, for each worker.
_AHEAD = 32


def in_order(
  function: Callable[[_Item], _Result],
  items: Sequence[_Item],
  workers: int = 0,
) -> Iterator[_Result]:
  """Like map, but several at a time; holds a bounded number of results.

  Args:
    function: takes one item; if there are workers it is sent to them, so it and
      the items must be picklable.
    items: its arguments.
    workers: how many processes; 0 for threads.

  Yields:
    The results, in the order of the items.

  Raises:
    SystemFault: a worker process died.
  """
  if not items:
    return
  with _pool(workers) as pool:
    waiting = iter(items)
    # One by one: a dying worker would lose all the work of a chunk.
    ahead = _AHEAD * (workers or os.cpu_count() or 1)
    futures = [
      pool.submit(function, i) for i in itertools.islice(waiting, ahead)
    ]
    try:
      while futures:
        yield futures.pop(0).result()
        futures += [
          pool.submit(function, i) for i in itertools.islice(waiting, 1)
        ]
    except process.BrokenProcessPool as error:
      raise errors.SystemFault(
        'A worker process was killed, most likely for lack of memory: use '
        'fewer workers, and run the same command again to continue.'
      ) from error
    finally:
      pool.shutdown(wait=False, cancel_futures=True)


def _pool(workers: int) -> concurrent.futures.Executor:
  if not workers:
    return concurrent.futures.ThreadPoolExecutor(os.cpu_count())
  # Not forked: a forked process would have TensorFlow without its threads.
  return concurrent.futures.ProcessPoolExecutor(
    workers,
    mp_context=multiprocessing.get_context('spawn'),
    initializer=_start_worker,
  )


def _start_worker():
  """Leaves Ctrl-C to the parent, and ends when it ends, for any reason."""
  signal.signal(signal.SIGINT, signal.SIG_IGN)
  with quiet.no_stderr():
    import tensorflow  # noqa: F401
  threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent():
  parent = multiprocessing.parent_process()
  if parent is not None:
    parent.join()
    os._exit(1)
