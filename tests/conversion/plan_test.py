"""What an import does with each variable, on a narrow network."""

import numpy as np
import pytest

from deeplab_contrast.conversion import network, plan
from deeplab_contrast.utils import errors
from tests import fixtures
from tests.conversion import narrow


@pytest.fixture(scope='module')
def ours():
  return narrow.build()


@pytest.fixture
def theirs(ours):
  return narrow.tensors(ours)


def test_imagenet_gives_the_backbone(ours, theirs):
  scope = 'resnet_v1_18'
  tensors = {
    **narrow.backbone_of(theirs),
    f'{scope}/logits/weights': np.zeros([1, 1, 64, 1000], np.float32),
    f'{scope}/logits/biases': np.zeros([1000], np.float32),
    f'{scope}/mean_rgb': np.zeros([3], np.float32),
    f'{scope}/conv1_1/weights/Momentum': np.zeros([3], np.float32),
    f'{scope}/logits/weights/RMSProp_1': np.zeros([3], np.float32),
    f'{scope}/conv1_1/weights/ExponentialMovingAverage': np.zeros([3]),
    'global_step': np.int64(7),
    'beta1_power': np.float32(0.9),
  }
  made = plan.make(ours, narrow.source_of(tensors))
  assert made.parts == ('backbone',)
  assert set(made.mapped.values()) == set(narrow.backbone_of(theirs))
  assert len(made.unneeded) == 8 and all(made.unneeded.values())
  count = len(made.mapped) + len(made.fresh) + len(made.ours_alone)
  assert count == len(ours.variables)
  reasons = set(made.fresh.values())
  assert reasons == {
    f'no {part} in the checkpoint; newly initialized'
    for part in ('aspp', 'decoder', 'head')
  }


def test_moving_averages_on_request(ours, theirs):
  name = 'resnet_v1_18/conv1_1/weights'
  average = f'{name}/ExponentialMovingAverage'
  with pytest.raises(errors.ConfigError, match='no moving averages'):
    plan.make(ours, narrow.source_of(theirs), use_averages=True)
  theirs[average] = theirs[name] + 1
  plain = plan.make(ours, narrow.source_of(theirs))
  made = plan.make(ours, narrow.source_of(theirs), use_averages=True)
  assert average in plain.unneeded and name not in plain.unneeded
  assert name in made.unneeded and average not in made.unneeded
  assert average in made.mapped.values()
  assert len(made.mapped) == len(plain.mapped)


def test_another_head_leaves_the_classifier(theirs):
  contrastive = 'gin_configs/scenes/contrastive_pretrain.gin'
  ours = network.build(
    [contrastive, narrow.SCENES[1]],
    [*fixtures.TINY_SCENES[:-3], 'FILTERS = 8', narrow.R18],
  )
  made = plan.make(ours, narrow.source_of(theirs))
  assert made.parts == ('backbone', 'aspp', 'decoder')
  assert 'a different head' in made.unneeded['logits/semantic/weights']
  assert set(made.fresh.values()) == {
    'the original has no counterpart of this head; newly initialized'
  }


def lacks(*names):
  return lambda t: {k: v for k, v in t.items() if k not in names}


def replace(name, value):
  return lambda t: {**t, name: value}


def rename(old, new):
  return lambda t: {k.replace(old, new): v for k, v in t.items()}


_KERNEL = 'resnet_v1_18/conv1_1/weights'
_DEPTHWISE = 'aspp1_depthwise/depthwise_weights'


@pytest.mark.parametrize(
  'change, phrases',
  [
    (
      lacks(_KERNEL),
      ('only some of the backbone and lacks', _KERNEL, '(1 in all)'),
    ),
    (lacks(_DEPTHWISE), ('only some of the aspp and lacks', _DEPTHWISE)),
    (
      lacks('decoder/decoder_conv0_pointwise/BatchNorm/gamma'),
      (
        'only some of the decoder and lacks',
        'decoder_conv0_pointwise/BatchNorm/gamma',
      ),
    ),
    (lacks('logits/semantic/biases'), ('only some of the head and lacks',)),
    (
      replace(_KERNEL, np.zeros([3, 3, 3, 5], np.float32)),
      (_KERNEL, '(3, 3, 3, 5) there', '(3, 3, 3, 8) here'),
    ),
    (
      replace(_DEPTHWISE, np.zeros([3, 3, 1, 64], np.float32)),
      (_DEPTHWISE, '(3, 3, 1, 64) there', '(3, 3, 64, 1) here'),
    ),
    (
      replace(_KERNEL, np.zeros([3, 3, 3, 8], np.float64)),
      (_KERNEL, 'float64 there', 'float32 here'),
    ),
    (
      replace('logits/semantic/weights', np.zeros([1, 1, 9, 21], np.float32)),
      ('logits/semantic/weights', '(1, 1, 9, 21) there'),
    ),
    (
      replace('attention/weights', np.zeros([3], np.float32)),
      ('that the network does not have', 'attention/weights (1 in all)'),
    ),
    (
      lambda t: t | {f'x{i:02}/weights': np.zeros([1]) for i in range(25)},
      ('x00/weights', 'x19/weights and 5 more (25 in all)'),
    ),
    (
      rename('resnet_v1_18/', 'resnet_v1_101/'),
      ('the backbone resnet_v1_101', 'has resnet_v1_18'),
    ),
    (rename('resnet_v1_18/', 'MobilenetV2/'), ('the backbone MobilenetV2',)),
    (rename('resnet_v1_18/', 'net/'), ('no known backbone', 'net')),
    (rename('conv1_1/', 'conv1/'), ('one 7x7 convolution', 'BACKBONE')),
  ],
)
def test_refusals_of_what_does_not_fit(ours, theirs, change, phrases):
  with pytest.raises(errors.ConfigError) as caught:
    plan.make(ours, narrow.source_of(change(theirs)))
  for phrase in phrases:
    assert phrase in str(caught.value)
