"""Images for `predict` and `prepare`, and masks for `prepare`."""

import functools
import io
import pathlib
import struct
import tempfile
import zlib
from typing import Any

import numpy as np
import tensorflow as tf
from hypothesis import strategies as st
from PIL import Image

from deeplab_contrast import launch, predict
from deeplab_contrast.export import exported
from deeplab_contrast.imaging import conversion, images
from tools.fuzzing import damage, folders, harness

_RNG = np.random.default_rng(0)
_PIXELS = _RNG.integers(0, 256, (24, 40, 3), dtype=np.uint8)
_GREY = np.kron(np.arange(12).reshape(3, 4), np.ones((8, 10))).astype(np.uint8)
_SIZES = st.sampled_from((0, 1, 24, 65535, 30_000, 70_000, 2**31 - 1, 2**31))

# Whole headers with the right checksum, which bit flips never make.
_HEADERS = st.tuples(
  st.just('png'),
  st.just(0.0),
  st.tuples(
    _SIZES,
    _SIZES,
    st.sampled_from((1, 2, 4, 8, 16, 3)),
    st.sampled_from((0, 2, 3, 4, 6, 1)),
  ),
)
_CHUNKS = st.tuples(
  st.just('chunk'),
  st.sampled_from((0.1, 0.9)),
  st.tuples(
    st.sampled_from((b'tRNS', b'PLTE', b'eXIf', b'iTXt', b'zTXt', b'acTL')),
    st.binary(max_size=30),
  ),
)


def _saved(mode, form, **options):
  image = Image.fromarray(_PIXELS)
  if mode == 'P':
    image = Image.fromarray(_GREY)
    image.putpalette(np.arange(768, dtype=np.uint8).tobytes())
  elif mode == 'I;16':
    image = Image.fromarray(_GREY.astype(np.uint16) * 257)
  elif mode == 'ids':
    image = Image.fromarray(_GREY)
  else:
    image = image.convert(mode)
  file = io.BytesIO()
  image.save(file, form, **options)
  return file.getvalue()


@functools.cache
def starts() -> dict[str, bytes]:
  """{name with its ending: a valid file}."""
  exif = Image.Exif()
  exif[0x0112] = 6
  several = [Image.fromarray(_PIXELS), Image.fromarray(255 - _PIXELS)]
  return {
    **{
      f'{m.replace(";", "")}.png': _saved(m, 'PNG')
      for m in ('RGB', 'L', 'P', '1', 'LA', 'RGBA', 'I;16', 'ids')
    },
    'rgb.jpg': _saved('RGB', 'JPEG', exif=exif),
    'grey.jpeg': _saved('L', 'JPEG'),
    'cmyk.jpg': _saved('CMYK', 'JPEG'),
    'progressive.jpg': _saved('RGB', 'JPEG', progressive=True),
    'still.gif': _saved('P', 'GIF'),
    'moving.gif': _saved(*('RGB', 'GIF'), save_all=True, append_images=several),
    'a.bmp': _saved('RGB', 'BMP'),
    'p.bmp': _saved('P', 'BMP'),
    'a.tif': _saved('RGB', 'TIFF'),
    'lzw.tiff': _saved('RGBA', 'TIFF', compression='tiff_lzw'),
    'deep.tif': _saved('I;16', 'TIFF'),
    'float.tif': _saved('F', 'TIFF'),
    'a.webp': _saved('RGB', 'WEBP'),
    'moving.png': _saved('RGB', 'PNG', save_all=True, append_images=several),
    'a.j2k.png': _saved('RGB', 'JPEG2000'),
    'a.ppm.png': _saved('RGB', 'PPM'),
    'a.ico.png': _saved('RGB', 'ICO'),
    'a.tga.png': _saved('RGB', 'TGA'),
  }


def write(path: pathlib.Path, start: str, damages: Any) -> None:
  """Writes a file and damages it."""
  path.parent.mkdir(parents=True, exist_ok=True)
  data = starts()[start]
  rest = []
  for what, where, value in damages:
    if what == 'png':
      data = _with_header(data, *value)
    elif what == 'chunk':
      data = _with_chunk(data, where, *value)
    else:
      rest.append((what, where, value))
  path.write_bytes(data)
  damage.do(path, rest)


def _chunk(kind, content):
  sum_ = struct.pack('>I', zlib.crc32(kind + content))
  return struct.pack('>I', len(content)) + kind + content + sum_


def _with_header(data, width, height, depth, color):
  content = struct.pack('>IIBBBBB', width, height, depth, color, 0, 0, 0)
  if not data.startswith(b'\x89PNG'):
    data = starts()['RGB.png']
  return data[:8] + _chunk(b'IHDR', content) + data[33:]


def _with_chunk(data, where, kind, content):
  if not data.startswith(b'\x89PNG'):
    data = starts()['RGB.png']
  at = 33 if where < 0.5 else len(data) - 12
  return data[:at] + _chunk(kind, content) + data[at:]


@functools.cache
def _model():
  """A small exported model, loaded once for all examples."""
  spec = tf.TensorSpec([None, None, None, 3], tf.uint8, name='ImageTensor')

  @tf.function(input_signature=[spec])
  def serve(pixels):
    grey = tf.cast(pixels[..., 0], tf.int32) // 86
    return {
      'SemanticPredictions': grey,
      'SemanticProbabilities': tf.one_hot(grey, 3),
    }

  with tempfile.TemporaryDirectory() as folder:
    tf.saved_model.save(tf.Module(), folder, {'serving_default': serve})
    return exported.load(folder)


def run_image(case: Any, folder: pathlib.Path) -> None:
  """`predict`, and how `prepare` reads images."""
  start, damages = case
  path = folder / 'in' / start
  write(path, start, damages)
  launched = launch.Launch(None, None, None, '', arguments=[str(folder / 'in')])
  real, predict._load = predict._load, lambda _: _model()
  try:
    harness.command(
      lambda: predict.main(launched, 'model', str(folder / 'out'))
    )
  finally:
    predict._load = real
  for convert in (None, conversion.Conversion((3, 2, 1), 'measured')):
    for file in (folder / 'in').iterdir():
      harness.command(lambda: images.read_picture(file, convert))  # noqa: B023


def run_mask(case: Any, folder: pathlib.Path) -> None:
  """`prepare folder` on pairs, one mask of which is damaged."""
  start, meaning, damages = case
  root = folder / 'in'
  folders.pairs(root, meaning)
  target = root / 'masks' / f'0{pathlib.Path(start).suffix}'
  (root / 'masks' / '0.png').unlink()
  write(target, start, damages)
  folders.prepare(root, folder / 'out', is_whole=folders.is_tenth(case))


def _cases(*more):
  damages = damage.several(damage.BYTES, _HEADERS, _CHUNKS, damage.FILES)
  return st.tuples(st.sampled_from(sorted(starts())), *more, damages)


def kinds() -> tuple[harness.Kind, ...]:
  """Images and masks."""
  _model()
  return (
    harness.Kind(
      'images',
      2000,
      _cases(),
      run_image,
      'predict.main with a loaded model; images.read_picture of prepare',
    ),
    harness.Kind(
      'masks',
      2000,
      _cases(st.sampled_from(folders.MEANINGS)),
      run_mask,
      'raw_check.check of prepare; every tenth: prepare.main',
    ),
  )
