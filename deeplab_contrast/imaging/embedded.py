"""Photos inside of annotation files: `imageData` of labelme, base64."""

import base64
import json
import os

from deeplab_contrast.utils import errors

ENDING = '.json'
KEY = 'imageData'


def decode(data: bytes, path: str | os.PathLike) -> bytes:
  """The image file inside of an annotation file.

  Args:
    data: the bytes of a JSON file.
    path: its name in messages.

  Raises:
    DataError: there is none, or it is damaged.
  """
  try:
    return base64.b64decode(json.loads(data)[KEY], validate=True)
  except (ValueError, TypeError, KeyError, IndexError, RecursionError) as error:
    raise errors.DataError(
      f'{path} has no photo in {KEY!r}, or a damaged one: put the photo beside '
      'it, or save it with labelme again.'
    ) from error
