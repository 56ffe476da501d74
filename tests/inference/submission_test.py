import types

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from deeplab_contrast import common, launch
from deeplab_contrast.config import run_folder
from deeplab_contrast.datasets.sources import examples as examples_lib
from deeplab_contrast.datasets.voc2012_segmentation import Voc2012
from deeplab_contrast.inference import (
  evaluator,
  predictor,
  submission,
  test_servers,
)
from deeplab_contrast.training import contents
from deeplab_contrast.training import weights as weights_lib
from deeplab_contrast.utils import errors
from tests import fixtures, processes
from tests.datasets import in_memory

SERVER = test_servers.of_dataset(Voc2012.info)
MADE_BY = {'dataset': 'voc2012', 'split': 'test', 'checkpoint': 'abc'}


class Examples(examples_lib.Examples):
  """Images whose red channel is the class, without labels."""

  info = Voc2012.info
  max_size = (9, 14)

  def __init__(self, count=5):
    rng = np.random.default_rng(0)
    self.classes = {
      f'2008_{i:06}': rng.integers(0, 21, (5 + i, 14 - i)) for i in range(count)
    }

  def __len__(self):
    return len(self.classes)

  def __getitem__(self, index):
    name, classes = list(self.classes.items())[index]
    pixels = np.stack([classes, classes * 0, classes * 0 + 7], -1)
    return {
      common.IMAGE: in_memory.png(pixels),
      common.LABEL: b'',
      common.ID: name.encode(),
    }

  def ids(self):
    return list(self.classes)


class Red(predictor.Predictor):
  """Predicts the red channel plus an offset, instead of a model."""

  def labels(self, model, images):
    assert images.shape == [1, 17, 17, 3]
    return tf.cast(images[..., 0], tf.int32) + model


def experiment(offset=0):
  return types.SimpleNamespace(
    model=offset,
    evaluator=evaluator.Evaluator(Red()),
    pad_pixel=common.MEAN_PIXEL,
  )


def write(folder, examples, **kwargs):
  arguments = {'made_by': MADE_BY, 'poll': lambda: None, **kwargs}
  return submission.write(
    kwargs.pop('model', experiment()),
    examples,
    SERVER,
    str(folder),
    arguments['made_by'],
    arguments['poll'],
  )


def test_every_image_at_its_own_size(tmp_path):
  examples = Examples()
  archive = write(tmp_path / 'out', examples)
  assert archive == str(tmp_path / 'out' / 'voc2012_test.tgz')
  assert submission.check(examples, SERVER, archive) == 5
  for name, classes in examples.classes.items():
    path = tmp_path / 'out' / 'files' / SERVER.name_of(name)
    found = tf.io.decode_png(path.read_bytes())
    expected = np.array(SERVER.colors, np.uint8)[classes]
    np.testing.assert_array_equal(found, expected)


def test_it_goes_on_where_it_was_to_the_same_bytes(tmp_path):
  examples = Examples()
  whole = write(tmp_path / 'whole', examples)
  calls = []

  def poll():
    calls.append(1)
    if len(calls) == 4:
      raise errors.Preempted('Stopped.')

  with pytest.raises(errors.Preempted):
    write(tmp_path / 'broken', examples, poll=poll)
  files = sorted((tmp_path / 'broken').rglob('*.png'))
  assert len(files) == 3
  stamps = [path.stat().st_mtime_ns for path in files]
  files[1].write_bytes(b'damaged')
  (files[0].parent / 'x.png.abc.tmp').write_bytes(b'half')
  calls = []
  archive = write(tmp_path / 'broken', examples, poll=lambda: calls.append(1))
  assert len(calls) == 3  # Two that were missing and the damaged one.
  assert [files[0].stat().st_mtime_ns, files[2].stat().st_mtime_ns] == [
    stamps[0],
    stamps[2],
  ]
  with open(whole, 'rb') as one, open(archive, 'rb') as other:
    assert one.read() == other.read()


def test_files_of_another_checkpoint_are_not_taken_over(tmp_path):
  examples = Examples()
  write(tmp_path / 'out', examples)
  before = {p: p.read_bytes() for p in tmp_path.rglob('*') if p.is_file()}
  other = {**MADE_BY, 'checkpoint': 'def'}
  with pytest.raises(errors.ConfigError, match='not the same checkpoint'):
    write(tmp_path / 'out', examples, made_by=other)
  after = {p: p.read_bytes() for p in tmp_path.rglob('*') if p.is_file()}
  assert after == before


def test_a_folder_of_foreign_files_is_refused(tmp_path):
  (tmp_path / 'thesis.tex').write_text('x')
  with pytest.raises(errors.ConfigError, match='does not hold a subm'):
    write(tmp_path, Examples())


@pytest.mark.slow
def test_through_the_command_line(tmp_path):
  root = fixtures.make_voc(tmp_path / 'raw')
  for name in ('2009_000001', '2009_000002'):
    with Image.open(f'{root}/JPEGImages/2007_{name[5:]}.jpg') as image:
      image.rotate(180).save(f'{root}/JPEGImages/{name}.jpg')
  fixtures.write_list(root, 'test', ['2009_000001', '2009_000002'])
  files = ('gin_configs/voc2012/softmax_scratch.gin', 'gin_configs/tiny.gin')
  bindings = ('LABELS = 2', f'VOC_ROOT = {root!r}', 'FILTERS = 8')
  settings = {'data_dir': str(tmp_path / 'data')}
  built = launch.parse(files, bindings, settings=settings)
  with run_folder.prepare(str(tmp_path / 'run'), built.config):
    model = built.root.model
    model.build_variables()
    values = contents.by_path(model.variables)
    values = {name: v.numpy() for name, v in values.items()}
    weights_lib.write(str(tmp_path / 'run'), values, step=7)
  run = f'--model_dir={tmp_path}/run'
  done = processes.run_module('submit', run)
  assert done.returncode == 0, done.stderr
  archive = tmp_path / 'run' / 'submit' / 'test_7' / 'voc2012_test.tgz'
  assert str(archive) in done.stdout
  files = tmp_path / 'run' / 'submit' / 'test_7' / 'files'
  kept, removed = sorted(files.rglob('*.png'))
  assert (kept.name, removed.name) == ('2009_000001.png', '2009_000002.png')
  removed.unlink()
  done = processes.run_module('submit', run, f'--check={files}')
  assert done.returncode == 3
  assert done.stderr.endswith('\n  1 missing: 2009_000002\n')
  done = processes.run_module('submit', run, f'--check={archive}')
  assert (done.returncode, done.stdout) == (
    0,
    f'{archive}: 2 files, nothing missing, nothing wrong.\n',
  )
