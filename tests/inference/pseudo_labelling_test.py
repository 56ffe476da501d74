"""Label files of a stand-in for a network: byte for byte, however made."""

import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from deeplab_contrast.common import IGNORE_LABEL
from deeplab_contrast.core import pseudo_labels
from deeplab_contrast.inference import (
  pseudo_labelling,
  pseudo_manifest,
  whole_images,
)
from deeplab_contrast.utils import errors, journals, run_files
from tests.datasets import in_memory

THRESHOLDS = np.array([0.4, 0.5, 0.6], np.float32)


@pytest.fixture(scope='module')
def examples():
  return in_memory.PaintedSource(prefix='town/x', count=11).open(None)


def predict(images):
  """Probabilities that depend on a pixel and on its place in the batch."""
  levels = tf.cast(images, tf.float32) / 255
  levels += 0.01 * tf.range(len(images), dtype=tf.float32)[:, None, None, None]
  return pseudo_labels.confident(tf.nn.softmax(4 * levels), THRESHOLDS)


def work(folder, examples, **kwargs):
  whole = whole_images.WholeImages(examples, (17, 17))
  return pseudo_labelling.Labelling(folder, whole, THRESHOLDS, 2, **kwargs)


def contents(folder):
  root = pathlib.Path(folder) / 'labels'
  return {
    p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob('*.*')
  }


def summary(made):
  return pseudo_manifest.summary(made.counts(), ('a', 'b', 'c'), THRESHOLDS)


@pytest.fixture(scope='module')
def whole(examples, tmp_path_factory):
  folder = tmp_path_factory.mktemp('whole')
  made = work(folder, examples)
  assert len(made.missing()) == 11
  made.run(predict, 0, 1)
  assert not made.missing()
  return folder, made


def test_a_label_file_for_every_image(whole, examples):
  files = contents(whole[0])
  assert sorted(files) == sorted(f'{name}.png' for name in examples.ids())
  for index, name in enumerate(examples.ids()):
    image = in_memory.decoded(examples[index]['image']).astype(np.float32)
    expected, _, _ = predict(np.stack([image] * 2))
    with Image.open(whole[1].path(name)) as file:
      assert file.mode == 'P'
      np.testing.assert_array_equal(np.asarray(file), expected[index % 2])


def test_the_summary_counts_pixels(whole, examples):
  found = summary(whole[1])
  kept, right = np.zeros(3, int), np.zeros(3, int)
  for index, name in enumerate(examples.ids()):
    truth = in_memory.decoded(examples[index]['label'])
    with Image.open(whole[1].path(name)) as file:
      label = np.asarray(file)
    for c in range(3):
      kept[c] += (label == c).sum()
      right[c] += ((label == c) & (truth == c)).sum()
  pixels = sum(9 + i % 4 for i in range(11)) * 14
  assert found['images'] == 11
  assert list(found['kept'].values()) == kept.tolist()
  assert sum(found['pixels'].values()) == pixels
  assert found['share_kept'] == pytest.approx(kept.sum() / pixels)
  assert 0.1 < found['share_kept'] < 0.9
  for c, name in enumerate('abc'):
    assert found['coverage'][name] == kept[c] / found['pixels'][name]
  truths = [in_memory.decoded(examples[i]['label']) for i in range(11)]
  void = sum((t == IGNORE_LABEL).sum() for t in truths)
  assert void > 0
  # Precision is over pixels with a truth, of which there are fewer.
  assert all(
    found['agreement']['precision'][n] > right[c] / kept[c]
    for c, n in enumerate('abc')
  )
  assert 'right %' in pseudo_manifest.table(found)


@pytest.mark.parametrize('order', [(0, 1, 2), (2, 0, 1)])
def test_shares_make_the_same_bytes(whole, examples, tmp_path, order):
  for shard in order:
    assert work(tmp_path, examples).missing()
    work(tmp_path, examples).run(predict, shard, 3)
  assert not work(tmp_path, examples).missing()
  assert contents(tmp_path) == contents(whole[0])
  assert summary(work(tmp_path, examples)) == summary(whole[1])


def test_what_is_there_is_not_made_again(whole, examples, tmp_path):
  class Stop(Exception):
    pass

  calls = []

  def poll():
    calls.append(1)
    if len(calls) == 4:
      raise Stop

  with pytest.raises(Stop):
    work(tmp_path, examples).run(predict, 0, 1, poll)
  journal = tmp_path / 'shards' / '0_of_1.jsonl'
  # Killed while it wrote the line of an image.
  journal.write_text(journal.read_text()[:-20])
  before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob('*.png')}
  assert len(before) == 6
  work(tmp_path, examples).run(predict, 0, 1)
  again = [p for p, at in before.items() if p.stat().st_mtime_ns != at]
  assert len(again) == 2  # The batch whose line was cut off.
  assert contents(tmp_path) == contents(whole[0])
  assert summary(work(tmp_path, examples)) == summary(whole[1])


def test_a_disk_too_full_for_the_counts(examples, tmp_path, monkeypatch):
  """Without them nothing is complete, so this must not look like success."""
  monkeypatch.setattr(journals.Journal, 'write', lambda *_: None)
  with pytest.raises(errors.SystemFault, match=r'images could not .*0_of_1'):
    work(str(tmp_path), examples).run(predict, 0, 1)


def test_a_deleted_label_is_made_again(whole, examples, tmp_path):
  made = work(tmp_path, examples)
  made.run(predict, 0, 1)
  pathlib.Path(made.path('town/x3')).unlink()
  assert made.missing() == ['town/x3']
  made.run(predict, 0, 1)
  assert contents(tmp_path) == contents(whole[0])
  assert summary(made) == summary(whole[1])


def test_confidence_is_kept_on_request(examples, tmp_path):
  made = work(tmp_path, examples, keep_confidence=True)
  made.run(predict, 0, 1)
  with Image.open(made.path('town/x0', run_files.CONFIDENCE)) as file:
    found = np.asarray(file) / 65535
  image = in_memory.decoded(examples[0]['image']).astype(np.float32)
  _, _, confidence = predict(image[np.newaxis])
  np.testing.assert_allclose(found, confidence[0], atol=1e-5)


def test_without_a_truth_there_is_no_agreement(tmp_path):
  counts = {'a': {n: [3, 0, 0] for n in ('predicted', 'kept')}}
  counts['a'] |= {'judged': [0] * 3, 'correct': [0] * 3}
  found = pseudo_manifest.summary(counts, ('a', 'b', 'c'), THRESHOLDS)
  assert found['agreement'] is None
  assert found['coverage'] == {'a': 1.0, 'b': None, 'c': None}
  assert 'right' not in pseudo_manifest.table(found)
  json.dumps(found)
