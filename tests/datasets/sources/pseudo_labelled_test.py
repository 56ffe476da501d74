import numpy as np
import pytest
from PIL import Image

from deeplab_contrast.common import ID, IMAGE, LABEL
from deeplab_contrast.datasets import sources, transforms
from deeplab_contrast.imaging import images
from deeplab_contrast.utils import errors
from tests.datasets.in_memory import (
  THREE,
  NamedSource,
  Painted,
  PaintedSource,
  decoded,
  png,
)

SIZES = {f'x{i}': (9 + i % 4, 14) for i in range(5)}


def labels():
  """Other labels than those of the source, by id."""
  rng = np.random.default_rng(11)
  return {
    name: rng.choice([0, 1, 2, 255], size).astype(np.uint8)
    for name, size in SIZES.items()
  }


def write(folder, labels, mode=None, **options):
  for name, label in labels.items():
    path = folder / f'{name}.png'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(label, mode, **options))
  return str(folder)


def open_folder(folder, source=None):
  source = source or PaintedSource()
  return sources.PseudoLabelled(source, str(folder)).open(None)


def test_a_remote_folder():
  """As `gs://` is, through `tf.io.gfile`."""
  expected = labels()
  for name, label in expected.items():
    images.write_palette_png(f'ram://labels/{name}.png', label, THREE.colors)
  examples = open_folder('ram://labels')
  for index, (name, label) in enumerate(expected.items()):
    assert examples[index][ID].decode() == name
    np.testing.assert_array_equal(decoded(examples[index][LABEL]), label)


@pytest.mark.parametrize(
  'mode, options', [(None, {}), ('P', {}), ('P', {'bits': 8}), ('tool', {})]
)
def test_labels_come_from_the_folder(tmp_path, mode, options):
  expected = labels()
  if mode == 'tool':
    for name, label in expected.items():
      images.write_palette_png(
        str(tmp_path / f'{name}.png'), label, THREE.colors
      )
  else:
    write(tmp_path, expected, mode, **options)
  examples = open_folder(tmp_path)
  plain = PaintedSource().open(None)
  assert examples.ids() == plain.ids()
  assert len(examples) == 5
  assert examples.info is plain.info
  assert examples.max_size == plain.max_size
  for i, example in enumerate(examples):
    name = example[ID].decode()
    assert example[IMAGE] == plain[i][IMAGE]
    np.testing.assert_array_equal(decoded(example[LABEL]), expected[name])
    label = transforms.Decode()(example)[LABEL]
    np.testing.assert_array_equal(label, expected[name])


def test_few_colours_make_a_palette_of_few_bits(tmp_path):
  # Pillow packs 2 colours into one bit per pixel.
  label = np.array([[0, 1, 1], [1, 0, 0]], np.uint8)
  image = Image.fromarray(label)
  image.putpalette([9, 9, 9, 200, 0, 0])
  image.save(tmp_path / 'a.png')
  assert (tmp_path / 'a.png').read_bytes()[24] == 1

  class Source(sources.Source):
    info = THREE

    def open(self, data_dir):
      return Painted(['a'], [label])

  examples = open_folder(tmp_path, Source())
  np.testing.assert_array_equal(decoded(examples[0][LABEL]), label)


def test_ids_with_folders_and_other_files(tmp_path):
  label = np.zeros([2, 3], np.uint8)

  class Source(sources.Source):
    info = THREE

    def open(self, data_dir):
      return Painted(['ulm/a', 'b'], [label, label])

  write(tmp_path, {'ulm/a': label + 1, 'b': label})
  (tmp_path / 'manifest.json').write_text('{}')
  (tmp_path / 'ulm' / 'a.jpg').write_text('')
  examples = open_folder(tmp_path, Source())
  assert decoded(examples[0][LABEL]).max() == 1
  assert decoded(examples[1][LABEL]).max() == 0


def test_the_labels_of_the_source_are_not_read(tmp_path):
  write(tmp_path, labels())
  hidden = open_folder(tmp_path, sources.Unlabelled(PaintedSource()))
  plain = open_folder(tmp_path)
  assert [e[LABEL] for e in hidden] == [e[LABEL] for e in plain]


# What is refused.


def test_missing_labels_are_refused(tmp_path):
  few = {k: v for k, v in labels().items() if k != 'x3'}
  write(tmp_path, few)
  with pytest.raises(errors.DataError, match=r'1 of 5 images: x3\.'):
    open_folder(tmp_path)


def test_many_missing_labels_are_counted(tmp_path):
  source = NamedSource(tuple(f'n{i:02}' for i in range(30)))
  with pytest.raises(errors.DataError, match='30 of 30 .* n19 and 10 more'):
    open_folder(tmp_path, source)


def test_extra_labels_are_refused(tmp_path):
  write(tmp_path, {**labels(), 'sub/x1': np.zeros([2, 2])})
  with pytest.raises(errors.DataError, match='1 labels that .*: sub/x1;'):
    open_folder(tmp_path)


def test_a_missing_folder_is_refused(tmp_path):
  with pytest.raises(errors.DataError, match='none does not exist'):
    open_folder(tmp_path / 'none')


def test_wrong_labels_are_refused_together(tmp_path):
  good = labels()
  write(tmp_path, {**good, 'x0': good['x0'][:-1], 'x1': good['x1'] * 0 + 7})
  (tmp_path / 'x2.png').write_bytes(png(np.full([11, 14, 3], (0, 0, 128))))
  (tmp_path / 'x3.png').write_bytes(png(good['x3'])[:-20])
  with pytest.raises(errors.DataError) as error:
    open_folder(tmp_path)
  sentence = str(error.value)
  assert f'{tmp_path} has 4 wrong labels: ' in sentence
  assert 'x0 has 8x14 pixels, its image 9x14' in sentence
  assert (
    'x1 has the values [7], but the classes of three are 0 to 2' in sentence
  )
  assert 'x2.png is not a mask: it has the mode RGB' in sentence
  assert 'x3.png is cut off or damaged' in sentence
  assert sentence.count('\n') == 0


def test_many_wrong_labels_are_counted(tmp_path):
  source = PaintedSource('y', 25)
  wrong = {name: np.zeros([2, 2]) for name in source.open(None).ids()}
  write(tmp_path, wrong)
  with pytest.raises(
    errors.DataError, match='25 wrong .*; and 5 more'
  ) as error:
    open_folder(tmp_path, source)
  assert str(error.value).count('has 2x2 pixels') == 20


def test_a_label_that_goes_away_later_is_a_data_error(tmp_path):
  write(tmp_path, labels())
  examples = open_folder(tmp_path)
  (tmp_path / 'x1.png').unlink()
  with pytest.raises(errors.DataError, match='x1.png cannot be read'):
    examples[1]
