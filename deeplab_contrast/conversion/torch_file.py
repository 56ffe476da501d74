"""Reads PyTorch state dicts, without PyTorch and without running pickles.

Such a file is a pickle, which can call any function when it is loaded. The
small interpreter here has only the operations that a state dict needs, accepts
only the names of tensors and dicts, and calls nothing. It reads both formats:
pickles followed by the raw data (PyTorch before 1.6), and zip files.
"""

import dataclasses
import io
import math
import os
import pickletools
import struct
import zipfile
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np

from deeplab_contrast.utils import errors, files

_MOST_BYTES = 1 << 30
_MOST_OPERATIONS = 1_000_000
_MAGIC = 0x1950A86A20F9469CFC6C  # Of the older format.

_STORAGES = {
  'torch FloatStorage': '<f4',
  'torch DoubleStorage': '<f8',
  'torch HalfStorage': '<f2',
  'torch LongStorage': '<i8',
  'torch IntStorage': '<i4',
  'torch ByteStorage': '<u1',
  'torch BoolStorage': '<?',
}
_DICT = 'collections OrderedDict'
_TENSOR = 'torch._utils _rebuild_tensor_v2'

_LITERALS = ('BININT', 'BININT1', 'BININT2', 'LONG1', 'BINUNICODE')
_VALUES = {'NONE': None, 'NEWTRUE': True, 'NEWFALSE': False}
_EMPTY = {'EMPTY_DICT': dict, 'EMPTY_LIST': list, 'EMPTY_TUPLE': tuple}
_TUPLES = {'TUPLE1': 1, 'TUPLE2': 2, 'TUPLE3': 3}
_MARK = object()


class _Refused(Exception):
  """Not a valid state dict; the message continues "<path> ..."."""


@dataclasses.dataclass(frozen=True)
class _Name:
  """A class or function that a pickle names; never looked up."""

  text: str


@dataclasses.dataclass(frozen=True)
class _Storage:
  key: str
  dtype: str
  length: int


@dataclasses.dataclass(frozen=True)
class _Tensor:
  storage: _Storage
  offset: int
  shape: tuple[int, ...]
  axes: tuple[int, ...]  # In the order in which values are stored.


def read(path: str) -> dict[str, np.ndarray]:
  """Reads a state dict.

  Args:
    path: path of a `.pth` or `.pt` file.

  Returns:
    {name: array}, in the order of the file; read-only.

  Raises:
    DataError: the file is missing, damaged, too large or a pipe, or holds
      values that are not finite, or anything but tensors.
  """
  files.refuse_special(path)
  try:
    if os.path.getsize(path) > _MOST_BYTES:
      raise _Refused(f'has more than {_MOST_BYTES >> 20} MiB')
    with open(path, 'rb') as file:
      return _arrays(*_open(file))
  except OSError as error:
    raise errors.DataError(
      f'{path} cannot be read ({error.strerror or error}).'
    ) from error
  except _Refused as error:
    raise errors.DataError(
      f'{path} {error}; it is not a PyTorch state dict that can be trusted: '
      'get the file from its source again.'
    ) from error
  except (
    *(ValueError, IndexError, KeyError, TypeError, AttributeError),
    *(EOFError, OverflowError, struct.error, RuntimeError),
    *(zipfile.BadZipFile, NotImplementedError),
  ) as error:
    raise errors.DataError(
      f'{path} is damaged or not a PyTorch state dict '
      f'({" ".join(str(error).split())[:200]}): get the file from its source '
      'again.'
    ) from error


def _open(file: BinaryIO) -> tuple[Any, Mapping[str, bytes]]:
  """(content of the pickle, {storage key: its bytes})."""
  if zipfile.is_zipfile(file):
    return _open_zip(file)
  file.seek(0)
  if _run(file) != _MAGIC:
    raise _Refused('does not start like a state dict')
  _run(file)  # The protocol.
  if not _run(file)['little_endian']:
    raise _Refused('was written by a big-endian machine')
  machine = _Machine()
  state = machine.run(file)
  keys = _run(file)
  if (
    not isinstance(keys, list)
    or not all(type(key) is str for key in keys)
    or sorted(keys) != sorted(machine.storages)
  ):
    raise _Refused('does not list the storages that its tensors use')
  blocks = {}
  for key in keys:
    storage = machine.storages[key]
    (length,) = struct.unpack('<q', file.read(8))
    if length != storage.length:
      raise _Refused(f'gives two sizes for storage {key}')
    blocks[key] = file.read(length * np.dtype(storage.dtype).itemsize)
  return state, blocks


def _open_zip(file):
  with zipfile.ZipFile(file) as archive:
    entries = {e.filename.partition('/')[2]: e for e in archive.infolist()}
    if any(e.compress_type != zipfile.ZIP_STORED for e in entries.values()):
      raise _Refused('holds compressed entries, which PyTorch does not write')
    total = sum(e.file_size for e in entries.values())
    if total > _MOST_BYTES:
      raise _Refused(f'unpacks to more than {_MOST_BYTES >> 20} MiB')
    order = entries.get('byteorder')
    if order is not None and archive.read(order) != b'little':
      raise _Refused('was written by a big-endian machine')
    machine = _Machine()
    state = machine.run(io.BytesIO(archive.read(entries['data.pkl'])))
    return state, {
      key: archive.read(entries[f'data/{key}']) for key in machine.storages
    }


def _arrays(state: Any, blocks: Mapping[str, bytes]) -> dict[str, np.ndarray]:
  """The tensors of a state dict, as views of their storages."""
  if not isinstance(state, dict) or not state:
    raise _Refused('does not hold a dict of tensors')
  result = {}
  for name, tensor in state.items():
    if not isinstance(tensor, _Tensor):
      raise _Refused(f'holds something other than a tensor at {name[:80]!r}')
    storage = tensor.storage
    values = np.frombuffer(blocks[storage.key], storage.dtype)
    if len(values) != storage.length:
      raise _Refused('is truncated')
    end = tensor.offset + math.prod(tensor.shape)
    if end > len(values):
      raise _Refused(f'has too few values for {name[:80]}')
    stored = [tensor.shape[axis] for axis in tensor.axes]
    array = values[tensor.offset : end].reshape(stored)
    array = array.transpose(np.argsort(tensor.axes))
    if array.dtype.kind == 'f' and not np.isfinite(array).all():
      raise _Refused(f'holds NaN or infinite values in {name[:80]}')
    result[name] = array
  return result


def _run(file):
  return _Machine().run(file)


class _Machine:
  """Interprets one pickle, with a stack of plain values.

  Attributes:
    storages: {key: _Storage} of those that tensors use.
  """

  def __init__(self):
    self.storages: dict[str, _Storage] = {}
    self._stack: list[Any] = []
    self._memo: dict[int, Any] = {}

  def run(self, file: BinaryIO) -> Any:
    """Reads one pickle to its end; returns its content."""
    for count, (operation, argument, _) in enumerate(pickletools.genops(file)):
      if count > _MOST_OPERATIONS:
        raise _Refused('has too many operations')
      self._step(operation.name, argument)
    return self._stack.pop()

  def _step(self, name, argument):
    stack = self._stack
    if name in _LITERALS:
      stack.append(argument)
    elif name in _VALUES:
      stack.append(_VALUES[name])
    elif name in _EMPTY:
      stack.append(_EMPTY[name]())
    elif name in _TUPLES:
      count = _TUPLES[name]
      stack[-count:] = [tuple(stack[-count:])]
    elif name == 'MARK':
      stack.append(_MARK)
    elif name in ('BINPUT', 'LONG_BINPUT'):
      self._memo[argument] = stack[-1]
    elif name in ('BINGET', 'LONG_BINGET'):
      stack.append(self._memo[argument])
    elif name not in ('PROTO', 'STOP'):
      handler = getattr(self, f'_{name.lower()}', None)
      if handler is None:
        raise _Refused(f'uses the pickle operation {name}')
      handler(argument)

  def _since_mark(self):
    stack = self._stack
    backwards = range(len(stack) - 1, -1, -1)
    at = next((i for i in backwards if stack[i] is _MARK), None)
    if at is None:
      raise _Refused('closes a group that was not opened')
    items = stack[at + 1 :]
    del stack[at:]
    return items

  def _tuple(self, _):
    self._stack.append(tuple(self._since_mark()))

  def _setitem(self, _):
    *_, key, value = self._stack[-2:]
    del self._stack[-2:]
    self._set([key, value])

  def _setitems(self, _):
    self._set(self._since_mark())

  def _set(self, items):
    target = self._stack[-1]
    if type(target) is not dict or len(items) % 2:
      raise _Refused('sets items of something that is not a dict')
    # Hashing nested tuples that share items can take forever.
    if not all(type(key) is str for key in items[::2]):
      raise _Refused('has a key that is not a string')
    target.update(zip(items[::2], items[1::2], strict=True))

  def _append(self, _):
    value = self._stack.pop()
    self._extend([value])

  def _appends(self, _):
    self._extend(self._since_mark())

  def _extend(self, values):
    if type(self._stack[-1]) is not list:
      raise _Refused('appends to something that is not a list')
    self._stack[-1].extend(values)

  def _global(self, text):
    if text not in (_DICT, _TENSOR, *_STORAGES):
      raise _Refused(f'refers to {text[:80].replace(" ", ".")}')
    self._stack.append(_Name(text))

  def _reduce(self, _):
    arguments, function = self._stack.pop(), self._stack.pop()
    if function == _Name(_DICT) and arguments == ():
      self._stack.append({})
    elif function == _Name(_TENSOR):
      self._stack.append(_tensor(*arguments))
    else:
      raise _Refused('calls something unknown')

  def _build(self, _):
    self._stack.pop()  # Module versions, which are not needed.
    if type(self._stack[-1]) is not dict:
      raise _Refused('sets the state of something that is not a dict')

  def _binpersid(self, _):
    kind, name, key, _, length, *_ = self._stack.pop()
    if (
      kind != 'storage'
      or not isinstance(name, _Name)
      or name.text not in _STORAGES
      or not isinstance(key, str)
      or type(length) is not int
      or not 0 <= length <= _MOST_BYTES
    ):
      raise _Refused('has a storage of an unknown form')
    storage = _Storage(key, _STORAGES[name.text], length)
    if self.storages.setdefault(key, storage) != storage:
      raise _Refused(f'gives two types for storage {key[:80]}')
    self._stack.append(storage)


def _tensor(storage, offset, shape, strides, *_):
  """Checks the description of a tensor before it is used."""
  numbers = (offset, *shape, *strides)
  if (
    not isinstance(storage, _Storage)
    or not isinstance(shape, tuple)
    or len(shape) != len(strides)
    or len(shape) > 8
    or not all(type(n) is int and 0 <= n <= _MOST_BYTES for n in numbers)
  ):
    raise _Refused('has a tensor of an unknown form')
  # From the slowest axis to the fastest; those of size 1 may have any stride.
  axes = sorted(range(len(shape)), key=lambda i: (shape[i] == 1, -strides[i]))
  expected = 1
  for axis in reversed([i for i in axes if shape[i] != 1]):
    if strides[axis] != expected:
      raise _Refused('holds a tensor with gaps or overlaps')
    expected *= shape[axis]
  return _Tensor(storage, offset, shape, tuple(axes))
