"""Weight files: TensorFlow 1 checkpoints, HDF5 of Keras, state dicts."""

import functools
import pathlib
import shutil
import tempfile
from typing import Any

import numpy as np
from hypothesis import strategies as st

from deeplab_contrast.conversion import pretrained, tf1, torch_file
from tests.conversion import keras_weights_test, narrow, torch_file_test
from tools.fuzzing import damage, harness

_KERAS = ('classic.h5', 'numbered.weights.h5')
_TORCH = ('legacy.pth', 'zipped.pt')
_CHECKPOINT = ('model.ckpt.index', 'model.ckpt.data-00000-of-00001')
_STRUCTURES = st.tuples(
  st.just('array'),
  st.integers(0, 999).map(lambda n: n / 1000),
  st.sampled_from(
    (
      *(np.nan, np.inf, 'int', 'empty', 'scalar', 'text', 'huge', 'shape'),
      *('drop', 'double', 'negative'),
    )
  ),
)


@functools.cache
def _narrow():
  ours = keras_weights_test.narrow()
  return ours, keras_weights_test.layers_like(ours)


@functools.cache
def _files():
  """A folder with a valid file of each form."""
  ours, layers = _narrow()
  base = pathlib.Path(tempfile.mkdtemp())
  keras_weights_test.write_classic(base / _KERAS[0], layers)
  keras_weights_test.write_numbered(base / _KERAS[1], layers)
  tensors = {v.original: v.value for v in ours.variables if v.original}
  tf1.write(str(base / 'model.ckpt'), tensors)
  state = {
    'plain': torch_file_test.tensor(),
    'turned': torch_file_test.tensor((3, 2), (1, 3)),
    'count': torch_file_test.tensor(
      (), (), key='1', length=1, kind='LongStorage'
    ),
  }
  blocks = {**torch_file_test.numbers(), '1': np.array([7])}
  (base / _TORCH[0]).write_bytes(torch_file_test.legacy(state, blocks))
  (base / _TORCH[1]).write_bytes(torch_file_test.zipped(state, blocks))
  return base


def _odd_layers(layers, where, what):
  """Layers, one array of which is odd."""
  layers = {name: dict(arrays) for name, arrays in layers.items()}
  places = [(layer, kind) for layer in layers for kind in layers[layer]]
  layer, kind = damage.pick(places, where)
  value = layers[layer][kind]
  odd: Any = {
    'int': lambda: value.astype(np.int32),
    'empty': lambda: value[:0],
    'scalar': lambda: np.float32(1),
    'text': lambda: np.array(b'import os'),
    'huge': lambda: np.broadcast_to(np.float32(0), (1 << 12, 1 << 12)),
    'shape': lambda: value[None],
    'double': lambda: value.astype(np.float64),
    'negative': lambda: -value,
  }
  if what == 'drop':
    del layers[layer][kind]
  else:
    make = odd.get(what, lambda: np.full_like(value, what))
    layers[layer][kind] = make()
  return layers


def run(case: Any, folder: pathlib.Path) -> None:
  """What PRETRAINED and `convert import` do with a file of weights."""
  name, damages = case
  is_checkpoint = name in _CHECKPOINT
  for file in _CHECKPOINT if is_checkpoint else (name,):
    shutil.copy(_files() / file, folder / file)
  path = folder / name
  rest = []
  for what, where, value in damages:
    if what != 'array':
      rest.append((what, where, value))
    elif name in _KERAS:
      layers = _odd_layers(_narrow()[1], where, value)
      write = keras_weights_test.write_classic
      if name == _KERAS[1]:
        write = keras_weights_test.write_numbered
      write(path, layers)
  damage.do(path, rest)
  if name in _TORCH:
    harness.command(lambda: torch_file.read(str(path)))
    return
  backbone = _narrow()[0].model.trunk.backbone
  given = folder / 'model.ckpt' if is_checkpoint else path
  harness.command(
    lambda: pretrained.Pretrained(str(given))(narrow.Holder(backbone))
  )


def kinds() -> tuple[harness.Kind, ...]:
  """Weight files."""
  _files()
  return (
    harness.Kind(
      'weights',
      500,
      st.tuples(
        st.sampled_from((*_KERAS, *_TORCH, *_CHECKPOINT)),
        damage.several(damage.BYTES, damage.FILES, _STRUCTURES),
      ),
      run,
      'Pretrained of train (open_source and plan of convert), torch_file.read',
    ),
  )
