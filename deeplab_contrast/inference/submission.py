"""Predictions of a split as a test server expects them; can be resumed."""

import dataclasses
import os
from collections.abc import Callable, Mapping
from typing import Any

from deeplab_contrast import common
from deeplab_contrast.datasets import sources
from deeplab_contrast.imaging import decoding
from deeplab_contrast.inference import packing, test_servers, whole_images
from deeplab_contrast.utils import errors, files

# In the folder of a submission: what it was made by, and its files.
MANIFEST = 'submission.json'
FILES = 'files'

_LOG_EVERY = 50


def open_split(
  experiment: Any, split: str, competition: str
) -> tuple[sources.Examples, test_servers.Server]:
  """The images of a split, and the test server of their dataset.

  Args:
    experiment: an `Experiment`; its eval_source names the dataset.
    split: split of that dataset.
    competition: see `test_servers.of_dataset`.

  Returns:
    Opened examples and a `test_servers.Server`.

  Raises:
    ConfigError: no server is known for the dataset.
    DataError: the split does not exist, or its files are missing.
  """
  source = experiment.eval_source
  if not isinstance(source, sources.TfdsSplit):
    raise errors.ConfigError(
      'The eval_source of this experiment is not a split of a dataset, so '
      'it has no other splits.'
    )
  server = test_servers.of_dataset(source.info, competition)
  source = dataclasses.replace(source, split=split)
  return source.open(experiment.data_dir), server


def check(
  examples: sources.Examples, server: test_servers.Server, path: str
) -> int:
  """Checks an archive or folder; see `test_servers.check`."""
  return test_servers.check(server, path, sizes_of(examples))


def sizes_of(examples: sources.Examples) -> dict[str, tuple[int, int]]:
  """{id: (height, width)} of the images of an opened split."""
  sizes = {}
  for i in range(len(examples)):
    example = examples[i]
    size = decoding.image_size(example[common.IMAGE])
    sizes[example[common.ID].decode()] = size
  return sizes


def write(
  experiment: Any,
  examples: sources.Examples,
  server: test_servers.Server,
  folder: str,
  made_by: Mapping[str, Any],
  poll: Callable[[], object] = lambda: None,
) -> str:
  """Predicts all images, checks the files, and packs them.

  Args:
    experiment: an `Experiment` whose model is restored and classifies.
    examples: the opened split.
    server: a `test_servers.Server`.
    folder: where to; valid files of a submission with the same `made_by` are
      kept.
    made_by: everything that the predictions depend on, as JSON can hold it.
    poll: called before every image, e.g. to stop on a signal.

  Returns:
    The path of the archive.

  Raises:
    ConfigError: the folder holds anything else.
  """
  _claim(folder, made_by)
  sizes = sizes_of(examples)
  root = os.path.join(folder, FILES)
  paths = {name: os.path.join(root, server.name_of(name)) for name in sizes}
  missing = [
    i
    for i, (name, size) in enumerate(sizes.items())
    if not os.path.exists(paths[name])
    or server.fault_of(paths[name], size) is not None
  ]
  if len(missing) < len(sizes):
    done = len(sizes) - len(missing)
    print(f'{done} images were predicted before.', flush=True)
  predict = whole_images.labels(experiment, examples)
  for done, found in enumerate(predict(missing, poll=poll), start=1):
    path = paths[found.id]
    os.makedirs(os.path.dirname(path), exist_ok=True)
    server.write(path, *found.maps)
    if done % _LOG_EVERY == 0 or done == len(missing):
      print(f'{done}/{len(missing)} images', flush=True)
  _sweep(root)
  test_servers.check(server, root, sizes)
  archive = os.path.join(folder, _archive_name(made_by) + server.archive)
  packing.pack(root, map(server.name_of, sizes), archive)
  return archive


def _claim(folder, made_by):
  """Claims the folder for this submission, or refuses it."""
  path = os.path.join(folder, MANIFEST)
  stored = files.read_json(path, dict)
  if stored is None:
    if os.path.isdir(folder) and os.listdir(folder):
      raise errors.ConfigError(
        f'{folder} is not empty and does not hold a submission; give another '
        '--out.'
      )
    files.write_json(path, made_by)
  elif stored != files.as_json(made_by):
    given = files.as_json(made_by)
    differing = [key for key in given if stored.get(key) != given[key]]
    raise errors.ConfigError(
      f'{folder} holds a different submission (not the same '
      f'{", ".join(differing)}); give another --out, or remove the folder.'
    )


def _sweep(root):
  """Removes the temporary files of a killed process."""
  for folder, _, names in os.walk(root):
    for name in names:
      if name.endswith('.tmp'):
        os.remove(os.path.join(folder, name))


def _archive_name(made_by):
  return '_'.join([made_by['dataset'], made_by['split']])
