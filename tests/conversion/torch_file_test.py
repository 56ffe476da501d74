"""PyTorch state dicts: valid ones are read, all others are refused."""

import io
import pickle
import struct
import zipfile

import numpy as np
import pytest

from deeplab_contrast.conversion import torch_file
from deeplab_contrast.utils import errors

_MAGIC = 0x1950A86A20F9469CFC6C


class Named:
  """Pickles as a class or function of any name."""

  def __init__(self, name):
    self.name = name


class Call:
  """Pickles as a call."""

  def __init__(self, name, *arguments):
    self.name, self.arguments = name, arguments


class Stored:
  """Pickles as the persistent id of a storage."""

  def __init__(self, *identity):
    self.identity = identity


class _Pickler(pickle._Pickler):
  """Python's pickler, which can also name what does not exist."""

  def persistent_id(self, value):
    return value.identity if isinstance(value, Stored) else None

  def save(self, value, save_persistent_id=True):
    if isinstance(value, Named):
      module, _, name = value.name.rpartition('.')
      self.write(f'c{module}\n{name}\n'.encode())
    elif isinstance(value, Call):
      self.save(Named(value.name))
      self.save(value.arguments)
      self.write(pickle.REDUCE)
    else:
      super().save(value, save_persistent_id)


def pickled(value):
  file = io.BytesIO()
  _Pickler(file, protocol=2).dump(value)
  return file.getvalue()


def storage(key='0', length=6, kind='FloatStorage', tag='storage'):
  return Stored(tag, Named(f'torch.{kind}'), key, 'cpu', length, None)


def tensor(shape=(2, 3), strides=(3, 1), offset=0, **of):
  name = 'torch._utils._rebuild_tensor_v2'
  hooks = Call('collections.OrderedDict')
  return Call(name, storage(**of), offset, shape, strides, False, hooks)


def legacy(state, blocks, magic=_MAGIC, keys=None, little=True):
  """The bytes of the older format; `blocks` are {key: array}."""
  head = [magic, 1001, {'little_endian': little}, state]
  keys = sorted(blocks) if keys is None else keys
  body = b''.join(
    struct.pack('<q', b.size) + b.tobytes() for _, b in sorted(blocks.items())
  )
  return b''.join(map(pickled, [*head, keys])) + body


def zipped(state, blocks, compression=zipfile.ZIP_STORED):
  file = io.BytesIO()
  with zipfile.ZipFile(file, 'w', compression) as archive:
    archive.writestr('archive/data.pkl', pickled(state))
    for key, block in blocks.items():
      archive.writestr(f'archive/data/{key}', block.tobytes())
  return file.getvalue()


def numbers(length=6):
  return {'0': np.arange(length, dtype=np.float32)}


@pytest.mark.parametrize('form', [legacy, zipped])
def test_both_forms_are_read(tmp_path, form):
  path = tmp_path / 'a.pth'
  state = {
    'plain': tensor(),
    'turned': tensor((3, 2), (1, 3)),
    'part': tensor((2, 1), (1, 7), offset=4),
    'count': tensor((), (), key='1', length=1, kind='LongStorage'),
  }
  path.write_bytes(form(state, {**numbers(), '1': np.array([7])}))
  found = torch_file.read(str(path))
  whole = np.arange(6).reshape(2, 3)
  assert list(found) == list(state)
  np.testing.assert_array_equal(found['plain'], whole)
  np.testing.assert_array_equal(found['turned'], whole.T)
  np.testing.assert_array_equal(found['part'], [[4], [5]])
  assert found['count'] == 7


def _nan():
  return {'0': np.full(6, np.nan, np.float32)}


def _endless():
  """A tuple of a few hundred bytes whose hash would take years."""
  value = ()
  for _ in range(90):
    value = (value, value)
  return value


_GOOD = {'w': tensor()}
_HEAD = b''.join(map(pickled, [_MAGIC, 1001, {'little_endian': True}]))
_HOSTILE = {
  'runs a command': (
    legacy({'w': Call('posix.system', 'touch {here}')}, {}),
    'posix.system',
  ),
  'runs a command, zipped': (
    zipped({'w': Call('builtins.eval', '1')}, {}),
    'builtins.eval',
  ),
  'first pickle': (legacy(_GOOD, numbers(), Call('os.system', 'x')), 'os.sys'),
  'numpy': (legacy({'w': Call('numpy.load', 'x')}, {}), 'numpy.load'),
  'a class': (legacy({'w': Named('torch.nn.Linear')}, {}), 'torch.nn'),
  'calls a storage': (legacy({'w': Call('torch.FloatStorage')}, {}), 'calls'),
  'arguments of a dict': (
    legacy({'w': Call('collections.OrderedDict', [('a', 1)])}, {}),
    'calls',
  ),
  'new object': (
    pickle.dumps(_MAGIC, 2) + b'\x80\x02ccollections\nOrderedDict\n)\x81.',
    'NEWOBJ',
  ),
  'no tensor': (legacy({'w': 1}, {}), 'other than a tensor'),
  'no dict': (legacy([1], {}), 'a dict of tensors'),
  'no pickle': (b'not a pickle at all', 'damaged'),
  'empty': (b'', 'damaged'),
  'other magic': (legacy(_GOOD, numbers(), 5), 'does not start'),
  'big-endian': (legacy(_GOOD, numbers(), little=False), 'big-endian'),
  'cut off': (legacy(_GOOD, numbers())[:-5], 'damaged'),
  'cut off in the pickle': (legacy(_GOOD, numbers())[:90], 'damaged'),
  'NaN': (legacy(_GOOD, _nan()), 'NaN'),
  'huge shape': (legacy({'w': tensor((1 << 29, 8), (8, 1))}, numbers()), 'few'),
  'huge number': (
    legacy({'w': tensor((1 << 70, 1), (1, 1))}, numbers()),
    'unknown form',
  ),
  'negative': (legacy({'w': tensor(offset=-3)}, numbers()), 'unknown form'),
  'one number, many times': (
    legacy({'w': tensor((1 << 20, 1 << 9), (0, 0))}, numbers()),
    'gaps or overlaps',
  ),
  'huge storage': (
    legacy({'w': tensor(length=1 << 40)}, numbers()),
    'storage of',
  ),
  'two sizes': (legacy(_GOOD, numbers(5)), 'two sizes for'),
  'two kinds': (
    legacy({'a': tensor(), 'b': tensor(kind='LongStorage')}, numbers()),
    'two types for',
  ),
  'other storage': (legacy(_GOOD, numbers(), keys=['9']), 'list the storages'),
  'endless list of keys': (
    legacy(_GOOD, numbers(), keys=[_endless()]),
    'list the storages',
  ),
  'endless key': (
    _HEAD + b'\x80\x02}' + pickled(_endless())[2:-1] + b'K\x01s.',
    'key that is not a string',
  ),
  'no mark': (b'\x80\x02t.', 'was not opened'),
  'short entry': (zipped(_GOOD, numbers(5)), 'truncated'),
  'missing entry': (zipped(_GOOD, {}), 'damaged'),
  'zip bomb': (
    zipped(_GOOD, numbers(), zipfile.ZIP_DEFLATED),
    'compressed',
  ),
}


@pytest.mark.parametrize('name', _HOSTILE)
def test_hostile_and_damaged_files_are_refused(tmp_path, monkeypatch, name):
  monkeypatch.chdir(tmp_path)
  content, sentence = _HOSTILE[name]
  path = tmp_path / 'a.pth'
  path.write_bytes(content)
  with pytest.raises(errors.DataError, match=sentence) as error:
    torch_file.read(str(path))
  assert str(path) in str(error.value)
  assert '\n' not in str(error.value)
  assert [p.name for p in tmp_path.iterdir()] == ['a.pth']


def test_a_missing_file_and_a_folder(tmp_path):
  for path in (tmp_path / 'no.pth', tmp_path):
    with pytest.raises(errors.DataError, match='cannot be read'):
      torch_file.read(str(path))
