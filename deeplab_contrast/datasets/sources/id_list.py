"""Text files that list images, one id per line."""

import codecs
import collections
import os
import pathlib
import re
import unicodedata
from collections.abc import Collection, Sequence

import tensorflow as tf

from deeplab_contrast.utils import errors, files

_ENDING = '(jpe?g|jpe|jfif|png|bmp|tiff?|gif|webp|avif|hei[cf])'
# "images/a.jpg labels/a.png", also with a comma or a tab between them.
_TWO_COLUMNS = re.compile(
  rf'(?P<image>\S.*?\.{_ENDING})(\s*,\s*|\s+)\S.*\.(png|bmp|tiff?|gif)',
  re.IGNORECASE,
)
_FILE_NAME = re.compile(rf'\S.*\.{_ENDING}', re.IGNORECASE)


def read(path: str | os.PathLike, known: Collection[str] = ()) -> list[str]:
  """Reads a list of image ids.

  A line is an id ("2007_000032"), a file name, or the two columns in which
  lists for semi-supervised learning are often published
  ("JPEGImages/x.jpg SegmentationClass/x.png", "leftImg8bit/train/a/
  x_leftImg8bit.png gtFine/train/a/x_gtFine_labelIds.png"). The id of a file
  name is its last component without the extension; or, if `known` has such an
  id, with more of its folders ("a/x"). Blank lines are skipped.

  Args:
    path: a UTF-8 text file.
    known: a set or dict of the existing ids. A line that is one of them is
      taken unchanged.

  Returns:
    The ids in the order of the file: at least one, none twice. They need not
    be known.

  Raises:
    DataError: the file is missing, empty, not text, or has an id twice.
  """
  # Like `file_pairs`: macOS writes an umlaut as two characters.
  text = unicodedata.normalize('NFC', _text(path))
  lines = (line.strip() for line in text.splitlines())
  ids = [_id_of(line, known) for line in lines if line]
  if not ids:
    raise errors.DataError(f'{path} is empty: write one image id per line.')
  strange = [i for i in ids if not i.isprintable()]
  if strange:
    raise errors.DataError(
      f'{path} has control characters in an id: {strange[0]!r}.'
    )
  repeated = [i for i, count in collections.Counter(ids).items() if count > 1]
  if repeated:
    raise errors.DataError(f'{path} names {some(repeated)} more than once.')
  return ids


def some(ids: Sequence[str], limit: int = 20) -> str:
  """Lists up to `limit` ids, and says how many more there are."""
  shown = ', '.join(ids[:limit])
  more = len(ids) - limit
  return f'{shown} and {more} more' if more > 0 else shown


def _text(path):
  files.refuse_special(path)
  try:
    with tf.io.gfile.GFile(os.fspath(path), 'rb') as file:
      data = file.read()
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
      raise errors.DataError(
        f'The list {path} is UTF-16, as PowerShell writes it: save it as UTF-8 '
        '("Out-File -Encoding utf8", or "Save as" of an editor).'
      )
    return data.decode('utf-8-sig')
  except tf.errors.NotFoundError:
    raise errors.DataError(f'The list {path} does not exist.') from None
  except tf.errors.OpError as error:
    raise errors.DataError(
      f'The list {path} cannot be read: {error.message}.'
    ) from error
  except UnicodeDecodeError:
    raise errors.DataError(f'The list {path} is not UTF-8 text.') from None


def _id_of(line, known):
  line = line.removeprefix('./')
  if line in known:
    return line
  columns = _TWO_COLUMNS.fullmatch(line)
  name = columns['image'] if columns else line
  path = pathlib.PurePosixPath(name.replace('\\', '/'))
  is_file = _FILE_NAME.fullmatch(name)
  if is_file:
    path = path.with_suffix('')
  # Cityscapes puts the kind of file after the id.
  parts = path.as_posix().removesuffix('_leftImg8bit').split('/')
  endings = ('/'.join(parts[i:]) for i in range(len(parts)))
  found = next((ending for ending in endings if ending in known), None)
  return found or (parts[-1] if is_file else line)
