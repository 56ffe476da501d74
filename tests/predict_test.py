"""Predictions as files; of a stand-in, for which brightness is the class."""

import json
import os
import signal

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from deeplab_contrast import launch, predict
from deeplab_contrast.export import exported, predictions
from deeplab_contrast.utils import errors
from tests import processes


def save_model(folder, classes=3, levels=None, **outputs):
  """A SavedModel with the names of an export; `levels` of the classes occur."""
  spec = tf.TensorSpec([None, None, None, 3], tf.uint8, name='ImageTensor')

  @tf.function(input_signature=[spec])
  def serve(images):
    grey = tf.cast(images[..., 0], tf.int32) * (levels or classes) // 256
    result = {
      'SemanticPredictions': grey,
      'SemanticProbabilities': tf.one_hot(grey, classes),
    }
    return {outputs.get(name, name): value for name, value in result.items()}

  tf.saved_model.save(tf.Module(), str(folder), {'serving_default': serve})
  return folder


@pytest.fixture(scope='module')
def model(tmp_path_factory):
  return save_model(tmp_path_factory.mktemp('model'))


@pytest.fixture
def place(tmp_path, monkeypatch):
  """Three good images in two folders, one bad one."""
  for i, name in enumerate(('a/x.png', 'a/y.png', 'b/x.jpg')):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    pixels = np.full([20 + i, 30, 3], 100 * i, np.uint8)
    Image.fromarray(pixels).save(tmp_path / name)
  (tmp_path / 'a' / 'bad.jpg').write_bytes(b'no image')
  monkeypatch.chdir(tmp_path)
  return tmp_path


def run(model, *arguments, **settings):
  launched = launch.Launch(None, None, None, '', arguments=arguments)
  return predict.main(launched, str(model), 'out', **settings)


def files():
  return {
    os.path.relpath(os.path.join(folder, name), 'out')
    for folder, _, names in os.walk('out')
    for name in names
  }


def test_what_is_skipped_is_counted_and_named(model, place, capsys):
  (place / 'b/notes.txt').write_text('')
  assert run(model, 'b') == 0
  out = capsys.readouterr().out
  assert 'Skipped 1 files that are not images: notes.txt.' in out
  assert run(model, 'a', 'b', as_json=True) == 3
  assert json.loads(capsys.readouterr().out) == {
    'predicted': 3,
    'already there': 0,
    'failed': 1,
    'skipped': ['b/notes.txt'],
    'out': 'out',
  }


def test_masks_overlays_and_a_list_of_failures(model, place, capsys):
  assert run(model, 'a', 'b', probabilities=True) == 3
  assert files() == {
    'model.json',
    'failures.txt',
    *('masks/a/x.png', 'masks/a/y.png', 'masks/b/x.png'),
    *('overlays/a/x.jpg', 'overlays/a/y.jpg', 'overlays/b/x.jpg'),
    *(f'probabilities/{n}.npz' for n in ('a/x', 'a/y', 'b/x')),
  }
  assert (place / 'out/failures.txt').read_text() == (
    'a/bad.jpg is not an image that Pillow knows, or damaged: fetch it again.\n'
  )
  out, err = capsys.readouterr()
  assert '3 predicted, 0 already there, 1 failed: out' in out
  assert 'error: 1 of 4 images failed, see out/failures.txt' in err
  for i, name in enumerate(('a/x', 'a/y', 'b/x')):
    with Image.open(f'out/masks/{name}.png') as mask:
      assert mask.mode == 'P' and mask.size == (30, 20 + i)
      assert np.all(np.asarray(mask) == i)
    with Image.open(f'out/overlays/{name}.jpg') as overlay:
      assert overlay.size == mask.size
    kept = np.load(f'out/probabilities/{name}.npz')['probabilities']
    assert kept.dtype == np.float16 and kept.shape == (20 + i, 30, 3)
    assert np.all(kept.argmax(-1) == i)
  # Half the image, half the colour of class 1 of VOC.
  middle = Image.open('out/overlays/a/y.jpg').getpixel((15, 10))
  np.testing.assert_allclose(middle, (114, 50, 50), atol=3)


def test_it_goes_on_where_it_was(model, place, capsys):
  run(model, 'a')
  stamps = {name: os.stat(f'out/{name}').st_mtime_ns for name in files()}
  mask = place / 'out/masks/a/x.png'
  assert not mask.exists()
  (place / 'out/masks/x.png').write_bytes(b'damaged')
  os.remove('a/bad.jpg')
  assert run(model, 'a') == 0
  assert '1 predicted, 1 already there, 0 failed' in capsys.readouterr().out
  assert not os.path.exists('out/failures.txt')
  changed = {n for n in files() if os.stat(f'out/{n}').st_mtime_ns != stamps[n]}
  assert changed == {'masks/x.png', 'overlays/x.jpg'}
  # Another image under the old name, and outputs that were not asked for.
  Image.fromarray(np.full([5, 5, 3], 255, np.uint8)).save('a/y.png')
  run(model, 'a')
  assert np.asarray(Image.open('out/masks/y.png')).tolist() == [[2] * 5] * 5
  run(model, 'a', probabilities=True)
  assert '2 predicted, 0 already there' in capsys.readouterr().out


def test_outputs_are_not_predicted_again(model, place, capsys):
  assert run(model, '.', 'out') == 3
  assert run(model, '.') == 3
  assert '0 predicted, 3 already there, 1 failed' in capsys.readouterr().out


def test_outputs_of_others_are_not_touched(model, place, tmp_path_factory):
  (place / 'out/masks').mkdir(parents=True)
  with pytest.raises(
    errors.ConfigError, match='out has masks, but not from this'
  ):
    run(model, 'b')
  os.rmdir('out/masks')
  run(model, 'b')
  other = save_model(tmp_path_factory.mktemp('other'), classes=2)
  with pytest.raises(errors.ConfigError, match='predictions of a different m'):
    run(other, 'b')


def test_wrong_models_are_refused(place):
  with pytest.raises(errors.ConfigError, match='Give --saved_model'):
    run('', 'b')
  with pytest.raises(errors.ConfigError, match='a is not a SavedModel'):
    run('a', 'b')
  (place / 'a/saved_model.pb').write_bytes(b'damaged')
  with pytest.raises(errors.DataError, match='a cannot be loaded'):
    run('a', 'b')
  tf.saved_model.save(tf.Module(), str(place / 'bare'))
  with pytest.raises(errors.DataError, match='bare has no signature serving_d'):
    run('bare', 'b')
  folder = save_model(place / 'model', SemanticProbabilities='p')
  with pytest.raises(
    errors.DataError, match='lacks SemanticProb.* [(]it has Sem'
  ):
    run(folder, 'b')
  assert not os.path.exists('out')


def test_classes_are_those_of_labels_json(place):
  folder = save_model(place / 'model')
  assert exported.load(str(folder)).class_names[2] == 'class 2'
  path = folder / 'assets' / 'labels.json'
  classes = [{'name': n, 'color': [i, 0, 0]} for i, n in enumerate('abc')]
  path.write_text(json.dumps({'classes': classes}))
  loaded = exported.load(str(folder))
  assert loaded.class_names == ('a', 'b', 'c')
  assert loaded.colors == ((0, 0, 0), (1, 0, 0), (2, 0, 0))
  path.write_text(json.dumps({'classes': classes[:2]}))
  with pytest.raises(errors.DataError, match='names 2 classes, but .* has 3'):
    exported.load(str(folder))
  path.write_text('{')
  with pytest.raises(errors.DataError, match='is damaged'):
    exported.load(str(folder))


def test_a_signal_stops_it_between_two_images(model, place, monkeypatch):
  add = predictions.Folder.add

  def add_and_stop(folder, entry):
    os.kill(os.getpid(), signal.SIGTERM)
    return add(folder, entry)

  monkeypatch.setattr(predictions.Folder, 'add', add_and_stop)
  with pytest.raises(errors.Preempted) as stopped:
    run(model, 'a/x.png', 'a/y.png')
  assert stopped.value.exit_code == 143
  assert files() == {'model.json', 'masks/x.png', 'overlays/x.jpg'}


def test_too_little_memory_is_the_fault_of_one_image(model, place, monkeypatch):
  def fail(self, image):
    raise tf.errors.ResourceExhaustedError(None, None, 'OOM')

  monkeypatch.setattr(exported.Exported, 'labels', fail)
  assert run(model, 'b') == 3
  assert 'needs more memory' in (place / 'out/failures.txt').read_text()


@pytest.mark.slow
def test_the_command(model, place):
  name = os.fsencode('b/') + b'\xff.png'  # No name in UTF-8.
  with open(name, 'wb') as file:
    Image.fromarray(np.zeros([2, 2, 3], np.uint8)).save(file, 'PNG')
  arguments = [f'--saved_model={model}', '--out=out', 'a', 'b']
  done = processes.run_module('predict', *arguments, cwd=place)
  assert done.returncode == 3, done.stderr
  assert done.stderr.splitlines()[-1].startswith('error: 1 of 5 images')
  assert '4 predicted' in done.stdout
