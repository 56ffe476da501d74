"""A run does not resume with different data."""

import dataclasses
import functools
import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from deeplab_contrast import launch
from deeplab_contrast.datasets import fingerprints, scenes, sources
from deeplab_contrast.datasets.voc2012_segmentation import Voc2012
from deeplab_contrast.training import trainer
from deeplab_contrast.utils import errors
from tests import fixtures

FOUND = {'train': {'datasets': {'voc': 'a'}, 'examples': 3, 'ids': 'x'}}


def changed(**values):
  return {'train': {**FOUND['train'], **values}}


@pytest.mark.parametrize(
  'new, sentence',
  [
    (changed(datasets={'voc': 'b'}), r'train datasets was \{"voc": "a"\}'),
    (changed(examples=4, ids='y'), 'train examples was 3, is 4; train ids'),
    ({**FOUND, 'eval': FOUND['train']}, 'eval examples was None, is 3'),
  ],
)
def test_other_data_are_refused(tmp_path, new, sentence):
  fingerprints.check(str(tmp_path), FOUND)
  fingerprints.check(str(tmp_path), FOUND)
  with pytest.raises(errors.DataError, match=sentence):
    fingerprints.check(str(tmp_path), new)
  (tmp_path / 'data.json').unlink()  # The remedy it names.
  fingerprints.check(str(tmp_path), new)


TRAINED = {'train': {**FOUND['train'], 'classes': ['soil', 'leaf']}}


@pytest.mark.parametrize(
  'names, sentence',
  [
    (('leaf', 'soil'), "class 0 was 'soil', is 'leaf'"),
    (('soil', 'leaves'), "class 1 was 'leaf', is 'leaves'.*data.json too"),
  ],
)
def test_other_names_of_classes_are_refused(tmp_path, names, sentence):
  fingerprints.check(str(tmp_path), TRAINED)
  fingerprints.check_classes(str(tmp_path), ('soil', 'leaf'))
  with pytest.raises(errors.DataError, match=sentence):
    fingerprints.check_classes(str(tmp_path), names)


def test_runs_that_do_not_tell_their_classes_are_trusted(tmp_path):
  fingerprints.check_classes(str(tmp_path), ('a', 'b'))
  fingerprints.check(str(tmp_path), FOUND)
  fingerprints.check_classes(str(tmp_path), ('a', 'b'))


def test_only_the_chief_writes(tmp_path):
  fingerprints.check(str(tmp_path), FOUND, write=False)
  assert not list(tmp_path.iterdir())


@dataclasses.dataclass(frozen=True)
class Mixture:
  parts: tuple


def test_every_dataset_of_a_source_counts(tmp_path):
  tree = pathlib.Path(fixtures.make_voc(tmp_path / 'raw', 2, 1, 0))
  small = scenes.Scenes(train=1, val=1, height=32, width=32)
  voc = sources.TfdsSplit(Voc2012(str(tree)), 'train')
  both = Mixture((sources.LabelBudget(voc, 1), sources.TfdsSplit(small, 'val')))
  data_dir = str(tmp_path / 'data')
  examples = voc.open(data_dir)
  first = fingerprints.of_sources({'a': (both, examples)}, data_dir)['a']
  assert set(first['datasets']) == {'voc2012', 'scenes'}
  assert first['classes'] == list(voc.info.class_names)
  assert first['datasets']['scenes'] == 'seed0_train1_val1_32x32 1.0.0'
  # After a changed pixel of a mask all else is as before.
  path = tree / 'SegmentationClass' / '2007_000000.png'
  mask = Image.open(path)
  mask.putpixel((9, 9), (mask.getpixel((9, 9)) + 1) % 20)
  mask.save(path)
  path.write_bytes(path.read_bytes() + b' ')  # Certainly another size.
  examples = voc.open(data_dir)
  second = fingerprints.of_sources({'a': (both, examples)}, data_dir)['a']
  assert second['datasets']['voc2012'] != first['datasets']['voc2012']
  assert second['ids'] == first['ids']


def test_resuming_with_other_data_is_refused_before_any_step(
  tmp_path, monkeypatch
):
  trained = []
  monkeypatch.setattr(
    trainer.Trainer, 'fit', lambda self, *args: trained.append(1)
  )
  tree = pathlib.Path(fixtures.make_voc(tmp_path / 'raw', height=33, width=49))

  experiment = launch.parse(
    ('gin_configs/voc2012/softmax_scratch.gin', 'gin_configs/tiny.gin'),
    (f'VOC_ROOT = {str(tree)!r}', 'LABELS = 3'),
    settings={'data_dir': str(tmp_path / 'data')},
  ).root
  fit = functools.partial(
    experiment.fit, tf.distribute.get_strategy(), str(tmp_path / 'run')
  )
  fit()
  fit()
  name = '2007_000000.png'
  folder = tree / 'SegmentationClass'
  mask = np.array(Image.open(folder / name))
  Image.fromarray(np.where(mask == 0, 20, mask).astype(np.uint8)).save(
    folder / name
  )
  with pytest.raises(errors.DataError, match='have changed since .*run began'):
    fit()
  assert len(trained) == 2


def test_a_run_is_not_evaluated_with_classes_in_another_order(tmp_path):
  folder = tmp_path / 'raw'
  fixtures.make_folder(folder, train=2, val=1, ids=range(2))

  def experiment(*names):
    about = {'name': 'my', 'classes': names}
    (folder / 'dataset.json').write_text(json.dumps(about))
    return launch.parse(
      [
        'gin_configs/camvid/softmax_scratch.gin',
        'gin_configs/datasets/own.gin',
        'gin_configs/tiny.gin',
      ],
      [f"OWN_DATA = '{folder}'", 'CROP = (33, 33)', 'STEPS = 1'],
      settings={'data_dir': str(tmp_path / 'data')},
    ).root

  strategy = tf.distribute.get_strategy()
  run = str(tmp_path / 'run')
  experiment('soil', 'leaf').fit(strategy, run)
  assert experiment('soil', 'leaf').restore(strategy, run) == 1
  with pytest.raises(errors.DataError, match="class 0 was 'soil', is 'leaf'"):
    experiment('leaf', 'soil').restore(strategy, run)
