"""Ways to damage files, as Hypothesis strategies of plain values.

A damage is a tuple (what, where, value); `where` in [0, 1) is a place in a
file, whatever its size.
"""

import json
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from hypothesis import strategies as st

Damage = tuple[str, float, Any]

_WHERE = st.integers(0, 999).map(lambda n: n / 1000)

NAMES = (
  '../../outside/secret.txt',
  '/etc/passwd',
  '..\\..\\outside',
  'a\nb.png',
  'ü' * 60 + '.png',
  '%s%n{0}.png',
  '-rf.png',
  ' .png',
  '[a]*?.png',
  '\udcff\udcfe.png',
  '\u202egnp.png',
  'CON.png',
  '.hidden.png',
  'A' * 250 + '.png',
)

# In place of a value.
ODD = (
  *(None, True, False, '', 'x', [], {}, 0, -1, 1.5, 3, 10**9, 10**30, 1e308),
  *(float('nan'), float('inf'), -float('inf'), '\x00', 'ü' * 300, '0' * 5000),
  *([[]], [None], {'a': None}, [[0, 0], [1, 1]], [1] * 2000, '\ud800'),
  *('true', '1e999', '=1+1', '%(x)s', '${HOME}', '<b>', 'a\nb'),
  *NAMES[:4],
)

_HEADS = (
  *(b'', b'\x89PNG\r\n\x1a\n', b'\xff\xd8\xff\xe0', b'GIF89a', b'BM', b'II*\0'),
  *(b'MM\0*', b'RIFF\0\0\0\0WEBP', b'\0\0\0\x20ftypheic', b'P6\n', b'%PDF-1.4'),
  *(
    b'<html>',
    b'PK\x03\x04',
    b'\x1f\x8b\x08',
    b'\x89HDF\r\n\x1a\n',
    b'\x80\x02',
  ),
  *(
    b'\xff\xfe',
    b'\xef\xbb\xbf',
    b'{',
    b'\0' * 100,
    b'version https://git-lfs',
  ),
)

BYTES = st.one_of(
  st.tuples(st.just('cut'), _WHERE, st.none()),
  st.tuples(st.just('flip'), _WHERE, st.integers(0, 7)),
  st.tuples(st.just('write'), _WHERE, st.binary(min_size=1, max_size=8)),
  st.tuples(st.just('insert'), _WHERE, st.binary(min_size=1, max_size=40)),
  # Headers decide the most.
  st.tuples(st.just('header'), _WHERE, st.binary(min_size=1, max_size=4)),
  st.tuples(st.just('head'), st.just(0.0), st.sampled_from(_HEADS)),
  st.tuples(st.just('whole'), st.just(0.0), st.sampled_from(_HEADS)),
  st.tuples(st.just('delete'), _WHERE, st.integers(1, 200)),
)

FILES = st.tuples(
  st.sampled_from(('rename', 'link', 'folder', 'missing', 'special')),
  _WHERE,
  st.sampled_from(NAMES),
)

_ANY = st.one_of(
  st.sampled_from(ODD),
  st.integers(),
  st.floats(),
  st.text(max_size=20),
)
VALUES = st.tuples(st.sampled_from(('set', 'drop', 'key')), _WHERE, _ANY)

TEXTS = st.tuples(
  st.sampled_from(('word', 'line', 'twice')),
  _WHERE,
  st.one_of(st.sampled_from(ODD), st.text(max_size=20), st.integers()),
)


def several(*strategies: Any) -> Any:
  """One to three damages of these kinds."""
  return st.lists(st.one_of(*strategies), min_size=1, max_size=3).map(tuple)


def pick(items: Sequence[Any], where: float) -> Any:
  """The item at a place."""
  return items[int(where * len(items))]


def do(path: pathlib.Path, damages: Sequence[Damage]) -> None:
  """Damages a file, as far as each damage applies to it."""
  for what, where, value in damages:
    if not path.is_file() or path.is_symlink():
      return
    if what in ('set', 'drop', 'key'):
      _do_json(path, what, where, value)
    elif what in ('word', 'line', 'twice'):
      text = path.read_bytes().decode('utf-8', 'replace')
      changed = _of_text(text, what, where, value)
      path.write_bytes(changed.encode('utf-8', 'surrogatepass'))
    elif what in ('rename', 'link', 'folder', 'missing', 'special'):
      _do_file(path, what, value)
    else:
      path.write_bytes(_of_bytes(path.read_bytes(), what, where, value))


def _of_bytes(data, what, where, value):
  at = int(where * len(data))
  if what == 'cut':
    return data[:at]
  if what == 'flip' and data:
    return data[:at] + bytes([data[at] ^ (1 << value)]) + data[at + 1 :]
  if what == 'write':
    return data[:at] + value + data[at + len(value) :]
  if what == 'insert':
    return data[:at] + value + data[at:]
  if what == 'header':
    at = int(where * min(64, len(data)))
    return data[:at] + value + data[at + len(value) :]
  if what == 'head':
    return value + data[len(value) :]
  if what == 'whole':
    return value
  return data[:at] + data[at + (value or 1) :]


def _of_text(text, what, where, value):
  value = value if isinstance(value, str) else str(value)
  if what == 'word':
    parts = text.split(' ')
    parts[int(where * len(parts))] = value
    return ' '.join(parts)
  lines = text.split('\n')
  at = int(where * len(lines))
  if what == 'twice':
    lines.insert(at, lines[at])
  else:
    lines[at] = value
  return '\n'.join(lines)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
  inside = value if isinstance(value, (dict, list)) else ()
  for key in list(inside) if isinstance(value, dict) else range(len(inside)):
    yield value, key
    yield from _places(value[key])


def _do_json(path, what, where, odd):
  try:
    value = json.loads(path.read_text(encoding='utf-8'))
  except (ValueError, RecursionError):
    return
  places = [(None, None), *_places(value)]
  container, key = pick(places, where)
  if container is None:
    value = odd
  elif what == 'drop':
    del container[key]
  elif what == 'key' and isinstance(container, dict):
    container[str(odd)] = container.pop(key)
  else:
    container[key] = odd
  text = json.dumps(value)
  path.write_bytes(text.encode('utf-8', 'surrogatepass'))


def _do_file(path, what, name):
  try:
    if what == 'rename' and '/' not in name:
      path.rename(path.parent / name)
      return
    path.unlink()
    if what == 'link':
      path.symlink_to(name)
    elif what == 'folder':
      path.mkdir()
    elif what == 'special':
      # One never ends, the other never begins.
      if len(name) % 2:
        path.symlink_to('/dev/zero')
      else:
        os.mkfifo(path)
  except (OSError, ValueError):
    return  # This system cannot have such a file.
