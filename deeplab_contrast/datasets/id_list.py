"""Text files that name images, one id per line."""

import collections
import os
import pathlib

import tensorflow as tf

from deeplab_contrast.utils import errors


def read(path):
  """Reads a list of image ids.

  A line is an id as it stands ("2007_000032"), or the two columns in which
  lists for semi-supervised learning are often published ("JPEGImages/x.jpg
  SegmentationClass/x.png"), of which the file name without ending is the id.
  Blank lines are skipped.

  Args:
    path: a UTF-8 text file.

  Returns:
    The ids in the order of the file: at least one, none twice.

  Raises:
    DataError: the file is missing, empty, no text, or names an id twice.
  """
  lines = (line.strip() for line in _text(path).splitlines())
  ids = [_id_of(line) for line in lines if line]
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


def some(ids, limit=20):
  """Names up to `limit` ids, and how many there are if there are more."""
  shown = ', '.join(ids[:limit])
  more = len(ids) - limit
  return f'{shown} and {more} more' if more > 0 else shown


def _text(path):
  try:
    with tf.io.gfile.GFile(os.fspath(path), 'rb') as file:
      return file.read().decode('utf-8-sig')
  except tf.errors.NotFoundError:
    raise errors.DataError(f'The list {path} does not exist.') from None
  except tf.errors.OpError as error:
    raise errors.DataError(
      f'The list {path} cannot be read: {error.message}.'
    ) from error
  except UnicodeDecodeError:
    raise errors.DataError(f'The list {path} is no UTF-8 text.') from None


def _id_of(line):
  columns = line.split()
  if len(columns) != 2 or not columns[1].endswith('.png'):
    return line
  # Cityscapes puts the kind of the file behind the id.
  return pathlib.PurePosixPath(columns[0]).stem.removesuffix('_leftImg8bit')
