"""Progress of a loop over files, with the time that is left."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

import tqdm

_Item = TypeVar('_Item')

# Seconds between lines of progress if there is no terminal.
LINE_EVERY = 10.0


def over(
  items: Iterable[_Item], title: str, total: int, unit: str
) -> Iterator[_Item]:
  """Yields the items and shows the progress on stderr.

  A bar on a terminal; elsewhere a line every few seconds, with the time that
  the rest will take at the speed so far.
  """
  if sys.stderr.isatty():
    yield from tqdm.tqdm(items, title, total, unit=f' {unit}')
    return
  began = shown = time.monotonic()
  for done, item in enumerate(items, start=1):
    yield item
    now = time.monotonic()
    if now - shown > LINE_EVERY:
      shown = now
      left = (now - began) / done * (total - done)
      print(
        f'{title}: {done} of {total} {unit}, {duration(left)} left',
        file=sys.stderr,
        flush=True,
      )


def duration(seconds: float) -> str:
  """'2 h 05 min', '3 min 20 s' or '7 s'."""
  minutes, rest = divmod(round(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  if hours:
    return f'{hours} h {minutes:02d} min'
  return f'{minutes} min {rest:02d} s' if minutes else f'{rest} s'
