"""The most important golden tests, which need no files but tests/data.

The stored values are explained in tests/data/README.md. Written again by

  python -m tests.core.network.network_stored_test

after the tests named golden have passed against the original's own values.
"""

import functools
import json
import pathlib
import zlib

import numpy as np
import pytest
import tensorflow as tf

from deeplab_contrast.core.network import (
  aspp,
  decoder,
  heads,
  mobilenet_v2,
  model,
  original_names,
  resnet_v1,
  xception,
)
from tests import original

DATA = pathlib.Path(__file__).resolve().parents[2] / 'data'
LOGITS = DATA / 'golden_core.npz'
NAMES = DATA / 'golden_names.json'

# case: (variant, output stride, multi-grid, width)
CASES = {
  'resnet_v1_18_beta_os16': ('resnet_v1_18_beta', 16, None, 1.0),
  'resnet_v1_50_beta_os8_mg124': ('resnet_v1_50_beta', 8, (1, 2, 4), 0.125),
  'resnet_v1_50_os16': ('resnet_v1_50', 16, None, 0.125),
  'xception_65_os16': ('xception_65', 16, None, 0.125),
  'mobilenet_v2_os16': ('mobilenet_v2', 16, None, 0.35),
}


@functools.cache
def network(case):
  """The network of a case with the weights of the golden rule."""
  variant, output_stride, multi_grid, width = CASES[case]
  plain = variant == 'mobilenet_v2'
  if plain:
    backbone = mobilenet_v2.MobileNetV2(output_stride, width)
  else:
    kind = xception.Xception if 'xception' in variant else resnet_v1.ResNetV1
    backbone = kind(variant, output_stride, multi_grid, width)
  trunk = model.Trunk(
    backbone,
    functools.partial(aspp.ASPP, () if plain else None),
    functools.partial(decoder.Decoder, None if plain else (4,)),
  )
  result = model.DeepLab(trunk, heads.Classifier(21))
  result.build_variables()
  original.set_rule_weights(result)
  return result


def logits(case):
  image = tf.constant(original.rule_image(1, 33, 33))
  return np.array(network(case)(image, training=False))


def names_of(variables):
  """(number, CRC-32 of all names in alphabetical order)."""
  text = '\n'.join(sorted(variables))
  return [len(variables), zlib.crc32(text.encode())]


@pytest.mark.parametrize('case', CASES)
def test_golden_logits_of_the_core(case):
  expected = np.load(LOGITS)[case]
  difference = np.abs(logits(case) - expected).max()
  assert difference < 2e-5 * np.abs(expected).max()


@pytest.mark.parametrize('case', CASES)
def test_golden_names_of_the_core(case):
  """All variables have the names of the original's lists."""
  stored = json.loads(NAMES.read_text())
  named = original_names.by_original_name(network(case).weights)
  assert names_of(named) == stored[CASES[case][0]]


def _write():
  """Stores logits of the network, names of the original's lists."""
  DATA.mkdir(exist_ok=True)
  np.savez_compressed(LOGITS, **{case: logits(case) for case in CASES})
  lists = {}
  for variant in sorted({variant for variant, *_ in CASES.values()}):
    rows = (original.GOLDEN / f'variables_{variant}.csv').read_text()
    lists[variant] = names_of([r.split(',')[0] for r in rows.split()[1:]])
  NAMES.write_text(json.dumps(lists, indent=2) + '\n')


if __name__ == '__main__':
  _write()
