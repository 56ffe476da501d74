import errno
import os

import pytest
import tensorflow as tf

from deeplab_contrast.utils import errors


def test_a_full_disk_is_a_fault_of_the_system():
  error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), 'runs/a.png')
  told = errors.user_error(error)
  assert isinstance(told, errors.SystemFault)
  assert str(told).startswith('Cannot use runs/a.png (No space left on device)')


def test_so_is_what_tensorflow_makes_of_it(tmp_path):
  (tmp_path / 'file').write_text('')
  with pytest.raises(tf.errors.OpError) as caught:
    tf.io.write_file(str(tmp_path / 'file' / 'x'), 'text')
  told = errors.user_error(caught.value)
  assert isinstance(told, errors.SystemFault) and 'file/x' in str(told)


def test_so_is_a_missing_package():
  told = errors.user_error(ModuleNotFoundError('no', name='matplotlib.figure'))
  assert isinstance(told, errors.SystemFault)
  assert str(told).startswith('The package matplotlib is missing')


@pytest.mark.parametrize(
  'bug',
  [
    ValueError('x'),
    OSError(errno.EBADF, 'Bad file descriptor'),
    ModuleNotFoundError('no', name='deeplab_contrast.gone'),
    tf.errors.InvalidArgumentError(None, None, 'Incompatible shapes'),
  ],
)
def test_a_bug_is_a_bug(bug):
  assert errors.user_error(bug) is None


def test_a_fault_of_the_user_is_itself():
  error = errors.DataError('x')
  assert errors.user_error(error) is error


def test_a_library_raises_the_same_as_a_user_error():
  full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), 'runs/a.png')
  with (
    pytest.raises(errors.SystemFault, match='Cannot use runs/a.png'),
    errors.as_user_errors(),
  ):
    raise full
  for error in (errors.DataError('a.png is empty.'), ValueError('a bug')):
    with pytest.raises(type(error)) as caught, errors.as_user_errors():
      raise error
    assert caught.value is error
