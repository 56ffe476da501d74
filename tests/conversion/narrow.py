"""A narrow network, and a checkpoint of it as the original would have it."""

import numpy as np

from deeplab_contrast.conversion import efficientnet_lite, network, tf1
from tests import fixtures, original
from tests.conversion import torch_file_test

SCENES = ('gin_configs/scenes/softmax_scratch.gin', 'gin_configs/tiny.gin')
R18 = "BACKBONE = 'resnet_v1_18_beta'"
BINDINGS = (*fixtures.TINY_SCENES, R18)


def build():
  return network.build(SCENES, BINDINGS)


def tensors(ours):
  """All tensors of a full checkpoint of a network."""
  return {
    **{
      v.original: original.rule_weights(v.original, v.value.shape)
      for v in ours.variables
      if v.original
    },
    'global_step': np.int64(30_000),
  }


def backbone_of(tensors):
  return {k: v for k, v in tensors.items() if k.startswith('resnet_v1_18/')}


def source_of(tensors):
  return tf1.Source(
    'model.ckpt',
    {name: value.shape for name, value in tensors.items()},
    {name: value.dtype for name, value in tensors.items()},
    tensors.__getitem__,
  )


class Holder:
  """As much of a `DeepLab` as the weights of a backbone need."""

  def __init__(self, backbone):
    self.trunk, self.backbone = self, backbone
    self.aspp = self.decoder = self.head = None

  @property
  def variables(self):
    return self.backbone.variables


def torch_state(backbone, seed=0):
  """(state dict, storages) of an EfficientNet-Lite, as PyTorch has them."""
  rng = np.random.default_rng(seed)
  variables = {v.path: v for v in backbone.variables}
  state, blocks = {}, {}
  for ours, their in efficientnet_lite.their_names(list(variables)).items():
    value = rng.normal(0, 0.1, variables[ours].shape).astype(np.float32)
    if their.endswith(('running_var', 'bn.weight')) or 'gamma' in ours:
      value = 1 + abs(value)
    if value.ndim == 4:
      depthwise = value.shape[-1] == 1 and 'dwconv' in ours
      value = value.transpose((2, 3, 0, 1) if depthwise else (3, 2, 0, 1))
    value = np.ascontiguousarray(value)
    strides = tuple(s // value.itemsize for s in value.strides)
    key = str(len(blocks))
    blocks[key] = value
    state[their] = torch_file_test.tensor(
      value.shape, strides, key=key, length=value.size
    )
  return state, blocks
