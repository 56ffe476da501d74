"""The command, on a run whose weights are drawn, not trained."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from deeplab_contrast import export_model, launch
from deeplab_contrast.export import exported, formats
from deeplab_contrast.training import contents
from deeplab_contrast.training import weights as weights_lib
from deeplab_contrast.utils import errors
from tests import fixtures, processes
from tests.export import serving_test

SCRATCH = ['gin_configs/scenes/softmax_scratch.gin', 'gin_configs/tiny.gin']
CROP = 'EVAL_CROP = (65, 97)'


@pytest.fixture(scope='module')
def run(tmp_path_factory):
  """A `Launch` whose model_dir holds a checkpoint of step 7."""
  folder = tmp_path_factory.mktemp('run')
  built = launch.parse(SCRATCH, [*fixtures.TINY_SCENES, CROP])
  (folder / 'config.gin').write_text(built.config)
  model = built.root.model
  model.build_variables()
  serving_test.spread(model)
  weights = {k: v.numpy() for k, v in contents.by_path(model.variables).items()}
  weights_lib.write(str(folder), weights, step=7)
  return launch.Launch(
    built.root, tf.distribute.get_strategy(), str(folder), built.config
  )


def test_wrong_sizes_are_refused(run):
  for settings, sentence in (
    ({'format': 'tflite'}, 'tflite needs --input_size'),
    ({'crop_size': (-1, 65)}, '--crop_size is -1,65; give HEIGHT,WIDTH'),
    ({'crop_size': (65,)}, '--crop_size is 65; give HEIGHT,WIDTH'),
    ({'input_size': ('50x70',)}, '--input_size is 50x70; give HEIGHT,WIDTH'),
  ):
    with pytest.raises(errors.ConfigError, match=sentence):
      export_model.main(run, **settings)


def test_an_export_is_not_overwritten(run, tmp_path):
  (tmp_path / 'photo.jpg').write_text('dear')
  with pytest.raises(errors.ConfigError, match='exists; give another --out'):
    export_model.main(run, str(tmp_path))
  with pytest.raises(errors.ConfigError, match='is not an export'):
    export_model.main(run, str(tmp_path), overwrite=True)
  assert os.listdir(tmp_path) == ['photo.jpg']


def test_a_signal_leaves_no_half_export(run, tmp_path, monkeypatch):
  def write(experiment, folder, *settings):
    with open(os.path.join(folder, 'saved_model.pb'), 'w') as file:
      file.write('half')
    os.kill(os.getpid(), signal.SIGTERM)
    settings[-1]()  # The poll.

  monkeypatch.setattr(formats, 'write', write)
  with pytest.raises(errors.Preempted):
    export_model.main(run, str(tmp_path / 'out'))
  assert not os.listdir(tmp_path)


def test_contrastive_runs_are_refused():
  files = ['gin_configs/scenes/contrastive_pretrain.gin', SCRATCH[1]]
  root = launch.parse(files, fixtures.TINY_SCENES).root
  with pytest.raises(
    errors.ConfigError, match='a contrastive run, .*fine-tune'
  ):
    export_model.main(launch.Launch(root, None, 'runs/pretrain', ''))


@pytest.mark.slow
def test_a_run_as_a_saved_model(run, tmp_path):
  """By the command; read by TensorFlow's tool and by TensorFlow alone."""
  out = tmp_path / 'model'
  arguments = [f'--model_dir={run.model_dir}', f'--out={out}']
  done = processes.run_module(
    'export_model', *arguments, '--nofold_batch_norm', '--licence=MIT'
  )
  assert done.returncode == 0, done.stderr
  assert done.stdout == f'Step 7 of {run.model_dir}: {out}\n'
  assert 'Weights: MIT.' in (out / 'model_card.md').read_text()
  images = {
    'one': serving_test.pictures(1, 65, 97),
    'three': serving_test.pictures(3, 33, 49),
  }
  found = serving_test.run_without_us(out, images, tmp_path)
  assert run.experiment.restore(run.strategy, run.model_dir) == 7
  for key, (labels, _) in found.items():
    expected = serving_test.evaluated(
      run.experiment.model,
      run.experiment.evaluator.predictor,
      images[key],
      (65, 97),
    )
    assert len(np.unique(expected)) > 1
    np.testing.assert_array_equal(labels, expected)
  tool = 'tensorflow.python.tools.saved_model_cli'
  shown = subprocess.run(
    [sys.executable, '-m', tool, 'show', '--dir', str(out), '--all'],
    capture_output=True,
    text=True,
    check=True,
  ).stdout
  for name in ("inputs['ImageTensor']", "outputs['SemanticPredictions']"):
    assert name in shown


def agreement(runner, loaded, image):
  """Largest difference of probabilities, and the share of equal labels."""
  labels, probabilities = loaded.predict(image)
  outputs = runner(image[np.newaxis])
  difference = np.abs(outputs[exported.PROBABILITIES][0] - probabilities).max()
  return difference, np.mean(outputs[exported.LABELS][0] == labels)


@pytest.fixture(scope='module')
def loaded(run, tmp_path_factory):
  out = str(tmp_path_factory.mktemp('loaded') / 'model')
  export_model.main(run, out)
  return exported.load(out)


def _interpreter():
  """The LiteRT interpreter; where it is not installed, TensorFlow's own."""
  try:
    from ai_edge_litert import interpreter
  except ImportError:
    return tf.lite.Interpreter
  return interpreter.Interpreter


@pytest.mark.slow
@pytest.mark.filterwarnings('ignore:.*tf.lite.Interpreter is deprecated')
def test_tflite_agrees(run, loaded, tmp_path):
  out = str(tmp_path / 'lite')
  export_model.main(run, out, 'tflite', input_size=(50, 70))
  assert sorted(os.listdir(out)) == [
    *('labels.json', 'model.tflite', 'model_card.md'),
  ]
  interpreter = _interpreter()(os.path.join(out, formats.TFLITE_FILE))
  function = interpreter.get_signature_runner()
  difference, equal = agreement(
    lambda images: function(**{exported.INPUT: images}),
    loaded,
    serving_test.pictures(1, 50, 70)[0],
  )
  assert difference < 1e-3 and equal > 0.999


@pytest.mark.slow
def test_onnx_agrees(run, loaded, tmp_path):
  pytest.importorskip('tf2onnx', reason='the extra onnx is not installed')
  onnxruntime = pytest.importorskip('onnxruntime')
  out = str(tmp_path / 'onnx')
  export_model.main(run, out, 'onnx')
  session = onnxruntime.InferenceSession(os.path.join(out, formats.ONNX_FILE))
  names = [exported.LABELS, exported.PROBABILITIES]

  def function(images):
    values = session.run(names, {exported.INPUT: images})
    return dict(zip(names, values, strict=True))

  for size in ((50, 70), (90, 65)):
    image = serving_test.pictures(1, *size)[0]
    difference, equal = agreement(function, loaded, image)
    assert difference < 1e-3 and equal > 0.999


def test_onnx_without_its_packages(run, monkeypatch):
  monkeypatch.setitem(sys.modules, 'tf2onnx', None)
  with pytest.raises(errors.SystemFault, match='pip install .*onnx'):
    export_model.main(run, format='onnx')


@pytest.mark.slow
def test_bfloat16_agrees(run, loaded, tmp_path):
  out = tmp_path / 'half'
  done = processes.run_module(
    'export_model',
    f'--model_dir={run.model_dir}',
    f'--out={out}',
    '--precision=bfloat16',
  )
  assert done.returncode == 0, done.stderr
  assert 'computed in bfloat16' in (out / 'model_card.md').read_text()
  images = serving_test.pictures(1, 65, 97)
  _, probabilities = exported.load(str(out)).predict(images[0])
  _, expected = loaded.predict(images[0])
  difference = np.abs(probabilities - expected)
  assert difference.max() > 1e-5 and difference.mean() < 0.05
