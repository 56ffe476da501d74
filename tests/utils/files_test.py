import concurrent.futures
import os

import pytest

from deeplab_contrast.utils import errors, files


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
  path = tmp_path / 'x.json'
  files.write_json(str(path), {'a': 1})
  with pytest.raises(TypeError):
    files.write_json(str(path), {'a': object()})
  assert path.read_text() == '{\n "a": 1\n}\n'


def test_a_damaged_file_is_named(tmp_path):
  path = tmp_path / 'x.json'
  path.write_text('{"a": 1')
  with pytest.raises(errors.DataError, match=f'{path} is damaged .*delete it'):
    files.read_json(str(path))


@pytest.mark.parametrize('text', ['[]', 'null', '3', '[' * 100_000, '\udcff'])
def test_another_value_than_expected_is_damage(tmp_path, text):
  path = tmp_path / 'x.json'
  path.write_text(text, errors='surrogateescape')
  with pytest.raises(errors.DataError, match='x.json is damaged'):
    files.read_json(path, dict)


def test_content_that_is_used_wrongly_is_damage():
  for wrong in (lambda: {}['a'], lambda: [].get, lambda: int('x')):
    with (
      pytest.raises(errors.DataError, match='x.json is damaged'),
      files.as_expected('x.json'),
    ):
      wrong()


def test_pipes_and_devices_are_refused(tmp_path):
  os.mkfifo(tmp_path / 'pipe')
  (tmp_path / 'zero').symlink_to('/dev/zero')
  for name in ('pipe', 'zero'):
    with pytest.raises(errors.DataError, match=f'{name} is a pipe or a device'):
      files.refuse_special(tmp_path / name)
  for name in ('.', 'absent', 'a\0b'):
    files.refuse_special(tmp_path / name)


def test_an_error_inside_leaves_nothing(tmp_path):
  path = tmp_path / 'deep' / 'x.txt'
  with pytest.raises(KeyError), files.replacing(str(path)) as temporary:
    temporary.write_text('half')
    raise KeyError
  assert not os.listdir(path.parent)


def test_names_as_long_as_names_can_be(tmp_path):
  path = tmp_path / ('x' * 255)
  files.write_text(path, 'text', sync=True)
  assert os.listdir(tmp_path) == [path.name]


def test_of_several_writers_one_wins(tmp_path):
  path = str(tmp_path / 'x.json')
  values = [[i] * 10000 for i in range(20)]
  with concurrent.futures.ThreadPoolExecutor(8) as pool:
    list(pool.map(lambda value: files.write_json(path, value), values))
  assert files.read_json(path) in values
  assert os.listdir(tmp_path) == ['x.json']


def test_another_name_of_the_same_file_leaves_nothing_behind(tmp_path):
  (tmp_path / 'a').write_text('text')
  for _ in range(2):
    with files.replacing(str(tmp_path / 'b')) as temporary:
      os.link(tmp_path / 'a', temporary)
  assert sorted(os.listdir(tmp_path)) == ['a', 'b']
