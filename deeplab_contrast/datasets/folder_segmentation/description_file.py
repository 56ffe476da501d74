"""Reads the description of a folder dataset from a JSON file."""

import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from deeplab_contrast.datasets.folder_segmentation import description
from deeplab_contrast.utils import errors, shipped


def load(path: str | os.PathLike) -> description.Description:
  """Reads a Description from a JSON file, whose keys are its attributes.

  Args:
    path: relative to the current directory, or else to our repository.

  Raises:
    ConfigError: the file is missing, not JSON, or contradicts itself.
  """
  return make(*read(path))


def read(path: str | os.PathLike) -> tuple[dict, pathlib.Path]:
  """The keys that a JSON file states, and the file; see `load`."""
  file = _find(path)
  values = _read(file)
  _check_keys(values, file)
  return values, file


def make(
  values: Mapping[str, Any], file: str | os.PathLike
) -> description.Description:
  """The Description of keys that are from a file; see `load`."""
  missing = sorted({'name', 'classes'} - set(values))
  if missing:
    raise errors.ConfigError(
      f'{file} lacks {missing}; keys: {", ".join(_keys())}.'
    )
  try:
    return description.Description(**values)
  except errors.ConfigError as error:
    raise errors.ConfigError(f'{file}: {error}') from error


def _keys():
  return [f.name for f in dataclasses.fields(description.Description) if f.init]


def _check_keys(values, file):
  """Refuses unknown keys, maybe of another tool: COCO, nnU-Net."""
  unknown = sorted(set(values) - set(_keys()))
  if len(unknown) > len(values) / 2:
    raise errors.ConfigError(
      f'{file} has unknown keys {unknown}, so it is not a description as in '
      'docs/own_data.md: if another tool wrote it, give it another name.'
    )
  if unknown:
    raise errors.ConfigError(
      f'{file} has unknown keys {unknown}; keys: {", ".join(_keys())}.'
    )


def _find(path: str | os.PathLike) -> pathlib.Path:
  places = (pathlib.Path(path).expanduser(), shipped.home() / path)
  found = [place for place in places if place.is_file()]
  if not any(place.parent.is_dir() for place in places):
    raise errors.ConfigError(
      f'The folder {places[0].parent} does not exist; it should contain the '
      f'description {places[0].name} of a folder dataset.'
    )
  if not found:
    raise errors.ConfigError(
      f'There is no description {path} of a folder dataset: write one, see '
      'docs/own_data.md.'
    )
  return found[0]


def _read(file: pathlib.Path) -> dict:
  try:
    text = file.read_text(encoding='utf-8-sig')  # Some editors add a BOM.
    values = json.loads(text, object_pairs_hook=_without_repetition)
  except json.JSONDecodeError as error:
    raise errors.ConfigError(
      f'{file} is not JSON: {error}. (JSON has no comments, no comma before a '
      'closing bracket, and strings in double quotes.)'
    ) from error
  except (ValueError, OSError, RecursionError) as error:
    raise errors.ConfigError(f'{file} is not JSON: {error}.') from error
  if not isinstance(values, dict):
    raise errors.ConfigError(f'{file} must be a JSON object {{...}}.')
  return values


def _without_repetition(pairs):
  names = [name for name, _ in pairs]
  twice = sorted({name for name in names if names.count(name) > 1})
  if twice:
    raise ValueError(f'it has the key {twice[0]!r} twice')
  return dict(pairs)
