"""Images without labels beside labelled ones."""

import types

import numpy as np
import pytest
import tensorflow as tf

from deeplab_contrast import common
from deeplab_contrast.datasets import pipeline, second_stream
from deeplab_contrast.datasets import transforms as t
from deeplab_contrast.utils import errors
from tests.datasets import in_memory

STEPS = (
  t.Decode(marks_void=True),
  t.RandomScale(0.5, 1.0, 0.0),
  t.Pad(33),
  t.RandomCrop(33),
  t.RandomFlip(),
  t.WeakAndStrong(strong=2),
)


def example(label):
  label = np.asarray(label, np.uint8)
  image = np.full((*label.shape, 3), 90, np.uint8)
  return {
    common.IMAGE: in_memory.png(image),
    common.LABEL: in_memory.png(label),
    common.ID: b'a',
    common.SEED: tf.constant([3, 4]),
  }


def test_views_share_geometry_and_padding_is_marked():
  label = np.full((20, 33), 2)
  label[:4] = common.IGNORE_LABEL
  steps = (t.Decode(marks_void=True), t.Pad(33), t.RandomCrop(33), STEPS[-1])
  found = pipeline._apply(steps, example(label))
  assert sorted(found) == ['id', 'label', 'mix', 'valid', 'views']
  assert found[common.VIEWS].shape == (3, 33, 33, 3)
  assert found[common.MIX].shape == (2, 33, 33)
  # Void counts, padding does not.
  np.testing.assert_array_equal(found[common.VALID][:20], True)
  np.testing.assert_array_equal(found[common.VALID][20:], False)
  np.testing.assert_array_equal(found[common.LABEL][:4], 255)
  np.testing.assert_array_equal(found[common.LABEL][4:20], 2)
  np.testing.assert_array_equal(found[common.VIEWS][0, :20], 90.0)
  assert not np.allclose(found[common.VIEWS][1], found[common.VIEWS][0])
  assert not np.allclose(found[common.VIEWS][1], found[common.VIEWS][2])


def test_an_image_without_a_mask_is_valid_everywhere():
  given = {**example(np.zeros((33, 33))), common.LABEL: b''}
  steps = (t.Decode(marks_void=True), t.Pad(33), t.RandomCrop(33), STEPS[-1])
  found = pipeline._apply(steps, given)
  assert np.all(found[common.VALID])
  assert np.all(found[common.LABEL] == common.IGNORE_LABEL)


def test_bad_settings_are_named():
  for settings, message in (
    ({'strong': 3}, 'strong must be 1 or 2'),
    ({'mix_area': (0.5, 0.1)}, 'mix_area must be two numbers'),
    ({'mix_area': (0.5, 1.1)}, 'at most 1'),
    ({'mix_probability': 2.0}, 'mix_probability'),
  ):
    with pytest.raises(errors.ConfigError, match=message):
      t.WeakAndStrong(**settings)


def joined(seed=5):
  labelled = pipeline.Pipeline(
    in_memory.PaintedSource(count=3),
    (t.Decode(), t.Pad(17), t.RandomCrop(17)),
  )
  unlabelled = pipeline.Pipeline(
    in_memory.PaintedSource('u', 5),
    (t.Decode(marks_void=True), t.Pad(17), t.RandomCrop(17), t.WeakAndStrong()),
  )

  def stream(**where):
    return labelled.dataset(labelled.source.open(None), seed=seed, **where)

  others = unlabelled.source.open(None)
  return second_stream.Joined(stream, unlabelled, others, seed)


def flat(batch):
  """{name: array} of a batch and of its unlabelled examples."""
  others = batch[common.UNLABELLED]
  rest = {k: v for k, v in batch.items() if k != common.UNLABELLED}
  named = {**rest, **{f'unlabelled {k}': v for k, v in others.items()}}
  return {name: value.numpy() for name, value in named.items()}


def test_both_streams_start_anywhere():
  whole = [flat(x) for x in joined()(batch_size=2, start=0, stop=8)]
  assert len(whole) == 4
  assert whole[0]['unlabelled views'].shape == (2, 2, 17, 17, 3)
  resumed = [flat(x) for x in joined()(batch_size=2, start=4, stop=8)]
  for expected, found in zip(whole[2:], resumed, strict=True):
    for name, value in expected.items():
      np.testing.assert_array_equal(found[name], value, err_msg=name)
  # The two draw different numbers.
  assert not np.array_equal(whole[0]['seed'], whole[0]['unlabelled seed'])


def test_hosts_share_both_streams():
  whole = [flat(x) for x in joined()(batch_size=2, start=0, stop=8)]
  hosts = [
    [
      flat(x)
      for x in joined()(batch_size=1, start=0, stop=8, host=host, num_hosts=2)
    ]
    for host in (0, 1)
  ]
  for step, expected in enumerate(whole):
    for name, value in expected.items():
      parts = [hosts[host][step][name] for host in (0, 1)]
      np.testing.assert_array_equal(np.concatenate(parts), value, name)


def test_images_in_both_sets_are_refused():
  source = in_memory.PaintedSource(count=3)
  opened = source.open(None)
  experiment = types.SimpleNamespace(
    unlabelled=pipeline.Pipeline(source, STEPS),
    data_dir=None,
    trainer=types.SimpleNamespace(batch_size=2),
  )
  for role, name in (('train', 'training'), ('eval', 'evaluation')):
    with pytest.raises(
      errors.DataError, match=f'3 of the .* are {name} images'
    ):
      second_stream.open_images(experiment, {role: (source, opened)})
  assert len(second_stream.open_images(experiment, {})) == 3
