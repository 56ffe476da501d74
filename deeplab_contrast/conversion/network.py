"""Our side of a conversion: the variables of an experiment's network."""

import dataclasses

import numpy as np

from deeplab_contrast import launch
from deeplab_contrast.core.network import (
  heads,
  mobilenet_v2,
  original_names,
  resnet_v1,
  xception,
)
from deeplab_contrast.training import contents
from deeplab_contrast.utils import errors

# Each is in a checkpoint as a whole or not at all.
PARTS = ('backbone', 'aspp', 'decoder', 'head')

_BACKBONES = (
  resnet_v1.ResNetV1,
  xception.Xception,
  mobilenet_v2.MobileNetV2,
)


@dataclasses.dataclass(frozen=True)
class Variable:
  """One variable of ours.

  Attributes:
    name: in our checkpoints.
    original: in the original's; None where the original has no counterpart.
    part: one of PARTS.
    value: the initial one, an array.
  """

  name: str
  original: str | None
  part: str
  value: np.ndarray


@dataclasses.dataclass(frozen=True)
class Network:
  """What a conversion knows of an experiment.

  Attributes:
    model: the built `DeepLab`.
    config: the experiment, as the text of a gin file.
    variables: of the model, in order.
  """

  model: object
  config: str
  variables: tuple[Variable, ...]

  @property
  def backbone(self):
    """The scope of the backbone's variables: 'resnet_v1_50'."""
    return self.model.trunk.backbone.name

  @property
  def classifies(self):
    """Whether the head is the original's."""
    return isinstance(self.model.head, heads.Classifier)


def build(gin_files, bindings=(), allow_imports=()):
  """Builds the network of an experiment.

  Args:
    gin_files: of the experiment.
    bindings: laid on top.
    allow_imports: packages that the files may import, besides our own.

  Returns:
    A `Network`.

  Raises:
    ConfigError: on a wrong configuration, or a backbone that the original does
      not have.
  """
  built = launch.parse(gin_files, bindings, allow_imports=allow_imports)
  model = built.root.model
  backbone = model.trunk.backbone
  if not isinstance(backbone, _BACKBONES):
    raise errors.ConfigError(
      f'The original has no backbone {type(backbone).__name__}; only ResNet, '
      'Xception and MobileNetV2 of its own kind can be converted.'
    )
  model.build_variables()
  return Network(model, built.config, tuple(_variables(model)))


def _variables(model):
  layers = {
    'backbone': model.trunk.backbone,
    'aspp': model.trunk.aspp,
    'decoder': model.trunk.decoder,
    'head': model.head,
  }
  part = {
    variable.path: name
    for name, layer in layers.items()
    for variable in (layer.variables if layer is not None else ())
  }
  # A projection head is ours alone.
  ours_alone = () if isinstance(model.head, heads.Classifier) else ('head',)
  names = contents.names(model.variables)
  for variable in model.variables:
    path = variable.path
    original = original_names.original_name(path)
    if part[path] in ours_alone:
      original = None
    yield Variable(names[path], original, part[path], np.array(variable))
