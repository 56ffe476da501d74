import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from deeplab_contrast.common import ID, IMAGE, LABEL, SEED
from deeplab_contrast.datasets import fused, transforms

DECODE = transforms.Decode()


def encode(pixels):
  buffer = io.BytesIO()
  Image.fromarray(pixels).save(buffer, 'PNG')
  return buffer.getvalue()


def example(height, width, label=None):
  rng = np.random.default_rng(7)
  small = rng.integers(0, 5, (height // 4 + 1, width // 4 + 1), dtype=np.uint8)
  ids = np.kron(small, np.ones((4, 4), np.uint8))[:height, :width]
  pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
  label = encode(ids) if label is None else label
  return {IMAGE: encode(pixels), LABEL: label, ID: b'a'}


def both(steps, given, count=12):
  """By stages and one by one, each for `count` seeds."""
  stages = fused.stages(steps)

  def run(seed):
    seeds = [
      tf.random.experimental.stateless_fold_in(seed, i)
      for i in range(len(steps))
    ]
    ours = dict(given)
    for stage in stages:
      ours = stage.run(ours, [seeds[i] for i in stage.numbers])
    theirs = dict(given)
    for step, own in zip(steps, seeds, strict=True):
      theirs = step({**theirs, SEED: own})
    return [(x[IMAGE], x[LABEL]) for x in (ours, theirs)]

  dataset = tf.data.Dataset.range(count, output_type=tf.int32)
  dataset = dataset.map(lambda i: run(tf.stack([i, 5]))).batch(count)
  return dataset.get_single_element()


@pytest.mark.parametrize('class_uniform', [0.0, 0.5])
@pytest.mark.parametrize('step', [0.25, 0.0])
@pytest.mark.parametrize('size', [(30, 41), (1, 1), (1, 90), (700, 2)], ids=str)
def test_one_step_equals_the_single_ones(size, step, class_uniform):
  steps = (
    DECODE,
    transforms.RandomScale(step=step),
    transforms.Pad((33, 29)),
    transforms.RandomCrop((33, 29), class_uniform),
    transforms.RandomFlip(),
  )
  assert [s.numbers for s in fused.stages(steps)] == [(0, 1, 2, 3, 4)]
  ours, theirs = both(steps, example(*size))
  np.testing.assert_allclose(ours[0], theirs[0], atol=0.05)
  # A place exactly between two pixels may be rounded to either.
  assert np.mean(ours[1] == theirs[1]) > 0.999
  assert ours[0].shape[1:] == (33, 29, 3)


def test_an_unlabelled_image_is_ignored_everywhere():
  steps = (DECODE, transforms.Pad(9), transforms.RandomCrop(9, 1.0))
  ours, theirs = both(steps, example(20, 30, label=b''))
  np.testing.assert_array_equal(ours[1], np.full((12, 9, 9), 255))
  np.testing.assert_allclose(ours[0], theirs[0], atol=1e-4)


@pytest.mark.parametrize(
  'steps, numbers',
  [
    ((DECODE,), [(0,)]),
    ((DECODE, transforms.Pad(9)), [(0,), (1,)]),
    ((DECODE, transforms.Pad(7), transforms.RandomCrop(9)), None),
    ((DECODE, transforms.Pad(9, exact=True), transforms.RandomCrop(9)), None),
    ((DECODE, transforms.RandomFlip(), transforms.Pad(9)), None),
    (
      (
        DECODE,
        transforms.ResizeToRange(9),
        transforms.Pad(9),
        transforms.RandomCrop(9),
      ),
      None,
    ),
    (
      (
        DECODE,
        transforms.Pad(9),
        transforms.RandomCrop(9),
        transforms.TwoViews(),
      ),
      [(0, 1, 2), (3,)],
    ),
  ],
)
def test_only_what_is_the_same_is_fused(steps, numbers):
  expected = numbers or [(i,) for i in range(len(steps))]
  assert [stage.numbers for stage in fused.stages(steps)] == expected


def test_a_step_before_the_crop_that_makes_it_slower_is_reported(monkeypatch):
  told = []
  monkeypatch.setattr(
    fused.logging, 'log_first_n', lambda _, text, n, *names: told.append(names)
  )
  crop = transforms.Pad(9), transforms.RandomCrop(9)
  fused.stages((DECODE, *crop, transforms.ColorDistortion()))
  fused.stages((DECODE, transforms.ColorDistortion()))
  assert not told
  fused.stages((DECODE, transforms.ColorDistortion(), *crop))
  ((_, name),) = told
  assert name == 'ColorDistortion'
