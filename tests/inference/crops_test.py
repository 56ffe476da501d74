import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from deeplab_contrast import browse, launch
from deeplab_contrast.common import IGNORE_LABEL
from deeplab_contrast.config import run_folder
from deeplab_contrast.datasets import pipeline, sources, transforms
from deeplab_contrast.inference import crops
from deeplab_contrast.utils import errors
from tests import processes
from tests.datasets.in_memory import THREE, Painted, PaintedSource


class Head:
  """Halves its input; has only the parts of a network that are used."""

  def __call__(self, features):
    return features[:, ::2, ::2]


@dataclasses.dataclass
class Experiment:
  train: pipeline.Pipeline
  classifies: bool = False
  seed: int = 3
  data_dir: str | None = None

  @property
  def model(self):
    self.head = Head()
    return self


def steps(*more):
  first = (transforms.Decode(), transforms.Pad(33), transforms.RandomCrop(17))
  return (*first, *more)


def collect(*more, count=4, classifies=False, source=None):
  source = source or PaintedSource()
  experiment = Experiment(
    pipeline.Pipeline(source, steps(*more)), classifies=classifies
  )
  return crops.collect(experiment, count)


def test_crops_are_those_of_the_run():
  found = collect()
  source = PaintedSource()
  examples = source.open(None)
  run = pipeline.Pipeline(source, steps()).dataset(
    examples, batch_size=4, seed=3, keep_id=True
  )
  batch = next(run.as_numpy_iterator())
  for i, crop in enumerate(found):
    assert crop.position == i
    assert crop.id == batch['id'][i].decode()
    np.testing.assert_array_equal(crop.views[0], batch['image'][i].round())
    np.testing.assert_array_equal(crop.label, batch['label'][i])


def test_both_views_are_shown():
  (crop,) = collect(transforms.TwoViews(), count=1)
  first, second = crop.views
  assert first.dtype == second.dtype == np.uint8
  assert first.shape == (17, 17, 3)
  assert not np.array_equal(first, second)


def test_labels_at_the_loss():
  (crop,) = collect(count=1)
  # 17 is 5 at stride 4, of which the head makes 3.
  np.testing.assert_array_equal(crop.loss_label, crop.label[::8, ::8])
  (crop,) = collect(count=1, classifies=True)
  np.testing.assert_array_equal(crop.loss_label, crop.label)


def test_padding_is_told_from_void():
  some_void = False
  for crop in collect(count=6):
    image = crop.views[0]
    outside = (image == np.round(127.5)).all(axis=-1)
    np.testing.assert_array_equal(crop.padding, outside)
    assert (crop.label[crop.padding] == IGNORE_LABEL).all()
    some_void |= (crop.label[~crop.padding] == IGNORE_LABEL).any()
  assert some_void


def by_label(example):
  """A transform that looks at labels: it blanks those with void."""
  label = example['label']
  first = tf.cond(tf.reduce_any(label == 254), lambda: label * 0, lambda: label)
  return {**example, 'label': first}


def test_padding_may_be_unknown():
  all_of_it = (transforms.Decode(), transforms.Pad(17), by_label)
  experiment = Experiment(pipeline.Pipeline(PaintedSource(), all_of_it))
  for crop in crops.collect(experiment, 3):
    assert not crop.padding.any()
    assert (crop.label == IGNORE_LABEL).any()


def make(label, padding):
  label = np.asarray(label, np.uint8)
  image = np.zeros([*label.shape, 3], np.uint8)
  padding = np.asarray(padding, bool)
  return crops.Crop(0, 'a', (image,), label, label[:1, :1], padding)


def test_the_table_counts_everything():
  first = make([[0, 1], [255, 255]], [[0, 0], [0, 1]])
  second = make([[255, 1], [1, 1]], [[1, 0], [0, 0]])
  lines = crops.table([first, second], THREE).splitlines()
  cells = {line.split()[0]: line.split()[1:] for line in lines[2:]}
  assert cells == {
    'a': ['12.5', '50.0', '1'],
    'b': ['50.0', '0.0', '2'],
    'void': ['12.5', '0.0', '1'],
    'padding': ['25.0', '50.0', '2'],
  }


def test_the_picture_shows_colours_void_and_padding():
  crop = make([[1, 2], [255, 255]], [[0, 0], [0, 1]])
  picture = np.asarray(crops.draw([crop], THREE))
  # View, label, label at the loss: 256 pixels each, with margins of 6.
  assert picture.shape[1] == 6 + 3 * 262
  top = 22 + 6 + 22
  label = picture[top : top + 256, 268:524]
  assert tuple(label[60, 60]) == (255, 0, 0)
  assert tuple(label[60, 190]) == (0, 0, 255)
  assert tuple(label[190, 60]) == (255, 255, 255)
  grey = {tuple(pixel) for pixel in label[140:250, 140:250].reshape(-1, 3)}
  assert grey == {(235,) * 3, (190,) * 3}
  assert (picture[top : top + 256, 530:786] == (255, 0, 0)).all()


def test_many_crops_share_lines():
  found = collect(count=5)
  width, height = crops.draw(found, THREE).size
  assert width < 2200
  assert height == 28 + 3 * (22 + 256 + 6) + 28


# The command.


def launched(experiment, model_dir):
  return launch.Launch(experiment, None, model_dir, '')


def test_the_picture_lies_where_asked(tmp_path, capsys, monkeypatch):
  experiment = Experiment(pipeline.Pipeline(PaintedSource(), steps()))
  browse.main(launched(experiment, str(tmp_path / 'run')), 2)
  assert Image.open(tmp_path / 'run' / 'browse' / 'crops.png').width > 500
  browse.main(launched(experiment, None), 2, str(tmp_path / 'a.png'))
  assert (tmp_path / 'a.png').exists()
  monkeypatch.chdir(tmp_path)
  browse.main(launched(experiment, None), 1)
  assert (tmp_path / 'browse' / 'crops.png').exists()
  printed = capsys.readouterr().out
  assert 'three, seed 3, 2 crops: ' in printed
  assert 'void' in printed


def test_a_folder_that_was_looked_at_can_be_trained_in(tmp_path):
  (tmp_path / 'browse').mkdir()
  run_folder.check(str(tmp_path), '')
  (tmp_path / 'other').mkdir()
  with pytest.raises(errors.ConfigError, match=r'not empty \(other\)'):
    run_folder.check(str(tmp_path), '')


class Broken(Painted):
  def __getitem__(self, index):
    raise errors.DataError('Example 1 cannot be read.')


class BrokenSource(sources.Source):
  info = THREE

  def open(self, data_dir):
    return Broken(['a'], [np.zeros([3, 4])])


def test_bad_data_end_in_their_sentence(tmp_path):
  experiment = Experiment(pipeline.Pipeline(BrokenSource(), steps()))
  with pytest.raises(errors.DataError, match='Example 1 cannot be read'):
    browse.main(launched(experiment, str(tmp_path)), 1)


@pytest.mark.slow
def test_the_command(tmp_path):
  flags = processes.scenes_flags('softmax_finetune', tmp_path)
  done = processes.run_module(
    'browse', *flags, '--count=3', f'--out={tmp_path}/a.png'
  )
  assert done.returncode == 0, done.stderr
  assert f'scenes, seed 0, 3 crops: {tmp_path}/a.png' in done.stdout
  assert Image.open(tmp_path / 'a.png').height > 100
  done = processes.run_module('browse', *flags, '--count=0')
  assert done.returncode == 2
  assert '--count=0' in done.stderr
