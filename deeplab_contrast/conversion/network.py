"""Our side of a conversion: the variables of an experiment's network."""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from deeplab_contrast import launch
from deeplab_contrast.core.network import (
  heads,
  mobilenet_v2,
  model,
  original_names,
  resnet_v1,
  xception,
)
from deeplab_contrast.training import contents
from deeplab_contrast.utils import errors

# Each is in a checkpoint completely or not at all.
PARTS = ('backbone', 'aspp', 'decoder', 'head')

_BACKBONES = (
  resnet_v1.ResNetV1,
  xception.Xception,
  mobilenet_v2.MobileNetV2,
)


@dataclasses.dataclass(frozen=True)
class Variable:
  """One variable of our network.

  Attributes:
    name: in our checkpoints.
    original: its name in the original's; None without a counterpart there.
    part: one of PARTS.
    value: its initial value.
  """

  name: str
  original: str | None
  part: str
  value: np.ndarray


@dataclasses.dataclass(frozen=True)
class Network:
  """What a conversion needs from an experiment.

  Attributes:
    model: with its variables built.
    config: the experiment, as the text of a gin file.
    variables: variables of the model, in order.
  """

  model: model.DeepLab
  config: str
  variables: tuple[Variable, ...]

  @property
  def backbone(self) -> str:
    """The scope of the backbone's variables: 'resnet_v1_50'."""
    return self.model.trunk.backbone.name

  @property
  def classifies(self) -> bool:
    """Whether the head is that of the original."""
    return isinstance(self.model.head, heads.Classifier)


def build(
  gin_files: Sequence[str],
  bindings: Sequence[str] = (),
  allow_imports: Sequence[str] = (),
) -> Network:
  """Builds the network of an experiment.

  Args:
    gin_files: gin files of the experiment.
    bindings: applied after the files.
    allow_imports: packages that the files may import, besides our own.

  Raises:
    ConfigError: on a wrong configuration, or a backbone that the original does
      not have.
  """
  return of(*load(gin_files, bindings, allow_imports))


def load(
  gin_files: Sequence[str],
  bindings: Sequence[str] = (),
  allow_imports: Sequence[str] = (),
) -> tuple[model.DeepLab, str]:
  """(The built model of an experiment, the experiment as a gin file)."""
  built = launch.parse(gin_files, bindings, allow_imports=allow_imports)
  built.root.model.build_variables()
  return built.root.model, built.config


def of(net: model.DeepLab, config: str = '') -> Network:
  """The `Network` of a built model; raises as `build` does."""
  _check_backbone(net)
  return Network(net, config, tuple(_variables(net)))


def _check_backbone(net):
  backbone = net.trunk.backbone
  if not isinstance(backbone, _BACKBONES):
    raise errors.ConfigError(
      f'The original has no backbone {type(backbone).__name__}; only its own '
      'variants of ResNet, Xception and MobileNetV2 can be converted.'
    )


def _variables(net: model.DeepLab) -> Iterator[Variable]:
  layers = {
    'backbone': net.trunk.backbone,
    'aspp': net.trunk.aspp,
    'decoder': net.trunk.decoder,
    'head': net.head,
  }
  part = {
    variable.path: name
    for name, layer in layers.items()
    for variable in (layer.variables if layer is not None else ())
  }
  # The original has no projection head.
  ours_alone = () if isinstance(net.head, heads.Classifier) else ('head',)
  names = contents.names(net.variables)
  for variable in net.variables:
    path = variable.path
    original = original_names.original_name(path)
    if part[path] in ours_alone:
      original = None
    yield Variable(names[path], original, part[path], np.array(variable))
