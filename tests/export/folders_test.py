import os

import pytest

from deeplab_contrast.export import folders
from deeplab_contrast.utils import errors

MARK = 'card.md'


def write(path, text, **settings):
  with folders.in_one_piece(str(path), MARK, **settings) as folder:
    for name in (MARK, 'x'):
      with open(os.path.join(folder, name), 'w') as file:
        file.write(text)
    assert not os.path.exists(path) or (path / 'x').read_text() != text


def test_a_folder_appears_whole(tmp_path):
  path = tmp_path / 'deep' / 'new'
  write(path, 'one')
  assert sorted(os.listdir(path)) == [MARK, 'x']
  assert os.listdir(path.parent) == ['new']
  assert os.stat(path).st_mode == os.stat(tmp_path / 'deep').st_mode


def test_nothing_is_left_of_what_failed(tmp_path):
  path = tmp_path / 'new'
  with pytest.raises(KeyError), folders.in_one_piece(str(path), MARK) as folder:
    (tmp_path / folder / 'half').write_text('x')
    raise KeyError
  assert not os.listdir(tmp_path)


def test_nothing_is_overwritten_unless_asked(tmp_path):
  path = tmp_path / 'new'
  write(path, 'one')
  with pytest.raises(errors.ConfigError, match='new exists; give another'):
    write(path, 'two')
  assert (path / 'x').read_text() == 'one'
  write(path, 'two', overwrite=True)
  assert (path / 'x').read_text() == 'two'
  assert os.listdir(tmp_path) == ['new']


def test_other_folders_are_never_replaced(tmp_path):
  path = tmp_path / 'photos'
  path.mkdir()
  (path / 'x').write_text('dear')
  with pytest.raises(
    errors.ConfigError, match=f'not an export .it has no {MARK}'
  ):
    write(path, 'two', overwrite=True)
  assert (path / 'x').read_text() == 'dear'


def test_a_folder_that_cannot_be_read(tmp_path, monkeypatch):
  def refuse(path):
    raise PermissionError(13, 'Permission denied', path)

  with (
    monkeypatch.context() as patched,
    pytest.raises(errors.SystemFault, match='Cannot read .*Permission denied'),
  ):
    patched.setattr(os, 'listdir', refuse)
    folders.check_free(str(tmp_path), MARK)


def test_a_place_that_cannot_be_written(tmp_path):
  (tmp_path / 'file').write_text('')
  with pytest.raises(errors.SystemFault, match='Cannot write'):
    write(tmp_path / 'file' / 'new', 'one')
