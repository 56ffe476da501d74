"""A run from a file of PyTorch's weights, and all that follows from it.

The encoder is EfficientNet-Lite with one block for each stride, so that the
minutes go to what is tested; `conversion/pretrained_test.py` has the whole one.
"""

import json
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from deeplab_contrast import convert, launch
from deeplab_contrast.conversion import torch_file
from deeplab_contrast.export import exported, formats
from deeplab_contrast.utils import metrics
from tests import export_model_test, processes
from tests.conversion import narrow, torch_file_test
from tests.export import serving_test

OVERLAY = 'gin_configs/models/efficientnet_lite0.gin'
BINDINGS = (
  'WIDTH = 0.125',
  'CROP = (65, 65)',
  'STEPS = 2',
  'SAVE_EVERY = 1',
  'EVAL_LIMIT = 1',
  'EVAL_CROP = (65, 65)',
  'experiment.Experiment.embedding_judge = None',
  'keras_cv_backbone.KerasCvBackbone.arguments = '
  "{'stackwise_num_repeats': (1, 1, 1, 1, 1, 1, 1)}",
)
STEM = (
  'model/trunk.Sefficientnet_lite0.Sstem_conv.Skernel/.ATTRIBUTES/'
  'VARIABLE_VALUE'
)

pytestmark = pytest.mark.slow


class Runs:
  """Trainings that start from one file, in folders of their own."""

  def __init__(self, folder):
    self.folder = folder
    self.file = str(folder / 'lite.pth')
    built = launch.parse(*self.given('softmax_scratch'))
    built.root.model.build_variables()
    backbone = built.root.model.trunk.backbone
    content = torch_file_test.zipped(*narrow.torch_state(backbone))
    with open(self.file, 'wb') as file:
      file.write(content)

  def given(self, name, *bindings):
    flags = processes.scenes_flags(name, self.folder, *BINDINGS, *bindings)
    files = [x.partition('=')[2] for x in flags if x.startswith('--gin_file')]
    all_ = [x.partition('=')[2] for x in flags if x.startswith('--gin_bind')]
    return [files[0], OVERLAY, *files[1:]], all_

  def __call__(self, out, experiment, *bindings):
    """Trains; returns what the command printed."""
    files, given = self.given(experiment, *bindings)
    done = processes.run_module(
      'train',
      *(f'--gin_file={file}' for file in files),
      *(f'--gin_bindings={binding}' for binding in given),
      f'--data_dir={self.folder / "data"}',
      f'--model_dir={self.folder / out}',
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
  made = Runs(tmp_path_factory.mktemp('runs'))
  printed = made('whole', 'softmax_scratch', f'PRETRAINED = {made.file!r}')
  assert f'Starting from {made.file}' in printed
  return made


def weights(run, step):
  reader = tf.train.load_checkpoint(str(run / 'checkpoints' / f'ckpt-{step}'))
  return {
    key: reader.get_tensor(key)
    for key in reader.get_variable_to_shape_map()
    if key.endswith('VARIABLE_VALUE')
  }


def first_kernel(runs):
  kernel = torch_file.read(runs.file)['_conv_stem.weight']
  return kernel.transpose(2, 3, 1, 0)


def test_the_run_knows_its_weights(runs):
  origin = json.loads((runs.folder / 'whole' / 'origin.json').read_text())
  assert origin['weights'] == runs.file
  assert len(origin['sha256']) == 64 and origin['licence'] == 'unknown'
  stem = weights(runs.folder / 'whole', 1)[STEM]
  assert 0 < np.abs(stem - first_kernel(runs)).max() < 0.1  # One step away.


def test_convert_makes_a_run_of_them(runs, capsys):
  files, given = runs.given('softmax_scratch')
  arguments = [f'--checkpoint={runs.file}', f'--model_dir={runs.folder / "c"}']
  arguments += [f'--gin_file={file}' for file in files]
  arguments += [f'--gin_bindings={binding}' for binding in given]
  assert convert.main(['import', *arguments]) == 0
  printed = capsys.readouterr().out
  assert '  _conv_stem.weight ' in printed and 'Wrote' in printed
  assert 'gin_configs/tasks/imagenet_backbone.gin' in printed
  found = weights(runs.folder / 'c', 0)
  np.testing.assert_array_equal(found[STEM], first_kernel(runs))
  assert not [key for key in found if 'aspp' in key]


def test_it_resumes_bit_identical(runs):
  again = runs.folder / 'again'
  shutil.copytree(runs.folder / 'whole', again)
  for name in os.listdir(again / 'checkpoints'):
    if name.startswith('ckpt-2'):
      os.remove(again / 'checkpoints' / name)
  os.remove(again / 'DONE')
  shutil.rmtree(again / 'checkpoints' / 'best', ignore_errors=True)
  os.rename(runs.file, f'{runs.file}.away')  # Not needed any more.
  try:
    printed = runs('again', 'softmax_scratch', f'PRETRAINED = {runs.file!r}')
  finally:
    os.rename(f'{runs.file}.away', runs.file)
  assert 'Resuming from' in printed
  expected = weights(runs.folder / 'whole', 2)
  found = weights(again, 2)
  assert set(found) == set(expected)
  for key, value in expected.items():
    np.testing.assert_array_equal(found[key], value, err_msg=key)


def test_pretraining_starts_from_them_and_fine_tuning_from_it(runs):
  bindings = [f'PRETRAINED = {runs.file!r}', 'STEPS = 1']
  adamw = 'trainer.Trainer.eval_first = False'
  printed = runs('pretrain', 'contrastive_pretrain', *bindings, adamw)
  assert f'Starting from {runs.file}' in printed
  link = f'INIT = {str(runs.folder / "pretrain")!r}'
  printed = runs('finetune', 'softmax_finetune', *bindings, link)
  assert 'Starting from' in printed and runs.file not in printed
  assert not (runs.folder / 'finetune' / 'origin.json').exists()


def test_two_replicas_equal_one(two_replicas, runs, tmp_path):
  code = """
    import sys
    import tensorflow as tf
    from deeplab_contrast.conversion import pretrained
    from deeplab_contrast.core.network import keras_cv_backbone, model
    from deeplab_contrast.tasks import softmax
    from tests import tiny

    def fit(strategy, folder):
      with strategy.scope():
        backbone = keras_cv_backbone.KerasCvBackbone(
          'efficientnet_lite0', 16, 0.125,
          {'stackwise_num_repeats': (1,) * 7, 'skip_connection_dropout': 0.0},
        )
        trunk = model.Trunk(backbone, *tiny.small_parts(8, dropout_rate=0.0))
        head = softmax.Softmax().make_head(tiny.CLASSES)
        network = model.DeepLab(trunk, head)
        network.build_variables()
        start = pretrained.Pretrained(sys.argv[1])
        trainer = tiny.make_trainer(2, 0.01, batch_size=4, pretrained=start)
      stream = tiny.make_stream(size=65)
      trainer.fit(network, softmax.Softmax(), stream, strategy, folder)

    import keras
    for name, strategy in (('two', two), ('one', tf.distribute.get_strategy())):
      keras.utils.set_random_seed(0)
      fit(strategy, f'{sys.argv[2]}/{name}')
    """
  two_replicas(code, runs.file, tmp_path)
  one, two = (metrics.read(tmp_path / name) for name in ('one', 'two'))
  for a, b in zip(one, two, strict=True):
    np.testing.assert_allclose(a['loss'], b['loss'], rtol=1e-4)
  # Rounding, amplified by norms over the four values of image pooling.
  norms = [lines[0]['gradient_norm'] for lines in (one, two)]
  np.testing.assert_allclose(*norms, rtol=0.05)


@pytest.fixture(scope='module')
def exports(runs):
  """Maps a format to the folder of the export of 'whole'."""
  made = {}

  def make(name):
    if name not in made:
      made[name] = str(runs.folder / name)
      done = processes.run_module(
        'export_model',
        f'--model_dir={runs.folder / "whole"}',
        f'--out={made[name]}',
        f'--format={name}',
        *(['--input_size=65,65'] if name == 'tflite' else []),
      )
      assert done.returncode == 0, done.stderr
    return made[name]

  return make


def test_predict_and_the_model_card(runs, exports, tmp_path):
  folder = exports('saved_model')
  image = serving_test.pictures(1, 65, 65)[0]
  Image.fromarray(image).save(tmp_path / 'a.png')
  done = processes.run_module(
    'predict',
    f'--saved_model={folder}',
    f'--out={tmp_path / "out"}',
    tmp_path / 'a.png',
  )
  assert done.returncode == 0, done.stderr
  with Image.open(tmp_path / 'out' / 'masks' / 'a.png') as mask:
    labels, _ = exported.load(folder).predict(image)
    np.testing.assert_array_equal(np.asarray(mask), labels)
  with open(os.path.join(folder, 'model_card.md'), encoding='utf-8') as file:
    card = file.read()
  origin = json.loads((runs.folder / 'whole' / 'origin.json').read_text())
  assert runs.file in card and origin['sha256'] in card
  # All of the encoder's: two or three in each of seven blocks, and the stem.
  (folded,) = (
    int(words.split()[0])
    for words in card.split('; ')
    if 'batch norms folded' in words
  )
  assert folded > 21


def _agrees(runner, folder):
  image = serving_test.pictures(1, 65, 65)[0]
  difference, equal = export_model_test.agreement(
    runner, exported.load(folder), image
  )
  assert difference < 1e-3 and equal > 0.999


@pytest.mark.filterwarnings('ignore:.*tf.lite.Interpreter is deprecated')
def test_tflite(exports):
  path = os.path.join(exports('tflite'), formats.TFLITE_FILE)
  function = export_model_test._interpreter()(path).get_signature_runner()
  _agrees(
    lambda images: function(**{exported.INPUT: images}), exports('saved_model')
  )


def test_onnx(exports):
  pytest.importorskip('tf2onnx', reason='the extra onnx is not installed')
  onnxruntime = pytest.importorskip('onnxruntime')
  path = os.path.join(exports('onnx'), formats.ONNX_FILE)
  session = onnxruntime.InferenceSession(path)
  names = [exported.LABELS, exported.PROBABILITIES]

  def function(images):
    values = session.run(names, {exported.INPUT: images})
    return dict(zip(names, values, strict=True))

  _agrees(function, exports('saved_model'))
