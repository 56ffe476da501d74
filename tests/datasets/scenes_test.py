import io
import types

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from deeplab_contrast import common
from deeplab_contrast.datasets import scenes
from deeplab_contrast.datasets.scenes import (
  camera,
  canvas,
  classes,
  drawing,
  light,
  sensor,
  shapes,
)
from deeplab_contrast.utils import errors

SIZE = (96, 144)


def numbers(png):
  return np.array(Image.open(io.BytesIO(png)))


def prepared(dataset, data_dir, split):
  builder = dataset.builder(str(data_dir))
  builder.download_and_prepare(file_format='array_record')
  skip = tfds.decode.SkipDecoding()
  decoders = {common.IMAGE: skip, common.LABEL: skip}
  return builder, builder.as_data_source(split, decoders=decoders)


@pytest.fixture(scope='module')
def sixteen():
  """Images [16, h, w, 3] and labels [16, h, w]."""
  pairs = [drawing.draw((0, 0, index), *SIZE) for index in range(16)]
  images, labels = zip(*pairs, strict=True)
  return np.stack(images), np.stack(labels)


@pytest.fixture(scope='module')
def tiny(tmp_path_factory):
  """A prepared dataset of 4 and 2 scenes, and its folder."""
  folder = tmp_path_factory.mktemp('scenes')
  dataset = scenes.Scenes(seed=3, train=4, val=2, height=48, width=64)
  return dataset, folder, prepared(dataset, folder, 'train')


# The drawing.


def test_shapes_and_types(sixteen):
  images, labels = sixteen
  assert images.shape == (16, *SIZE, 3) and images.dtype == np.uint8
  assert labels.shape == (16, *SIZE) and labels.dtype == np.uint8


@pytest.mark.parametrize('size', [(32, 32), (65, 97), (128, 64)])
def test_any_size_can_be_drawn(size):
  image, label = drawing.draw((0, 0, 0), *size)
  assert image.shape == (*size, 3)
  assert label.shape == size


def test_a_scene_drawn_twice_is_the_same():
  for once, again in zip(
    drawing.draw((5, 1, 7), *SIZE), drawing.draw((5, 1, 7), *SIZE), strict=True
  ):
    np.testing.assert_array_equal(once, again)


@pytest.mark.parametrize('key', [(1, 0, 0), (0, 1, 0), (0, 0, 1)])
def test_seed_split_and_index_each_change_the_scene(sixteen, key):
  image, label = drawing.draw(key, *SIZE)
  assert (image != sixteen[0][0]).mean() > 0.5
  assert (label != sixteen[1][0]).mean() > 0.05


def test_labels_are_class_ids_or_void(sixteen):
  assert set(np.unique(sixteen[1])) == {*range(8), classes.VOID}


def test_every_class_is_in_most_scenes(sixteen):
  for number, name in enumerate(classes.INFO.class_names):
    areas = (sixteen[1] == number).sum(axis=(1, 2))
    assert (areas >= 12).mean() > 0.5, name


def test_no_class_dwarfs_the_others(sixteen):
  assert (sixteen[1] == classes.ROAD).mean() < 0.55
  assert 0 < (sixteen[1] == classes.VOID).mean() < 0.15


def test_sky_lies_above_road(sixteen):
  rows = np.arange(SIZE[0])[:, np.newaxis] + np.zeros(SIZE)
  for label in sixteen[1]:
    sky, road = rows[label == classes.SKY], rows[label == classes.ROAD]
    assert sky.max() < np.median(road)
    assert np.median(sky) < road.min()


def test_label_edges_are_edges_of_the_image(sixteen):
  """Colours change more across a label edge than inside of a thing.

  And less so when the label is shifted: image and label are aligned.
  """
  images, labels = sixteen[0].astype(float), sixteen[1].astype(int)

  def contrast(shift):
    moved = np.roll(labels, shift, axis=2)[:, :, 8:-8]
    step = np.abs(np.diff(images[:, :, 8:-8], axis=2)).sum(axis=-1)
    edge = np.diff(moved, axis=2) != 0
    return step[edge].mean() / step[~edge].mean()

  aligned = contrast(0)
  assert aligned > 1.5
  assert all(aligned > contrast(shift) for shift in (-3, -2, -1, 1, 2, 3))


def test_color_alone_does_not_tell_the_class(sixteen):
  """The best class per color cell, even on the very pixels it was fit to."""
  images, labels = sixteen
  cells = (images // 32).astype(int) @ np.array([64, 8, 1])
  known = labels != classes.VOID
  cells, labels = cells[known], labels[known]
  votes = np.zeros((512, 8), dtype=int)
  np.add.at(votes, (cells, labels), 1)
  guess = votes.argmax(axis=1)[cells]
  for number in (classes.CAR, classes.PERSON, classes.POLE, classes.SIGN):
    right = ((guess == number) & (labels == number)).sum()
    union = ((guess == number) | (labels == number)).sum()
    assert right / union < 0.35, classes.INFO.class_names[number]


# Its parts.


def street_camera(**changes):
  fields = {
    'width': 200,
    'height': 100,
    'focal': 100.0,
    'center': 100.0,
    'horizon': 40.0,
    'eye': 2.0,
    'bend': 0.0,
    'roll': 0.0,
  }
  return camera.Camera(**{**fields, **changes})


def test_camera_projects_by_hand():
  points = np.array([(0.0, 2.0, 5.0), (1.0, 0.0, 10.0), (0.0, 4.0, 10.0)])
  np.testing.assert_allclose(
    street_camera().project(points), [(100, 40), (110, 60), (100, 20)]
  )


@pytest.mark.parametrize('bend, roll', [(0, 0), (0.001, 0), (0.001, 0.02)])
def test_ground_undoes_project(bend, roll):
  street = street_camera(bend=bend, roll=roll)
  x, z, below = street.ground()
  assert not below[:35].any() and below[45:].all()
  row, column = 80, 140
  place = np.array([x[row, column], 0, z[row, column]], dtype=np.float64)
  np.testing.assert_allclose(
    street.project(place), (column + 0.5, row + 0.5), atol=1e-2
  )


def blank(labels=(classes.SKY,)):
  clear = light.sample(np.random.default_rng(0))
  return canvas.Canvas(street_camera(), clear, labels, [(0, 0)])


def test_nearer_things_cover_farther_ones():
  board = blank()
  far = board.thing(classes.BUILDING)
  near = board.thing(classes.CAR)
  board.paint(far, shapes.box(-3, 3, 0, 4, 10), np.array([200.0, 0, 0]))
  board.paint(near, shapes.box(0, 1, 0, 3, 5), np.array([0, 0, 200.0]))
  _, things = board.draw(np.zeros((100, 200, 3)), np.zeros((100, 200)))
  assert things[50, 110] == near and things[50, 90] == far
  assert things[5, 100] == 0


def test_decoration_changes_colors_but_not_things():
  background = np.zeros((100, 200, 3)), np.zeros((100, 200))
  board = blank()
  board.paint(None, shapes.box(-3, 3, 0, 4, 10), np.array([200.0, 0, 0]))
  colors, things = board.draw(*background)
  assert colors.max() > 50
  assert not things.any()


def test_inset_cuts_shares_out_of_a_face():
  face = shapes.box(0, 10, 0, 4, 7)
  np.testing.assert_allclose(
    shapes.inset(face, 0.1, [0.2, 0.3], 0.5, 1.0)[1],
    [(1, 2, 7), (3, 2, 7), (3, 4, 7), (1, 4, 7)],
  )


# The dataset.


def test_info_fits_the_classes():
  info = scenes.Scenes().info
  assert info.class_names[classes.SIGN] == 'sign'
  assert (info.num_classes, info.ignore_label) == (8, classes.VOID)


@pytest.mark.parametrize(
  'field, value',
  [('seed', -1), ('train', 0), ('val', 0), ('height', 31), ('width', 0)],
)
def test_too_small_values_are_refused(field, value):
  with pytest.raises(errors.ConfigError, match=f'Scenes.{field}.*got {value}'):
    scenes.Scenes(**{field: value})


def test_reads_by_random_access_what_was_drawn(tiny):
  _, _, (builder, source) = tiny
  assert len(source) == 4
  for index in (2, 0):
    image, label = drawing.draw((3, 0, index), 48, 64)
    example = source[index]
    assert example[common.ID] == f'train_{index:05d}'.encode()
    np.testing.assert_array_equal(numbers(example[common.IMAGE]), image)
    np.testing.assert_array_equal(numbers(example[common.LABEL]), label)
  assert builder.info.splits['val'].num_examples == 2


def test_val_is_not_train(tiny):
  dataset, folder, _ = tiny
  _, source = prepared(dataset, folder, 'val')
  image, _ = drawing.draw((3, 1, 0), 48, 64)
  np.testing.assert_array_equal(numbers(source[0][common.IMAGE]), image)
  assert source[1][common.ID] == b'val_00001'


def test_metadata_tells_the_largest_size(tiny):
  dataset, folder, _ = tiny
  reopened = dataset.builder(str(folder))
  assert reopened.info.metadata['max_height'] == 48
  assert reopened.info.metadata['max_width'] == 64


def test_more_scenes_do_not_change_the_first(tiny):
  _, folder, (_, four) = tiny
  more = scenes.Scenes(seed=3, train=5, val=1, height=48, width=64)
  _, five = prepared(more, folder, 'train')
  assert len(five) == 5
  for index in range(4):
    assert five[index] == four[index]


def test_different_parameters_never_share_a_folder(tmp_path):
  fields = ('seed', 'train', 'val', 'height', 'width')
  folders = {scenes.Scenes().builder(str(tmp_path)).data_dir}
  folders |= {
    scenes.Scenes(**{field: 77}).builder(str(tmp_path)).data_dir
    for field in fields
  }
  assert len(folders) == 1 + len(fields)


def test_a_sharp_lens_changes_no_pixel_but_those_out_of_range():
  colors = np.random.default_rng(0).uniform(-60, 320, (8, 8, 3))
  lowest = types.SimpleNamespace(uniform=lambda low, high: low)
  expected = np.floor(colors + 0.5).clip(0, 255)
  np.testing.assert_array_equal(sensor._blur(lowest, colors), expected)
