import pytest

from deeplab_contrast.imaging import image_list
from deeplab_contrast.utils import errors


@pytest.fixture
def place(tmp_path, monkeypatch):
  for name in ('a/x.jpg', 'a/y.PNG', 'a/.hidden.jpg', 'a/notes.txt', 'b/x.jpg'):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b'')
  monkeypatch.chdir(tmp_path)
  return tmp_path


def names(*arguments, **settings):
  return {e.path: e.name for e in image_list.find(arguments, **settings)}


def test_files_folders_and_patterns(place):
  assert names('a') == {'a/x.jpg': 'x', 'a/y.PNG': 'y'}
  assert names('.') == {
    './a/x.jpg': 'a/x',
    './a/y.PNG': 'a/y',
    './b/x.jpg': 'b/x',
  }
  assert names('a/*.PNG', 'a/notes.txt') == {
    'a/y.PNG': 'y',
    'a/notes.txt': 'notes',
  }
  assert names(f'{place}/a/x.jpg', 'a/x.jpg') == {f'{place}/a/x.jpg': 'x'}


def test_equal_names_are_told_apart(place):
  assert names('a', 'b') == {
    'a/x.jpg': 'a/x',
    'a/y.PNG': 'a/y',
    'b/x.jpg': 'b/x',
  }
  (place / 'a/X.png').write_bytes(b'')
  assert names('a') == {
    'a/X.png': 'X.png',
    'a/x.jpg': 'x.jpg',
    'a/y.PNG': 'y',
  }


def test_no_output_is_outside_of_the_folder(place, monkeypatch):
  monkeypatch.chdir(place / 'a')
  found = names('../b/x.jpg', 'x.jpg', '..')
  assert sorted(found.values()) == ['a/x', 'a/y', 'b/x']


def test_outputs_are_no_inputs(place):
  assert names('.', without='a') == {'./b/x.jpg': 'b/x'}


def test_what_is_not_there(place):
  assert names('a/none.jpg') == {'a/none.jpg': 'none'}  # Reported later.
  (place / 'empty').mkdir()
  for arguments, error, sentence in (
    ((), errors.ConfigError, 'Name the images'),
    (('empty',), errors.DataError, 'no images in empty'),
    (('a/*.bmp',), errors.DataError, "No file matches 'a/.*bmp'"),
  ):
    with pytest.raises(error, match=sentence):
      image_list.find(arguments)
