"""Files of weights that are damaged or hostile: one sentence each.

Those of PyTorch are in `torch_file_test`.
"""

import pickle

import h5py
import numpy as np
import pytest

from deeplab_contrast.conversion import pretrained, tf1
from deeplab_contrast.utils import errors
from tests.conversion import keras_weights_test, narrow

KERNEL = 'conv3_block2_1_conv'


@pytest.fixture(scope='module')
def ours():
  return keras_weights_test.narrow()


@pytest.fixture(scope='module')
def layers(ours):
  return keras_weights_test.layers_like(ours)


def load(path, ours):
  backbone = ours.model.trunk.backbone
  before = [np.array(v) for v in backbone.variables]
  try:
    pretrained.Pretrained(str(path))(narrow.Holder(backbone))
  finally:
    # Nothing is half loaded.
    for variable, value in zip(backbone.variables, before, strict=True):
      np.testing.assert_array_equal(variable, value)


def _changed(layers, **arrays):
  return {**layers, KERNEL: {**layers[KERNEL], **arrays}}


def _like(layers, value):
  return np.full(layers[KERNEL]['kernel'].shape, value, np.float32)


_ARRAYS = {
  'NaN': (lambda x: _changed(x, kernel=_like(x, np.nan)), 'NaN'),
  'infinite': (lambda x: _changed(x, kernel=_like(x, np.inf)), 'infinite'),
  'wrong shape': (
    lambda x: _changed(x, kernel=np.zeros((1, 1, 2, 3), np.float32)),
    'different network',
  ),
  'shapes that do not fit': (
    lambda x: _changed(x, bias=np.zeros(77, np.float32)),
    'do not belong together',
  ),
  'a number for a kernel': (
    lambda x: {**x, 'conv1_conv': {'kernel': np.float32(1)}},
    'do not belong together|differ in',
  ),
  'whole numbers': (
    lambda x: _changed(x, kernel=_like(x, 1).astype(np.int32)),
    'int32 there',
  ),
  'text': (
    lambda x: _changed(x, kernel=np.array(b'import os')),
    'does not hold numbers',
  ),
  'lacking layer': (
    lambda x: {k: v for k, v in x.items() if k != KERNEL},
    'has only some of the backbone',
  ),
  'other layers': (lambda _: {'a': {'kernel': np.zeros(2)}}, 'no layer conv1'),
}


@pytest.mark.parametrize('name', _ARRAYS)
def test_wrong_arrays(ours, layers, tmp_path, name):
  change, sentence = _ARRAYS[name]
  path = tmp_path / 'a.h5'
  keras_weights_test.write_classic(path, change(layers))
  with pytest.raises(errors.UserError, match=sentence) as error:
    load(path, ours)
  assert str(path) in str(error.value) and '\n' not in str(error.value)


def _huge(file, _):
  file.create_dataset('a', (1 << 40,), np.float32, chunks=(1 << 20,))


def _many(file, _):
  for i in range(40):
    file.create_dataset(f'{i}', (1 << 24,), np.float32, compression='gzip')


def _external(file, folder):
  (folder / 'secret').write_bytes(bytes(400))
  place = [(str(folder / 'secret'), 0, 400)]
  file.create_dataset('a', (100,), np.float32, external=place)


def _virtual(file, folder):
  layout = h5py.VirtualLayout((100,), np.float32)
  layout[:] = h5py.VirtualSource(str(folder / 'other.h5'), 'a', (100,))
  file.create_virtual_dataset('a', layout)


def _link(file, folder):
  file['a'] = h5py.ExternalLink(str(folder / 'other.h5'), 'a')


def _circle(file, _):
  file['a/b'] = h5py.SoftLink('/a')


def _objects(file, _):
  kind = h5py.special_dtype(vlen=bytes)
  file.create_dataset('a', (1,), kind)[0] = pickle.dumps(print, 0)


def _model(file, _):
  file.attrs['model_config'] = '{"class_name": "Lambda"}'


_FILES = {
  _huge: 'more than 1024 MiB',
  _many: 'more than 1024 MiB',
  _external: 'stored in another file',
  _virtual: 'stored in another file',
  _link: 'is a link',
  _circle: 'is a link',
  _objects: 'does not hold numbers',
  _model: 'whole saved model',
}


@pytest.mark.parametrize('write', _FILES, ids=lambda x: x.__name__)
def test_hostile_hdf5(ours, tmp_path, write):
  path = tmp_path / 'a.h5'
  with h5py.File(path, 'w') as file:
    write(file, tmp_path)
  with pytest.raises(errors.UserError, match=_FILES[write]) as error:
    load(path, ours)
  assert str(path) in str(error.value) and '\n' not in str(error.value)


def _cut(content):
  return content[: len(content) // 2]


@pytest.mark.parametrize(
  ('name', 'content', 'sentence'),
  [
    ('a.h5', pickle.dumps({'w': 1}), 'not an HDF5 file'),
    ('a.keras', b'PK\x03\x04', 'not an HDF5 file'),
    ('a.h5', b'\x89HDF\r\n\x1a\n' + bytes(100), 'cannot be read as HDF5'),
    ('a.ckpt', pickle.dumps({'w': 1}), 'cannot be read as a checkpoint'),
    ('a.npy', b'\x93NUMPY', 'cannot be read as a checkpoint'),
    ('a.ckpt', b'', 'cannot be read as a checkpoint'),
  ],
)
def test_files_of_other_kinds(ours, tmp_path, name, content, sentence):
  path = tmp_path / name
  path.write_bytes(content)
  with pytest.raises(errors.UserError, match=sentence) as error:
    load(path, ours)
  assert str(path) in str(error.value) and '\n' not in str(error.value)


def test_no_file_at_all(ours, tmp_path):
  with pytest.raises(errors.ConfigError, match='There is no checkpoint'):
    load(tmp_path / 'absent', ours)


@pytest.mark.parametrize('ending', ['index', 'data-00000-of-00001'])
@pytest.mark.parametrize('damage', [_cut, lambda x: bytes(len(x))])
def test_damaged_checkpoints(ours, tmp_path, ending, damage):
  path = tmp_path / 'model.ckpt'
  tf1.write(
    str(path), {v.original: v.value for v in ours.variables if v.original}
  )
  file = tmp_path / f'model.ckpt.{ending}'
  file.write_bytes(damage(file.read_bytes()))
  with pytest.raises(errors.DataError, match='cannot be read') as error:
    load(path, ours)
  assert str(path) in str(error.value) and '\n' not in str(error.value)


def test_checkpoints_with_nan(ours, tmp_path):
  tensors = {v.original: v.value for v in ours.variables if v.original}
  name = 'resnet_v1_50/conv1/weights'
  tensors[name] = np.full_like(tensors[name], np.nan)
  tf1.write(str(tmp_path / 'model.ckpt'), tensors)
  with pytest.raises(errors.ConfigError, match='NaN'):
    load(tmp_path / 'model.ckpt', ours)
