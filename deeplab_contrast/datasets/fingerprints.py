"""Which data a run learns from, so that it cannot resume with other data."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from deeplab_contrast.datasets import info, sources
from deeplab_contrast.utils import errors, files, run_files


def of_sources(
  opened: Mapping[str, tuple[sources.Source, sources.Examples]],
  data_dir: str | None,
) -> dict[str, dict]:
  """What identifies the data of a run.

  Args:
    opened: {role: (`Source`, the same, opened)}; covers every `Dataset` inside
      a source.
    data_dir: where the datasets are prepared.

  Returns:
    A dict for each role, which JSON can hold: 'datasets' maps names to
    fingerprints of all pixels and labels, made at preparation; 'examples' is
    their number, 'ids' a digest of their names in order, 'classes' the names
    of the classes in the order of the ids.
  """
  # Pairs: datasets can be compared, but not always hashed.
  known: list[tuple[info.Dataset, str]] = []
  return {
    role: _of_source(source, examples, data_dir, known)
    for role, (source, examples) in opened.items()
  }


def _of_source(
  source: sources.Source,
  examples: sources.Examples,
  data_dir: str | None,
  known: list[tuple[info.Dataset, str]],
) -> dict[str, Any]:
  datasets = {}
  for dataset in _datasets(source):
    found = [value for other, value in known if other == dataset]
    if not found:
      found = [_of_dataset(dataset, data_dir)]
      known.append((dataset, found[0]))
    datasets[dataset.info.name] = found[0]
  names = json.dumps(examples.ids())
  return {
    'datasets': datasets,
    'examples': len(examples),
    'ids': hashlib.sha256(names.encode()).hexdigest()[:16],
    'classes': list(examples.info.class_names),
  }


def check(
  model_dir: str, found: Mapping[str, dict], write: bool = True
) -> None:
  """Compares the data with those of the run's start; stores them then.

  Args:
    model_dir: the run's folder.
    found: result of `of_sources`.
    write: whether this process may store.

  Raises:
    DataError: they differ.
  """
  path = os.path.join(model_dir, run_files.DATA)
  if not os.path.exists(path):
    if write:
      files.write_json(path, found)
    return
  stored = files.read_json(path, dict)
  with files.as_expected(path):
    changes = [
      f'{role} {key} was {_show(before.get(key))}, is {_show(after.get(key))}'
      for role in sorted({*stored, *found})
      for before, after in [(stored.get(role) or {}, found.get(role) or {})]
      for key in ('datasets', 'examples', 'ids')
      if before.get(key) != after.get(key)
    ]
  if changes:
    raise errors.DataError(
      f'The data have changed since {model_dir} began: {"; ".join(changes)}. '
      'Restore the old data, give another --model_dir, or delete '
      f'{path} to continue with the new data.'
    )


def check_classes(model_dir: str, class_names: Sequence[str]) -> None:
  """Compares the classes with those the run was trained on.

  Weights identify classes by number only: if a description changed after the
  training, predictions would get wrong names, and masks different ids.

  Args:
    model_dir: the run's folder; without a data.json nothing is compared.
    class_names: in the order of the ids, as they are described now.

  Raises:
    DataError: they differ.
  """
  path = os.path.join(model_dir, run_files.DATA)
  with files.as_expected(path):
    stored = (files.read_json(path, dict) or {}).get('train') or {}
    before = stored.get('classes')  # Absent in runs of older versions.
    if before is None or len(before) != len(class_names):
      return  # A different number shows in the shapes of the weights.
    before = list(before)
  for i, names in enumerate(zip(before, class_names, strict=True)):
    if names[0] != names[1]:
      raise errors.DataError(
        f'The classes have changed since {model_dir} was trained: class {i} '
        f'was {names[0]!r}, is {names[1]!r}. Restore the old description; '
        f'if only the name is new, change it in {path} too.'
      )


def _of_dataset(dataset: info.Dataset, data_dir: str | None) -> str:
  builder = dataset.builder(data_dir)
  known = builder.info.metadata.get('fingerprint')
  return known or f'{builder.builder_config.name} {builder.version}'


def _datasets(value: Any) -> Iterator[info.Dataset]:
  """Yields all datasets in a description, at any depth."""
  if isinstance(value, info.Dataset):
    yield value
  elif isinstance(value, (tuple, list)):
    for item in value:
      yield from _datasets(item)
  elif dataclasses.is_dataclass(value):
    for field in dataclasses.fields(value):
      yield from _datasets(getattr(value, field.name))


def _show(value):
  return json.dumps(value) if isinstance(value, dict) else value
