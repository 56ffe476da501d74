import csv

import pytest

from deeplab_contrast.core.network import original_names
from deeplab_contrast.tasks import softmax
from tests import original, tiny


@pytest.mark.parametrize(
  ('path', 'name'),
  [
    (
      'deeplab/trunk/resnet_v1_50/block1.unit_2.bottleneck_v1/conv3/conv/kernel',
      'resnet_v1_50/block1/unit_2/bottleneck_v1/conv3/weights',
    ),
    (
      'deeplab/trunk/aspp/aspp1/aspp1_depthwise/conv/kernel',
      'aspp1_depthwise/depthwise_weights',
    ),
    (
      'deeplab/trunk/decoder/decoder_conv0.decoder_conv0_1/BatchNorm/beta',
      'decoder/decoder_conv0/decoder_conv0_1/BatchNorm/beta',
    ),
    (
      'deeplab/trunk/MobilenetV2/expanded_conv_1/depthwise/conv/kernel',
      'MobilenetV2/expanded_conv_1/depthwise/depthwise_weights',
    ),
    ('deeplab/logits/semantic/bias', 'logits/semantic/biases'),
    ('deeplab/trunk/aspp/dropout/calls', None),
  ],
)
def test_names(path, name):
  assert original_names.original_name(path) == name


def test_every_variable_has_its_own_name():
  network = tiny.network(softmax.Softmax())
  named = original_names.by_original_name(network.weights)
  assert len(named) == len([v for v in network.weights if v.name != 'calls'])


@pytest.mark.skipif(
  not original.GOLDEN.is_dir(), reason='shared/golden is absent'
)
def test_golden_gradient_multipliers():
  path = original.GOLDEN / 'gradient_multipliers_resnet_v1_50_beta.csv'
  with open(path) as f:
    rows = list(csv.DictReader(f))
  with open(original.GOLDEN / 'variables_resnet_v1_50_beta.csv') as f:
    names = [row['name'] for row in csv.DictReader(f)]
  cases = {
    (r['case'], r['last_layers'], r['last_layer_gradient_multiplier'])
    for r in rows
  }
  assert len(cases) > 1
  for case, layers, multiplier in cases:
    listed = {
      r['variable']: float(r['multiplier']) for r in rows if r['case'] == case
    }
    for name in names:
      actual = original_names.multiplier_of_name(
        name, float(multiplier), tuple(layers.split())
      )
      assert actual == listed.get(name, 1.0), (case, name)


@pytest.mark.parametrize(
  ('path', 'factor'),
  [
    ('deeplab/projection/conv1/kernel', 10.0),
    ('deeplab/projection/conv1/bias', 20.0),
    ('deeplab/trunk/aspp/concat_projection/conv/kernel', 10.0),
    ('deeplab/trunk/resnet_v1_18/conv1_1/conv/kernel', 1.0),
  ],
)
def test_new_layers_learn_faster_in_pretraining_too(path, factor):
  assert original_names.gradient_multiplier(path, 10.0) == factor
