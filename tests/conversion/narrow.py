"""A narrow network, and a checkpoint of it as the original would have it."""

import numpy as np

from deeplab_contrast.conversion import network, tf1
from tests import fixtures, original

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
