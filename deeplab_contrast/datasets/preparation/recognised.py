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


def say(dataset: info.Dataset) -> None:
  """Prints what was recognised, if anything was.

  Args:
    dataset: any dataset.
  """
  if not isinstance(dataset, folder_segmentation.Folder):
    return
  found = dataset.recognised
  if found is None:
    return
  names = dataset.info.class_names
  print(
    f'Recognised in {dataset.root}: {found.what}; {len(names)} classes: '
    f'{", ".join(names[:20])}{", ..." * (len(names) > 20)}.',
    file=sys.stderr,
  )


def write(
  dataset: info.Dataset,
  arguments: argparse.Namespace,
  builder: tfds.core.DatasetBuilder,
) -> None:
  """Writes dataset.json into the raw folder, if anything was recognised.

  To be called when the data are prepared: after a refusal the folder may be
  changed, and what was recognised before would then count as stated.

  Args:
    dataset: any dataset.
    arguments: of the command. If the raw folder is read-only or has such a
      file, the new one is beside the prepared data, and `description` is set to
      it, so that the next command names it.
    builder: of the prepared data.
  """
  if not isinstance(dataset, folder_segmentation.Folder):
    return
  found = dataset.recognised
  if found is None:
    return
  text = dumps(found.keys)
  own = os.path.join(arguments.raw_dir or '', folder_segmentation.FILE)
  is_free = arguments.raw_dir and not os.path.lexists(own)
  if is_free and not arguments.description and _writes(own, text):
    print(f'Wrote {own}: edit it to change classes or splits.')
    return
  path = os.fspath(builder.data_path / folder_segmentation.FILE)
  files.write_text(path, text)
  arguments.description = path
  print(f'Wrote {path}: edit a copy and give it as --description to change it.')


def _writes(path, text):
  try:
    files.write_text(path, text)
  except OSError:  # Read-only, as data often are.
    return False
  return True


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
