"""Work on many files at once, in threads or processes, and how far it is."""

import concurrent.futures
import itertools
import multiprocessing
import os
import signal
import sys
import threading
import time
from concurrent.futures import process

import tqdm

from deeplab_contrast.utils import errors, quiet

# How many results may wait, for each worker.
_AHEAD = 32

# Seconds between lines of progress where there is no terminal.
_LINE_EVERY = 10.0


def in_order(function, items, workers=0):
  """Like map, but several at a time; holds a bounded number of results.

  Args:
    function: of one item; where there are workers it is sent to them, so it
      and the items must be picklable.
    items: a sequence.
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
    # One by one: a chunk that was lost with its worker would be much work.
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
        'A worker process was killed, most likely for want of memory: take '
        'fewer workers, and start again to go on.'
      ) from error
    finally:
      pool.shutdown(wait=False, cancel_futures=True)


def progress(items, title, total, unit):
  """Yields the items, showing how far they are on stderr.

  A bar on a terminal; elsewhere a line now and then.
  """
  if sys.stderr.isatty():
    yield from tqdm.tqdm(items, title, total, unit=f' {unit}')
    return
  told = time.monotonic()
  for done, item in enumerate(items, start=1):
    yield item
    if time.monotonic() - told > _LINE_EVERY:
      told = time.monotonic()
      print(f'{title}: {done} of {total} {unit}', file=sys.stderr, flush=True)


def _pool(workers):
  if not workers:
    return concurrent.futures.ThreadPoolExecutor(os.cpu_count())
  # Not forked: a copy of TensorFlow's threads would be a copy without threads.
  return concurrent.futures.ProcessPoolExecutor(
    workers,
    mp_context=multiprocessing.get_context('spawn'),
    initializer=_start_worker,
  )


def _start_worker():
  """Leaves Ctrl-C to the parent, and ends with it, however that ends."""
  signal.signal(signal.SIGINT, signal.SIG_IGN)
  with quiet.no_stderr():
    import tensorflow  # noqa: F401
  parent = multiprocessing.parent_process()

  def follow():
    parent.join()
    os._exit(1)

  threading.Thread(target=follow, daemon=True).start()
