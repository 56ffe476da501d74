"""What was recognised in own data: said, and written for people to edit."""

import argparse
import json
import os
import sys
from collections.abc import Mapping
from typing import Any

import tensorflow_datasets as tfds

from deeplab_contrast.datasets import folder_segmentation, info
from deeplab_contrast.utils import files


def say(
  dataset: info.Dataset, arguments: argparse.Namespace
) -> Mapping[str, Any] | None:
  """Prints what was recognised; writes dataset.json into the raw folder.

  Args:
    dataset: any dataset.
    arguments: of the command.

  Returns:
    The keys of its description if that could not be written, since the folder
    is read-only or has one; else None.
  """
  if not isinstance(dataset, folder_segmentation.Folder):
    return None
  found = dataset.recognised
  if found is None:
    return None
  names = dataset.info.class_names
  print(
    f'Recognised in {dataset.root}: {found.what}; {len(names)} classes: '
    f'{", ".join(names[:20])}{", ..." * (len(names) > 20)}.',
    file=sys.stderr,
  )
  own = os.path.join(arguments.raw_dir or '', folder_segmentation.FILE)
  if arguments.description or os.path.lexists(own) or not arguments.raw_dir:
    return found.keys
  try:
    files.write_text(own, dumps(found.keys))
  except OSError:  # Read-only, as data often are.
    return found.keys
  print(f'Wrote {own}: edit it to change classes or splits.')
  return None


def write_beside(
  keys: Mapping[str, Any],
  arguments: argparse.Namespace,
  builder: tfds.core.DatasetBuilder,
) -> None:
  """Writes dataset.json beside the prepared data.

  Args:
    keys: what it says.
    arguments: of the command; `description` is set to the file, so that the
      next command names it.
    builder: of the prepared data.
  """
  path = os.fspath(builder.data_path / folder_segmentation.FILE)
  files.write_text(path, dumps(keys))
  arguments.description = path
  print(f'Wrote {path}: edit a copy and give it as --description to change it.')


def dumps(keys: Mapping[str, Any]) -> str:
  """JSON with one key per line, and one class per line."""
  lines = []
  for key, value in keys.items():
    if key == 'classes' and isinstance(value, Mapping):
      inner = ',\n'.join(
        f'    {json.dumps(n, ensure_ascii=False)}: {json.dumps(c)}'
        for n, c in value.items()
      )
      text = f'{{\n{inner}\n  }}'
    else:
      text = json.dumps(value, ensure_ascii=False)
    lines.append(f'  {json.dumps(key)}: {text}')
  return '{\n' + ',\n'.join(lines) + '\n}\n'
