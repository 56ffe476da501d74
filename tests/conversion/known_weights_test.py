"""The table of ImageNet weights, and the sentences that point to it."""

import re

import keras
import pytest

from deeplab_contrast.conversion import known_weights, pretrained
from deeplab_contrast.core.network import keras_cv_variants, resnet_v1
from deeplab_contrast.utils import errors, shipped


class Holder:
  """As much of a `DeepLab` as a backbone's name needs."""

  def __init__(self, name):
    self.trunk, self.backbone = self, keras.layers.Layer(name=name)


def origin(source, backbone):
  return pretrained.Pretrained(source).origin(Holder(backbone))


def test_every_row_is_of_a_backbone_of_ours():
  ours = {*keras_cv_variants.NAMES, *resnet_v1.ResNetV1.variants}
  for row in (*known_weights.PACKAGED, *known_weights.FETCHED):
    assert row.backbone in {*ours, 'MobilenetV2'}
  for row in known_weights.FETCHED:
    assert hasattr(keras.applications, row.application)
    path = f'{shipped.home()}/gin_configs/models/{row.overlay}'
    with open(path, encoding='utf-8') as file:
      assert 'BACKBONE' in file.read() or row.name == 'mobilenet_v2'
    assert row.url.startswith('https://')
    assert row.md5 is None or re.fullmatch('[0-9a-f]{32}', row.md5)
  hashes = [row.sha256 for row in known_weights.PACKAGED]
  assert all(re.fullmatch('[0-9a-f]{64}', x) for x in hashes)


def test_what_is_known_is_said():
  assert origin(None, 'mit_b0') is None
  assert origin('imagenet', 'efficientnet_lite2')['licence'] == 'Apache-2.0'
  found = origin('keras:resnet50', 'resnet_v1_50')
  row = next(r for r in known_weights.FETCHED if r.name == 'resnet50')
  assert found == {
    'weights': 'resnet50 trained on ImageNet',
    'package': f'Keras Applications, {row.file}',
    'licence': 'MIT',
    'md5': row.md5,
  }
  digest = 'a0' * 32
  found = origin(f'keras:mobilenet_v2#{digest}', 'MobilenetV2')
  assert found['sha256'] == digest


@pytest.mark.parametrize(
  ('source', 'backbone', 'sentence'),
  [
    ('imagenet', 'xception_65', 'xception_65; .* works for efficientnet_lite0'),
    ('imagenet', 'resnet_v1_50', "'keras:resnet50' downloads"),
    ('keras:vgg16', 'resnet_v1_50', 'one of resnet50, resnet101'),
    ('keras:resnet50', 'xception_65', 'not for the backbone xception_65; use'),
    ('keras:resnet50', 'resnet_v1_101', "PRETRAINED = 'keras:resnet101'"),
    ('keras:mobilenet_v2', 'MobilenetV2', 'has no hash for'),
    ('keras:mobilenet_v2#12', 'MobilenetV2', '64 digits'),
  ],
)
def test_one_sentence_says_what_to_bind(source, backbone, sentence):
  with pytest.raises(errors.ConfigError, match=sentence) as error:
    origin(source, backbone)
  assert '\n' not in str(error.value)
