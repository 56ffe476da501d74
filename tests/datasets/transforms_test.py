import dataclasses
import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from deeplab_contrast.common import ID, IMAGE, LABEL, SEED, VIEWS
from deeplab_contrast.datasets import transforms
from deeplab_contrast.utils import errors
from tests.both_ways import both_ways, draws, graph_spec

SEED_VALUE = np.array([3, 4], np.int32)


def encode(pixels, file_format='PNG', **options):
  buffer = io.BytesIO()
  Image.fromarray(pixels).save(buffer, file_format, **options)
  return buffer.getvalue()


def random_pixels(height=6, width=8):
  rng = np.random.default_rng(2)
  return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def decoded(height=6, width=8):
  """An example after Decode whose image shows its label in all channels."""
  label = np.arange(height * width, dtype=np.int32).reshape(height, width)
  image = np.stack([label] * 3, -1).astype(np.float32)
  return {IMAGE: image, LABEL: label, ID: b'one', SEED: SEED_VALUE}


def encoded():
  pixels = random_pixels()
  label = (pixels[..., 0] % 3).astype(np.uint8)
  label[0, 0] = 255
  return pixels, label, {IMAGE: encode(pixels), LABEL: encode(label), ID: b'a'}


MOVES = [
  transforms.ResizeToRange(8, 14, 2),
  transforms.RandomScale(),
  transforms.Pad(9),
  transforms.RandomCrop((3, 5)),
  transforms.RandomCrop((3, 5), class_uniform=1.0),
  transforms.RandomFlip(),
]
RECOLORS = [
  transforms.BrightnessContrast(),
  transforms.BrightnessContrast((0.5, 1.5), [0.9, 1.1]),
  transforms.ColorDistortion(),
  transforms.GaussianBlur(kernel=0.5),
]
RANDOM = [
  transforms.RandomScale(),
  transforms.RandomCrop((3, 5)),
  transforms.RandomFlip(),
  *RECOLORS,
  transforms.TwoViews(),
]


def names(transform):
  return type(transform).__name__


@pytest.mark.parametrize('transform', MOVES, ids=names)
def test_moves_keep_image_and_label_together(transform):
  example = decoded()
  example[IMAGE][:] = example[LABEL][..., np.newaxis] = 7
  example[IMAGE][2:4, 3:6], example[LABEL][2:4, 3:6] = 90, 90
  for out in both_ways(transform, example):
    inside = out[LABEL] != 255
    assert out[IMAGE].shape == (*out[LABEL].shape, 3)
    # Bilinear values lie between the two; rounding decides as nearest does,
    # up to the pixels on the edge between them.
    agree = (out[IMAGE][..., 0] > 48.5) == (out[LABEL] == 90)
    assert agree[inside].mean() > 0.9
    assert out[ID] == b'one'
    np.testing.assert_array_equal(out[SEED], SEED_VALUE)


@pytest.mark.parametrize(
  'transform',
  [transforms.RandomCrop((3, 5)), transforms.RandomFlip(1.0)],
  ids=names,
)
def test_moves_of_whole_pixels_are_exact(transform):
  for out in both_ways(transform, decoded()):
    np.testing.assert_array_equal(out[IMAGE][..., 1], out[LABEL])


@pytest.mark.parametrize('transform', RECOLORS, ids=names)
def test_recolors_leave_the_label(transform):
  example = decoded()
  for out in both_ways(transform, example):
    np.testing.assert_array_equal(out[LABEL], example[LABEL])
    assert out[IMAGE].shape == example[IMAGE].shape


@pytest.mark.parametrize('transform', RANDOM, ids=names)
def test_random_steps_are_functions_of_their_seed(transform):
  fixed = decoded(12, 12)
  fixed[IMAGE] = random_pixels(12, 12).astype(np.float32)

  def results():
    outs = []
    for i in range(8):
      out = transform({**fixed, SEED: np.array([i, 7], np.int32)})
      outs.append(np.array(out[VIEWS if VIEWS in out else IMAGE]))
    return outs

  once, twice = results(), results()
  for a, b in zip(once, twice, strict=True):
    np.testing.assert_array_equal(a, b)
  assert len({a.tobytes() for a in once}) > 1


def test_scales_of_the_original_give_seven_sizes():
  example = decoded(8, 8)

  def side(seed):
    out = transforms.RandomScale()({**example, SEED: seed})
    return tf.shape(out[LABEL])[0]

  assert set(draws(side, 200)) == {4, 6, 8, 10, 12, 14, 16}


def test_pad_fills_with_the_mean_pixel_and_ignore():
  for out in both_ways(transforms.Pad((7, 10)), decoded()):
    assert out[IMAGE].shape == (7, 10, 3)
    assert (out[IMAGE][6:] == 127.5).all()
    assert (out[IMAGE][:, 8:] == 127.5).all()
    assert (out[LABEL][6:] == 255).all() and (out[LABEL][:, 8:] == 255).all()
    assert (out[LABEL][:6, :8] != 255).all()


def test_one_int_means_a_square():
  assert transforms.Pad(513).size == (513, 513)
  assert transforms.RandomCrop(513) == transforms.RandomCrop((513, 513))
  assert transforms.RandomCrop([5, 7]).size == (5, 7)  # gin's lists.


def test_crop_gives_the_static_shapes_of_training():
  def training(example):
    for transform in (
      transforms.Decode(),
      transforms.RandomScale(),
      transforms.Pad((5, 9)),
      transforms.RandomCrop((5, 9)),
      transforms.RandomFlip(),
      transforms.TwoViews(),
    ):
      example = transform(example)
    return example

  example = {**encoded()[2], SEED: SEED_VALUE}
  spec = graph_spec(training, example)
  assert spec[VIEWS].shape == (2, 5, 9, 3)
  assert spec[LABEL].shape == (5, 9)
  assert set(spec) == {VIEWS, LABEL, ID, SEED}
  for out in both_ways(training, example):
    assert out[VIEWS].shape == (2, 5, 9, 3)
    assert out[VIEWS].min() >= 0 and out[VIEWS].max() <= 255


def test_two_views_are_the_image_and_its_distorted_twin():
  example = decoded()
  example[IMAGE] = random_pixels().astype(np.float32)
  distortion = transforms.ColorDistortion(jitter_probability=1.0)
  for out in both_ways(transforms.TwoViews(distortion), example):
    assert IMAGE not in out
    np.testing.assert_array_equal(out[VIEWS][0], example[IMAGE])
    assert abs(out[VIEWS][1] - example[IMAGE]).max() > 1
    np.testing.assert_array_equal(out[LABEL], example[LABEL])


def test_two_views_can_both_be_distorted_each_by_its_own_draw():
  example = decoded()
  example[IMAGE] = random_pixels().astype(np.float32)
  two_views = transforms.TwoViews(
    transforms.ColorDistortion(jitter_probability=1.0, gray_probability=0.0),
    distort_first=True,
  )
  for out in both_ways(two_views, example):
    first, second = out[VIEWS]
    assert abs(first - example[IMAGE]).max() > 1
    assert abs(second - example[IMAGE]).max() > 1
    assert abs(first - second).max() > 1


def test_the_twin_can_be_distorted_by_several_steps():
  example = decoded(20, 20)
  example[IMAGE] = random_pixels(20, 20).astype(np.float32)
  steps = [transforms.ColorDistortion(gray_probability=1.0)]
  steps.append(transforms.GaussianBlur(1.0, (1.0, 2.0), 0.5))
  two_views = transforms.TwoViews(steps)
  assert hash(two_views) == hash(transforms.TwoViews(tuple(steps)))
  for out in both_ways(two_views, example):
    np.testing.assert_array_equal(out[VIEWS][0], example[IMAGE])
    assert np.ptp(out[VIEWS][1], axis=-1).max() < 1e-3  # Gray ...
    assert out[VIEWS][1].std() < 0.7 * example[IMAGE].std()  # ... and smooth.


def test_two_views_share_their_geometry():
  # The darkest pixel of each view is where label 9 is, whatever the colours.
  example = decoded(4, 4)
  example[IMAGE] = np.full((4, 4, 3), 200, np.float32)
  example[IMAGE][example[LABEL] == 9] = 20

  def train(seed):
    out = transforms.RandomCrop(3)({**example, SEED: seed})
    out = transforms.TwoViews(transforms.BrightnessContrast())(out)
    return out[VIEWS], out[LABEL]

  views, labels = draws(train, 50)
  for view in range(2):
    np.testing.assert_array_equal(views[:, view, ..., 0] < 110, labels == 9)


def test_two_views_without_distortion_are_equal():
  example = decoded()
  for out in both_ways(transforms.TwoViews(distortion=None), example):
    np.testing.assert_array_equal(out[VIEWS], [example[IMAGE]] * 2)


def test_a_distortion_does_not_see_the_label():
  with pytest.raises(KeyError, match=LABEL):
    transforms.TwoViews(transforms.RandomFlip())(decoded())


@pytest.mark.parametrize(
  'make, sentence',
  [
    (lambda: transforms.RandomScale(2.0, 0.5), 'minimum 2.0 and maximum 0.5'),
    (lambda: transforms.RandomScale(minimum=0.0), 'needs 0 < minimum'),
    (lambda: transforms.RandomScale(step=-0.25), 'step must be 0 or more'),
    (lambda: transforms.RandomScale(step=0.4), 'in steps of 0.4'),
    (lambda: transforms.RandomScale(step=5.0), 'in steps of 5.0'),
    (lambda: transforms.Pad(0), 'Pad.size.*got 0'),
    (lambda: transforms.Pad(513, pixel=(1.0, 2.0)), 'one number or three'),
    (lambda: transforms.RandomCrop(-1), 'RandomCrop.size.*got -1'),
    (lambda: transforms.RandomCrop((5, 0)), r'got \(5, 0\)'),
    (lambda: transforms.RandomCrop((5, 6, 3)), r'got \(5, 6, 3\)'),
    (lambda: transforms.RandomCrop(512.5), 'got 512.5'),
    (lambda: transforms.RandomCrop('513'), "got '513'"),
    (lambda: transforms.RandomCrop(True), 'got True'),
    (lambda: transforms.RandomFlip(1.5), 'RandomFlip.probability.*got 1.5'),
    (lambda: transforms.RandomFlip(float('nan')), 'got nan'),
    (lambda: transforms.BrightnessContrast(-0.1), 'got -0.1 and 0.2'),
    (lambda: transforms.BrightnessContrast(contrast=-1), 'got 0.2 and -1'),
    (lambda: transforms.ColorDistortion(3.0), 'strength.*got 3.0'),
    (lambda: transforms.ColorDistortion(-1), 'strength.*got -1'),
    (
      lambda: transforms.ColorDistortion(jitter_probability=2),
      'jitter_probability.*got 2',
    ),
    (lambda: transforms.RandomCrop(5, class_uniform=2), 'class_uniform.*got 2'),
    (lambda: transforms.BrightnessContrast((0.5, 0.2)), r'got \(0.5, 0.2\)'),
    (lambda: transforms.BrightnessContrast(0.1, (1,)), 'contrast must be one'),
    (lambda: transforms.ResizeToRange(0), 'min_size.*got 0'),
    (lambda: transforms.ResizeToRange(9, 1.5), 'max_size.*got 1.5'),
    (lambda: transforms.ResizeToRange(9, factor=0), 'factor.*got 0'),
    (lambda: transforms.GaussianBlur(2), 'probability.*got 2'),
    (lambda: transforms.GaussianBlur(sigmas=(0.0, 1.0)), 'sigmas must be two'),
    (lambda: transforms.GaussianBlur(kernel=-1), 'kernel.*got -1'),
    (
      lambda: transforms.ColorDistortion(gray_probability=-1),
      'gray_probability.*got -1',
    ),
  ],
)
def test_settings_that_make_no_sense_are_refused(make, sentence):
  with pytest.raises(errors.ConfigError, match=sentence):
    make()


@pytest.mark.parametrize(
  'transform', [transforms.Decode(), *RANDOM, transforms.Pad(5)], ids=names
)
def test_transforms_are_values(transform):
  assert dataclasses.replace(transform) == transform
  assert hash(dataclasses.replace(transform)) == hash(transform)


def test_ranges_that_only_look_odd_are_fine():
  assert transforms.RandomScale(1.0, 1.0).step == 0.25
  assert transforms.RandomScale(0.6, 1.2, 0.2).maximum == 1.2
  assert transforms.RandomScale(0.5, 2.0, 0).step == 0


def test_exact_pad_knows_its_size_and_refuses_larger_images():
  pad = transforms.Pad((6, 8), exact=True)
  small = {
    IMAGE: tf.zeros([4, 5, 3]),
    LABEL: tf.zeros([4, 5], tf.int32),
  }
  spec = graph_spec(pad, small)
  assert spec[IMAGE].shape == (6, 8, 3)
  assert spec[LABEL].shape == (6, 8)
  large = {
    IMAGE: tf.zeros([7, 5, 3]),
    LABEL: tf.zeros([7, 5], tf.int32),
  }
  with pytest.raises((ValueError, tf.errors.InvalidArgumentError)):
    pad(large)
